"""Pictures of Parquet files under other places, so that they can be read in any order.

A row of a Parquet file costs its row group, some hundred pictures, and shards take posts in random order:
each shard would read nearly the whole place. Where the values of a file lie in it as they are, which one pass
over their lengths says, they are read there. Others, compressed as most were until 2026, are copied once, in
the order of their rows, to files beside the notes of the shards, which go with the notes: value after value,
each behind its length.
"""

import concurrent.futures
import hashlib
import pathlib
from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa

from Utils.command.cli import UserError, progress
from Utils.command.machine import num_cores
from Utils.files import archive_index, arrays, parquet_members
from Utils.files.archive_index import ArchiveIndex
from Utils.files.archive_scan import PARQUET, PARQUET_PLAIN, SCHEMA
from Utils.files.atomic import absolute, replacing
from Utils.files.parquet_members import ParquetError
from Utils.files.ranges import RangeReader
from Utils.images.places import Place

FOLDER = "pictures"
_LENGTH = 4  # bytes before each value, as in Parquet
_ABSENT = -1


def readable_in_any_order(place: Place, names: Iterable[Sequence[str]], folder: pathlib.Path) -> Place:
    """Return a place from which members can be read in any order.

    Args:
        place: of the pictures; one without Parquet files is returned as it is.
        names: the members that will be read, in blocks.
        folder: where copies are written. Those that an earlier run wrote of the same files and members are
            used.

    Members of a damaged row group keep their place: reading them says what is wrong. Raises UserError where a
    Parquet file is damaged as a whole.
    """
    archived = place.archived(names)
    if archived is None:
        return place
    index, rows = archived
    table = index.members(np.unique(rows))
    columns = {name: table[name].to_numpy().copy() for name in SCHEMA.names if name != "name"}
    archives = _move(index, columns, folder)
    table = pa.table(
        [pa.array(columns[name]) if name in columns else table[name] for name in SCHEMA.names], schema=SCHEMA
    )
    paths, prefixes = [*index.archives, *archives], [*index.prefixes, *archives.values()]
    return place.with_archives(archive_index.of_table(index.root, paths, table, prefixes=prefixes))


def _move(index: ArchiveIndex, columns: dict[str, np.ndarray], folder: pathlib.Path) -> dict[str, str]:
    """Write the new places of rows of Parquet files into the columns.

    Returns ``{path: prefix of its members}`` of the copies, which follow the archives of the index.
    """
    is_row = columns["kind"] == PARQUET
    numbers = np.unique(columns["archive"][is_row]).tolist()
    places = [np.flatnonzero(is_row & (columns["archive"] == number)) for number in numbers]

    def prepare(number: int, of_file: np.ndarray) -> tuple[np.ndarray, pathlib.Path | None]:
        return _prepare(index.archive_path(number), columns["offset"][of_file], folder)

    copies: dict[str, str] = {}
    with concurrent.futures.ThreadPoolExecutor(num_cores()) as pool:  # reading and writing leave the GIL
        results = progress(
            pool.map(prepare, numbers, places), total=len(numbers), label="prepared", unit="Parquet files"
        )
        for number, of_file, (positions, copy) in zip(numbers, places, results, strict=True):
            is_there = positions[:, 1] != _ABSENT
            moved = of_file[is_there]
            columns["offset"][moved], columns["size"][moved] = positions[is_there].T
            columns["kind"][moved] = PARQUET_PLAIN
            if copy is not None:
                columns["archive"][moved] = len(index.archives) + len(copies)
                copies[absolute(copy)] = index.prefixes[number]
    return copies


def _prepare(path: str, rows: np.ndarray, folder: pathlib.Path) -> tuple[np.ndarray, pathlib.Path | None]:
    """Return ``(offset, size)`` of ascending rows of a Parquet file, int64 (N, 2), and their copy if any."""
    try:
        reader = RangeReader(path)
        positions = parquet_members.plain_positions(reader)
        if positions is not None:
            return positions[rows], None
        copy = folder / f"{_digest(path, reader.stamp, rows)}.values"
        listing = copy.with_suffix(".npy")  # written last: it says that the copy is complete
        if not listing.is_file():
            positions = _copy(parquet_members.row_reader(path), rows.tolist(), copy)
            with replacing(listing) as temporary:
                np.save(temporary, positions)
    except ParquetError as error:
        raise UserError(f"{path} cannot be read as pictures: {error}") from error
    return arrays.read(listing, rank=2, kinds="i"), copy


def _digest(path: str, stamp: str, rows: np.ndarray) -> str:
    """Return the name of a copy: of another file, a changed one or other rows it is another."""
    value = hashlib.sha256(f"{path}\n{stamp}\n".encode("utf-8", "surrogateescape"))
    value.update(np.ascontiguousarray(rows, np.int64).tobytes())
    return value.hexdigest()[:20]


def _copy(reader: parquet_members.RowReader, rows: Sequence[int], path: pathlib.Path) -> np.ndarray:
    """Write rows to a file; return ``(offset, size)`` of each, the size _ABSENT where it cannot be read."""
    positions, at = [], 0
    with replacing(path) as temporary, temporary.open("wb") as file:
        for content in reader.buffers(rows):
            if content is None:
                positions.append((0, _ABSENT))
                continue
            file.write(len(content).to_bytes(_LENGTH, "little"))
            file.write(content)
            positions.append((at + _LENGTH, len(content)))
            at += _LENGTH + len(content)
    return np.array(positions, np.int64).reshape(-1, 2)
