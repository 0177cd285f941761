"""Indexes of archives (tar, zip, Parquet with pictures): where the content of every member lies.

An index is one table for all archives of a place. It is made by one pass over their headers, kept as a
Parquet file, and used again as long as size and time of change (or the tag of a remote file system) are the
same. A wrong index gives an error, never another member: a tar's own header, or a zip's checksum, is compared
whenever a member is read.
"""

import concurrent.futures
import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from Utils.command.cli import UserError, progress
from Utils.files import atomic, open_archives, parquet_members, ranges
from Utils.files.archive_scan import (
    PARQUET,
    SCHEMA,
    TAR,
    TAR_OF_JSON,
    ZIP,
    ArchiveError,
    index_archive,
    json_path,
    key_of,
)
from Utils.files.atomic import AnyPath
from Utils.files.parquet_members import ParquetError, RowGroupError
from Utils.files.tar_members import TarError
from Utils.files.zip_members import ZipError

VERSION = 3  # of the table; one of another version is made again
_REMOTE_THREADS = 16  # archives that are indexed at the same time over a network
_OF_THE_FILE = (PermissionError, FileNotFoundError)  # errors of one file alone; others are a disk's
_FEW_ROWS = 1 << 14  # of an index, as that of a shard, whose columns are lists: these are read faster


class MemberError(ValueError):
    """A member that cannot be read; ``str`` is a short reason."""


