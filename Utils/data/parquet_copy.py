"""Pictures of Parquet files, copied once in the order of their rows, so that any order can be read then.

A row of a Parquet file costs its row group, some hundred pictures, and shards take posts in random order:
each shard would read nearly the whole place. So the pictures of the posts are written to tar files beside the
notes of the shards, one for each Parquet file, by one pass; packing reads those, and they go with the notes.
"""

import pathlib
import tarfile
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from Utils.command.cli import progress
from Utils.files import archive_index, archive_scan
from Utils.files.atomic import absolute, replacing
from Utils.images import codec, places
from Utils.images.places import Place

FOLDER = "pictures"


def copied(place: Place, members: Sequence[str], folder: pathlib.Path) -> Place:
    """Return a place of the same members that can be read in any order.

    Args:
        place: of the pictures; one without Parquet files is returned as it is.
        members: that will be read.
        folder: where the copies are written. Those that an earlier run wrote are used.

    Raises UserError where the Parquet files are damaged.
    """
    members = [member for member, is_there in zip(members, place.has(members), strict=True) if is_there]
    order = place.reading_order(members)
    if order is None:
        return place
    by_archive: dict[str, list[str]] = {}
    for row in order:
        by_archive.setdefault(_archive_of(members[row]), []).append(members[row])
    tables = []
    for number, archive in enumerate(progress(sorted(by_archive), label="copied", unit="Parquet files")):
        path = folder / f"{number:05d}.tar"
        if not path.is_file():
            _write(place, by_archive[archive], path)
        table, _ = archive_scan.index_archive(absolute(path), "")
        tables.append(_renamed(table, by_archive[archive], number))
    names = tuple(f"{number:05d}.tar" for number in range(len(tables)))
    table, prefixes = pa.concat_tables(tables), [""] * len(names)
    return places.of_index(archive_index.of_table(absolute(folder), names, table, prefixes=prefixes))


def _archive_of(member: str) -> str:
    """Return the path of the Parquet file that a member is in, "" where it is the place itself."""
    end = member.lower().find(".parquet/")
    return member[:end] if end >= 0 else ""


def _write(place: Place, members: Sequence[str], path: pathlib.Path) -> None:
    """Write members to a tar, named by their numbers; one that cannot be read becomes an empty file."""
    with replacing(path) as temporary, temporary.open("wb") as file:
        for number, member in enumerate(members):
            try:
                data = place.open(member)
            except codec.ImageError:
                data = b""
            header = tarfile.TarInfo(str(number))
            header.size = len(data)
            file.write(header.tobuf(tarfile.USTAR_FORMAT))
            file.write(data)
            file.write(bytes(-len(data) % tarfile.BLOCKSIZE))
        file.write(bytes(2 * tarfile.BLOCKSIZE))


def _renamed(table: pa.Table, members: Sequence[str], number: int) -> pa.Table:
    """Return the rows of a copy under the names that its members have in their place."""
    columns = {
        "archive": np.full(len(members), number, np.int32),
        "name": pa.array(members, pa.string()),
        "key": np.array([archive_scan.key_of(member) for member in members], np.uint64),
    }
    for name, values in columns.items():
        place = table.schema.get_field_index(name)
        field = table.schema.field(place)
        table = table.set_column(place, field, pa.array(values, field.type))
    return table
