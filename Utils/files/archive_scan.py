"""The passes over archives (tar, zip, Parquet with pictures) that make their tables of members."""

import collections
import hashlib
import json
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa

from Utils.command.cli import UserError
from Utils.command.text import counted
from Utils.files import atomic, parquet_members, tar_members, zip_members
from Utils.files.atomic import AnyPath
from Utils.files.parquet_members import ParquetError
from Utils.files.ranges import RangeReader
from Utils.files.tar_members import BLOCK, TarError
from Utils.files.zip_members import ZipError

SUFFIXES = (".tar", ".zip", ".parquet")
TAR, TAR_OF_JSON, ZIP, PARQUET, PARQUET_PLAIN = range(5)  # kinds of members; PARQUET has rows as offsets
SCHEMA = pa.schema(
    {
        "archive": pa.int32(), "name": pa.string(), "key": pa.uint64(), "kind": pa.int8(),
        "offset": pa.int64(), "size": pa.int64(), "packed": pa.int64(), "method": pa.int16(),
        "check": pa.uint32(),
    }
)  # fmt: skip
EMPTY = SCHEMA.empty_table()
_COMPRESSED = {
    b"\x1f\x8b": "gunzip", b"BZh": "bunzip2", b"\xfd7zXZ": "unxz", b"\x28\xb5\x2f\xfd": "unzstd",
}  # fmt: skip
_MOST_END = 64 * BLOCK  # bytes of zeros at the end of a tar

Row = tuple[str, int, int, int, int, int, int]  # name, kind, offset, size, packed, method, check


class ArchiveError(UserError):
    """An archive that cannot be read; ``reason`` says why, without its path."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path} cannot be read as pictures: {reason}")
        self.reason = reason


def key_of(name: str) -> int:
    """Return the key of a member's name in the table: 64 bits of its BLAKE2b."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")


def index_archive(path: str, name: str) -> tuple[pa.Table, list[str]]:
    """Return the rows of one archive, and notes about it.

    Args:
        path: of the archive.
        name: before the names of its members, with a slash, in their keys; may be empty.

    Raises ArchiveError where it is compressed as a whole, damaged or no archive, OSError where it cannot be
    opened.
    """
    try:
        reader = RangeReader(path)
    except ValueError as error:
        raise ArchiveError(path, "it is no regular file") from error
    start = reader.read(0, BLOCK)
    for signature, program in _COMPRESSED.items():
        if start.startswith(signature):
            raise ArchiveError(path, _compressed(program))
    notes: list[str] = []
    try:
        # A program that unpacks itself has other bytes before the members.
        if start.startswith(b"PK") or path.lower().endswith(".zip"):
            rows: Iterator[Row] = (
                (m.name, ZIP, m.offset, m.size, m.packed, m.method, m.check) for m in zip_members.scan(reader)
            )
            return _table(name, rows, path, notes), notes
        if start.startswith(b"PAR1") or path.lower().endswith(".parquet"):
            rows = ((m.name, PARQUET, m.row, 0, 0, 0, 0) for m in parquet_members.scan(reader))
            return _table(name, rows, path, notes), notes
        return _table(name, _tar_rows(reader, path, notes), path, notes), notes
    except (TarError, ZipError, ParquetError) as error:
        raise ArchiveError(path, str(error)) from error


def holds_files(path: AnyPath) -> bool:
    """Whether a file with an archive's suffix is one: a Parquet file only if it has a column of files.

    A file that cannot be read may have been one, and its index will say why.
    """
    if not str(path).lower().endswith(".parquet"):
        return True
    try:
        return parquet_members.image_column(RangeReader(path)) is not None
    except (ParquetError, ValueError, OSError):
        return True


def _compressed(program: str) -> str:
    return (
        "it is compressed as a whole, so that no member can be read without unpacking all before it; unpack "
        f"it once ({program} --keep, or the like: pictures hardly get larger by it) and give the .tar"
    )