@dataclasses.dataclass(frozen=True)
class ArchiveIndex:
    """The members of the archives of one place, in about 50 bytes a member of a tar; made by `of_table`.

    Args:
        root: folder of the archives, or an archive's own path.
        archives: their paths, relative to the root or absolute; ``""`` for the root itself.
        prefixes: what stands before the names of the members of each archive.
        notes: sentences about what was passed by or indexed otherwise, for people.
        table: one row a member, archive after archive: those columns of SCHEMA that differ, without key.
        constants: the value of every other column.
        keys: (N,) uint64, `archive_scan.key_of` every name, ascending.
        order: (N,) the row of each key.
        unreadable: ``(path relative to the root, reason)`` of archives of a folder that were set aside.
    """

    root: str
    archives: tuple[str, ...]
    prefixes: tuple[str, ...]
    notes: tuple[str, ...]
    table: pa.Table
    constants: dict[str, int]
    keys: np.ndarray
    order: np.ndarray
    unreadable: tuple[tuple[str, str], ...] = ()

    def __len__(self) -> int:
        return self.table.num_rows

    def names(self) -> Iterator[str]:
        """Yield the members' names: ``ARCHIVE/NAME``, or ``NAME`` where the root is the archive."""
        for batch in self.table.select(["archive", "name"]).to_batches():
            archives = batch.column("archive").to_pylist()
            for archive, name in zip(archives, batch.column("name").to_pylist(), strict=True):
                yield self.prefixes[archive] + name

    def find(self, names: Sequence[str]) -> np.ndarray:
        """Return the row of every member, -1 for names that are none: (N,) int64."""
        result = np.full(len(names), -1, np.int64)
        if not len(self.keys):
            return result
        if len(names) == 1 and len(self) <= _FEW_ROWS:
            result[0] = self._rows_by_name.get(names[0], -1)
            return result
        asked = np.array([key_of(name) for name in names], np.uint64)
        places = np.searchsorted(self.keys, asked)
        for row, (name, place) in enumerate(zip(names, places.tolist(), strict=True)):
            while place < len(self.keys) and self.keys[place] == asked[row]:
                if self._name(int(self.order[place])) == name:
                    result[row] = self.order[place]
                    break
                place += 1
        return result

    def part(self, rows: Iterable[int]) -> "ArchiveIndex":
        """Return an index of some members alone: small enough to be sent to another process."""
        rows = list(rows)
        taken = self.table.take(pa.array(rows, pa.int64())).combine_chunks()
        keys = np.array([key_of(self._name(row)) for row in rows], np.uint64)
        order = np.argsort(keys, kind="stable").astype(np.int32)
        return dataclasses.replace(self, notes=(), unreadable=(), table=taken, keys=keys[order], order=order)

    def read(self, row: int, most_bytes: int) -> bytes:
        """Return the content of a member.

        Raises MemberError where it is unfit (too large, encrypted, a row that is empty), UserError where the
        archive is damaged or not the one of the index, OSError where it cannot be read.
        """
        kind, size, archive = (self._value(name, row) for name in ("kind", "size", "archive"))
        if size > most_bytes:
            raise MemberError(f"too large a file: {size} bytes")
        path = self.archive_path(archive)
        try:
            return open_archives.read(kind, path, self._value("name", row), *self._place(row))
        except (TarError, ParquetError) as error:
            raise UserError(
                f"{path} is not as it was when it was indexed, or the index is wrong: {error}; delete "
                f"{'the .json beside it' if kind == TAR_OF_JSON else 'the .index.parquet'} and run again"
            ) from error
        except (ZipError, RowGroupError) as error:
            raise MemberError(f"in {pathlib.PurePath(path).name} {error}") from error

    def head(self, row: int, length: int = 64) -> bytes:
        """Return the first bytes of a member that a tar holds, the whole content of another."""
        offset, size, _, _, _ = self._place(row)
        if self._value("kind", row) in (TAR, TAR_OF_JSON):
            reader = open_archives.reader(self.archive_path(self._value("archive", row)))
            return reader.read(offset, min(size, length))
        return self.read(row, 1 << 30)[:length]

    def row_ids(self, rows: np.ndarray) -> list[Any]:
        """Return the values that the column ``id`` of a Parquet file has beside members, None without one."""
        ids: list[Any] = [None] * len(rows)
        is_parquet = self._values("kind", rows) == PARQUET
        archives, offsets = self._values("archive", rows), self._values("offset", rows)
        for archive in np.unique(archives[is_parquet]).tolist():
            path = self.archive_path(archive)
            try:
                values = parquet_members.values(open_archives.reader(path), "id")
            except ParquetError as error:
                raise UserError(f"{path}: {error}") from error
            for place in np.flatnonzero(is_parquet & (archives == archive)).tolist() if values else ():
                ids[place] = values[offsets[place]]
        return ids

    @property
    def has_rows(self) -> bool:
        """Return whether some members are rows of Parquet files."""
        if "kind" in self.constants:
            return self.constants["kind"] == PARQUET
        is_row = pc.call_function("equal", [self.table["kind"], PARQUET])
        return bool(pc.call_function("any", [is_row]).as_py())

    def members(self, rows: np.ndarray) -> pa.Table:
        """Return members as a table of SCHEMA, of which `of_table` makes an index."""
        keys = np.empty_like(self.keys)
        keys[self.order] = self.keys
        columns = {name: np.full(len(rows), value) for name, value in self.constants.items()}
        columns["key"] = keys[rows]
        taken = self.table.take(pa.array(rows))
        columns |= {name: taken[name] for name in taken.column_names}
        return pa.table([columns[name] for name in SCHEMA.names], names=SCHEMA.names).cast(SCHEMA)

    def is_row(self, row: int) -> bool:
        """Return whether a member is a row of a Parquet file."""
        return self._value("kind", row) == PARQUET

    def reading_order(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the places in ``rows`` in the order in which their members are read fastest.

        None where any order is as fast: all archives but Parquet files, whose row groups are read as a whole.
        """
        if self.constants.get("kind", PARQUET) != PARQUET:
            return None
        kinds, offsets, archives = (self._values(name, rows) for name in ("kind", "offset", "archive"))
        return np.lexsort((offsets, archives)) if (kinds == PARQUET).any() else None

    def stamp(self, row: int) -> tuple[int, int]:
        """Return two numbers that change with a member: its size, and a checksum with its place.

        A zip has one of its content; elsewhere a member changes with the archive, as a file with its time.
        """
        offset, size, _, _, check = self._place(row)
        if self._value("kind", row) != ZIP:
            check = key_of(open_archives.reader(self.archive_path(self._value("archive", row))).stamp)
        return size, (check << 32) ^ offset

    def archive_path(self, number: int) -> str:
        """Return the path of an archive."""
        return self._paths[number]

    def _name(self, row: int) -> str:
        return self.prefixes[self._value("archive", row)] + self._value("name", row)

    def _place(self, row: int) -> tuple[int, int, int, int, int]:
        offset, size, packed, method, check = (
            self._value(name, row) for name in ("offset", "size", "packed", "method", "check")
        )
        return offset, size, packed, method, check

    @functools.cached_property
    def _paths(self) -> list[str]:
        def absolute(name: str) -> str:
            is_absolute = "://" in name or pathlib.Path(name).is_absolute()
            return name if is_absolute else f"{self.root}/{name}" if name else self.root

        return list(map(absolute, self.archives))

    @functools.cached_property
    def _rows_by_name(self) -> dict[str, int]:
        return {name: row for row, name in enumerate(self.names())}

    @functools.cached_property
    def _columns(self) -> dict[str, list[Any]]:
        return {name: self.table[name].to_pylist() for name in self.table.column_names}

    def _value(self, name: str, row: int) -> Any:
        """Return one value, without a copy of its column where that is long."""
        if name in self.constants:
            return self.constants[name]
        if len(self) <= _FEW_ROWS:
            return self._columns[name][row]
        chunk = int(np.searchsorted(self._ends, row, "right"))
        return self.table[name].chunk(chunk)[row - (int(self._ends[chunk - 1]) if chunk else 0)].as_py()

    def _values(self, name: str, rows: np.ndarray) -> np.ndarray:
        if name in self.constants:
            return np.full(len(rows), self.constants[name])
        return self.table[name].take(pa.array(rows)).to_numpy()

    @functools.cached_property
    def _ends(self) -> np.ndarray:
        """Return the row after the last one of each chunk; the columns have the same chunks."""
        return np.cumsum([len(chunk) for chunk in self.table["name"].chunks])

    def __getstate__(self) -> dict[str, Any]:
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)


def of_table(
    root: str,
    archives: Sequence[str],
    table: pa.Table,
    notes: Sequence[str] = (),
    prefixes: Sequence[str] | None = None,
) -> ArchiveIndex:
    """Return the index of a table of members as SCHEMA says; the rest as in `ArchiveIndex`.

    ``prefixes`` are by default the archives' own paths with a slash.
    """
    if prefixes is None:
        prefixes = [f"{name}/" if name else "" for name in archives]
    keys = table["key"].to_numpy()
    order = np.argsort(keys, kind="stable").astype(np.int32 if len(keys) < 2**31 else np.int64)
    table, constants = table.drop_columns(["key"]), {}
    for name in ("kind", "packed", "method", "check"):
        bounds = pc.call_function("min_max", [table[name]]).as_py()
        if bounds["min"] == bounds["max"]:
            constants[name] = bounds["min"] or 0
            table = table.drop_columns([name])
    # Columns that come from a file and those that were made here have other chunks; nothing is copied.
    table = pa.Table.from_batches(table.to_batches(), table.schema)
    return ArchiveIndex(
        root, tuple(archives), tuple(prefixes), tuple(notes), table, constants, keys[order], order
    )


def build(root: AnyPath, archives: Sequence[str], kept: AnyPath | None = None) -> ArchiveIndex:
    """Index archives, or take what the index kept at ``kept`` has of those that have not changed.

    Args:
        root: their folder, or the one archive itself.
        archives: their paths relative to the root; ``[""]`` for the root itself.
        kept: where the index is kept, a Parquet file; None keeps none.

    Of a folder, archives that are damaged, compressed as a whole, of no kind read here, or closed to this
    user are set aside. Raises ArchiveError where the root itself is one; OSError where a disk or a network
    fails, which says nothing about the archive.
    """
    root = str(root)
    unreadable: dict[str, str] = {}
    with concurrent.futures.ThreadPoolExecutor(_REMOTE_THREADS if "://" in root else 1) as pool:
        stamp_of = _readable(archives, pool.map(functools.partial(_stamp, root), archives), unreadable)
        before = _load(kept, root) if kept is not None else {}
        new = [name for name in stamp_of if name not in before or before[name][0] != stamp_of[name]]
        work = pool.map(functools.partial(_index_archive, root), new)
        made = _readable(new, progress(work, total=len(new), label="index", unit="archives"), unreadable)
    archives = [name for name in archives if name not in unreadable]
    tables, notes, all_notes = [], [], {}
    for number, name in enumerate(archives):
        stamp = stamp_of[name]
        table, archive_notes = made[name] if name in made else before[name][1:]
        tables.append(table.set_column(0, SCHEMA.field(0), pa.array(np.full(len(table), number, np.int32))))
        all_notes[name] = [stamp, len(table), list(archive_notes)]
        notes += archive_notes
    table = pa.concat_tables([*tables, SCHEMA.empty_table()])
    if kept is not None and (made or list(before) != archives):
        _save(kept, root, table, all_notes)
    del tables, made, before  # else their columns stay beside those of the index
    return dataclasses.replace(
        of_table(root, archives, table, notes), unreadable=tuple(sorted(unreadable.items()))
    )


def _readable(archives: Sequence[str], results: Iterable[Any], unreadable: dict[str, str]) -> dict[str, Any]:
    """Return ``{archive: result}``; an ArchiveError among the results goes to ``unreadable`` instead."""
    pairs = dict(zip(archives, results, strict=True))
    unreadable |= {name: result.reason for name, result in pairs.items() if isinstance(result, ArchiveError)}
    return {name: result for name, result in pairs.items() if name not in unreadable}


def _of_folder(function: Callable[[str, str], Any]) -> Callable[[str, str], Any]:
    """Make ``function(root, name)`` return the ArchiveError of an archive in a folder, not raise it."""

    @functools.wraps(function)
    def guarded(root: str, name: str) -> Any:
        try:
            return function(root, name)
        except ArchiveError as error:
            if not name:
                raise
            return error
        except OSError as error:
            if not name or "://" in root or not isinstance(error, _OF_THE_FILE):
                raise
            return ArchiveError(name, error.strerror or type(error).__name__)

    return guarded


@_of_folder
def _stamp(root: str, name: str) -> str:
    path = f"{root}/{name}" if name else root
    return f"{ranges.stamp(path)} {_json_stamp(path)}"


def _json_stamp(path: str) -> str:
    beside = json_path(path)
    return ranges.stamp(beside) if beside is not None else "-"


def _load(kept: AnyPath, root: str) -> dict[str, tuple[str, pa.Table, Sequence[str]]]:
    """Return ``{archive: (stamp, rows, notes)}`` of a kept index; nothing where it cannot be read."""
    path = atomic.to_path(kept)
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as file:
            table = pq.read_table(file, page_checksum_verification=True)
        facts = json.loads((table.schema.metadata or {})[b"archives"])
        if (facts["version"], facts["root"]) != (
            VERSION,
            _resolved(root),
        ) or table.schema.names != SCHEMA.names:
            return {}
        table = table.cast(SCHEMA)
        table.validate(full=True)
        result, start = {}, 0
        for name, (mark, count, notes) in facts["archives"].items():
            result[name] = (mark, table.slice(start, count), notes)
            start += count
        return result if start == table.num_rows else {}
    except Exception:  # damaged in any way: it is made again
        return {}


def _resolved(root: str) -> str:
    return root if "://" in root else str(pathlib.Path(root).resolve())


def _save(kept: AnyPath, root: str, table: pa.Table, archives: dict[str, Any]) -> None:
    facts = json.dumps({"version": VERSION, "root": _resolved(root), "archives": archives})
    with atomic.replacing(kept) as temporary:
        pq.write_table(
            table.replace_schema_metadata({b"archives": facts.encode()}),
            temporary,
            compression="zstd",
            write_page_checksum=True,
        )


@_of_folder
def _index_archive(root: str, name: str) -> tuple[pa.Table, list[str]]:
    """Return the rows of one archive, and notes about it; close what is open of it, perhaps an old file."""
    path = f"{root}/{name}" if name else root
    open_archives.forget(path)
    return index_archive(path, name)