def _tar_rows(reader: RangeReader, path: str, notes: list[str]) -> Iterator[Row]:
    beside = json_path(path)
    if beside is not None:
        rows = _json_rows(reader, beside)
        if rows is not None:
            yield from rows
            return
        notes.append(f"{beside} does not describe all members of the tar beside it, whose headers were read")
    passed_by: collections.Counter[str] = collections.Counter()
    for member in tar_members.scan(reader, passed_by):
        yield member.name, TAR, member.offset, member.size, 0, 0, member.check
    if passed_by.pop(tar_members.BEHIND_END, None):
        notes.append(
            f"{path} has more behind its end mark, as tars have that cat joined; that is not read: join them "
            "by tar --concatenate, or give each"
        )
    if passed_by.pop(tar_members.NO_END, None):
        notes.append(f"{path} has no end mark: its last members may have been cut off")
    if passed_by:
        kinds = ", ".join(f"{count} {kind}" for kind, count in sorted(passed_by.items()))
        notes.append(f"{path}: passed by {kinds}")


def _json_rows(reader: RangeReader, path: str) -> list[Row] | None:
    """Return the members that a JSON index names; None unless they are all of the tar, header to header."""
    try:
        value = json.loads(atomic.to_path(path).read_text(encoding="utf-8"))
        files = [(_json_name(name), int(f["offset"]), int(f["size"])) for name, f in value["files"].items()]
        files.sort(key=lambda file: file[1])
        offsets, sizes = (np.array([file[i] for file in files], np.int64) for i in (1, 2))
    except Exception:  # some other JSON, of any shape
        return None
    if not files or sizes.min() < 0 or sizes.max() > reader.size:
        return None
    ends = offsets + -(-sizes // BLOCK) * BLOCK
    gaps = offsets - np.concatenate([[0], ends[:-1]])
    # A header before each; one more where a folder lies between.
    if not np.isin(gaps, (BLOCK, 2 * BLOCK)).all() or not 0 <= reader.size - ends[-1] <= _MOST_END:
        return None
    folders = [reader.read(offset - 2 * BLOCK, BLOCK) for offset in offsets[gaps > BLOCK].tolist()]
    if reader.read(int(ends[-1]), _MOST_END).strip(b"\0") or not all(map(tar_members.is_folder, folders)):
        return None
    for row in np.unique(np.linspace(0, len(files) - 1, 16).astype(int)):
        name, offset, size = files[row]
        if not tar_members.has_header(reader.read(offset - BLOCK, BLOCK), name, size):
            return None
    return [(name, TAR_OF_JSON, offset, size, 0, 0, 0) for name, offset, size in files]


def _json_name(name: str) -> str:
    """Return a member's name as the headers' pass has it; UnicodeEncodeError for a text that is none.

    Python's `tarfile`, which such JSON comes from, has a surrogate for each byte that is no UTF-8.
    """
    return tar_members.member_name(name.encode("utf-8", "surrogateescape"))


def _table(archive: str, rows: Iterable[Row], path: str, notes: list[str]) -> pa.Table:
    """Return the rows as a table; the archive's name is before theirs in their keys.

    Of several members with one name the last counts, as for those who unpack an archive.
    """
    prefix = f"{archive}/" if archive else ""
    columns = list(zip(*rows, strict=True)) or [()] * 7
    names, kinds, offsets, sizes, packed, methods, checks = columns
    last = {name: place for place, name in enumerate(names)}
    kept = np.array(sorted(last.values()), np.int64)
    if len(kept) < len(names):
        notes.append(
            f"{path}: {counted(len(names) - len(kept), 'member comes', 'members come')} again under the same "
            "name; the last counts"
        )
    table = pa.table(
        [
            np.zeros(len(names), np.int32), pa.array(names, pa.string()),
            np.array([key_of(prefix + name) for name in names], np.uint64), np.array(kinds, np.int8),
            np.array(offsets, np.int64), np.array(sizes, np.int64), np.array(packed, np.int64),
            np.array(methods, np.int16), np.array(checks, np.uint32),
        ],
        schema=SCHEMA,
    )  # fmt: skip
    return table if len(kept) == len(names) else table.take(kept)


def json_path(path: str) -> str | None:
    """Return the path of the JSON index beside a tar, where one lies there."""
    if not path.lower().endswith(".tar"):
        return None
    beside = f"{path[:-4]}.json"
    return beside if atomic.to_path(beside).is_file() else None
