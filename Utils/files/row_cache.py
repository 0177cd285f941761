"""A cache on disk of rows that are costly to compute, looked up by key; interrupted work continues.

One file a column, rows of one size, appended. Keys are written last, so a stopped process leaves at most
columns that are longer than the keys; the next one cuts them off. Rows are read with pread, not through a
memory mapping, whose pages would count as memory of the process.
"""

import hashlib
import os
import pathlib
import typing
from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from Utils.command.cli import UserError
from Utils.command.text import join_names
from Utils.files import positions
from Utils.files.atomic import naming, read_json, write_json
from Utils.files.leftovers import remove_unfinished
from Utils.files.locking import try_lock

KEYS = "keys.bin"
FORMAT = "format.json"


def key(*words: object) -> int:
    """Return the 64-bit key of some words: the start of their SHA-256."""
    text = "\0".join(map(str, words)).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little")


class RowCache:
    """A folder of rows by key; a context manager.

    Args:
        folder: made where it is absent; rows of another format in it are thrown away.
        columns: ``{name: numpy dtype of a row}``.
        made_by: a JSON value for everything else that the rows depend on, for example a version of the
            algorithm; rows with another value are of another format.

    Raises UserError where another process uses the folder, and where files in it that have the names of these
    are no cache's: they would be emptied.
    """

    def __init__(
        self, folder: pathlib.Path, columns: Mapping[str, npt.DTypeLike], made_by: typing.Any
    ) -> None:
        self.folder = folder
        self.rows = 0
        self._dtypes = {name: np.dtype(dtype) for name, dtype in columns.items()} | {
            KEYS: np.dtype(np.uint64)
        }
        row_format = {"made_by": made_by, "columns": {name: str(dtype) for name, dtype in columns.items()}}
        folder.mkdir(parents=True, exist_ok=True)
        self._files: dict[str, typing.BinaryIO] = {}
        try:
            self._open(row_format)
        except BaseException:
            self.close()
            raise

    def _open(self, row_format: dict[str, typing.Any]) -> None:
        names = {name: name if name == KEYS else f"{name}.bin" for name in self._dtypes}
        self._require_ours(names.values())
        for name, file in names.items():
            self._files[name] = (self.folder / file).open("a+b")  # noqa: SIM115  closed by close
        if not try_lock(self._files[KEYS]):
            raise UserError(f"{self.folder} is in use by another process; wait for it to end")
        format_file = self.folder / FORMAT
        remove_unfinished(format_file)
        # A process that died may have left the columns at different lengths; extra bytes are cut off below.
        is_same = format_file.is_file() and read_json(format_file) == row_format
        self.rows = self._complete_rows() if is_same else 0
        for name, file in self._files.items():
            file.truncate(self.rows * self._dtypes[name].itemsize)
        if not is_same:  # only now: rows of the old format are gone, so the new name is true
            write_json(format_file, row_format)
        keys = self.column(KEYS)
        self._order = np.argsort(keys, kind="stable")
        self._sorted_keys = keys[self._order]
        self._appended: dict[int, int] = {}  # key: row, since the folder was opened

    def _require_ours(self, names: Iterable[str]) -> None:
        format_file = self.folder / FORMAT
        facts = read_json(format_file) if format_file.is_file() else None
        if isinstance(facts, dict) and facts.keys() == {"made_by", "columns"}:
            return
        files = [self.folder / name for name in ([FORMAT] if facts is not None else names)]
        foreign = [path.name for path in files if path.is_file() and path.stat().st_size]
        if foreign:
            raise UserError(
                f"{self.folder} is where interim results are kept, and its {join_names(foreign)} holds "
                "something else: move it away, or give another output"
            )

    def _complete_rows(self) -> int:
        return min(
            os.fstat(file.fileno()).st_size // self._dtypes[name].itemsize
            for name, file in self._files.items()
        )

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the files, which also unlocks the folder."""
        with naming(self.folder, self.folder):  # after a full disk there is still something to write
            for file in self._files.values():
                file.close()

    def find(self, keys: npt.ArrayLike) -> np.ndarray:
        """Return the row of every key, int64 (N,); -1 for keys that have no row."""
        keys = np.asarray(keys, np.uint64)
        if not len(self._sorted_keys):
            rows = np.full(len(keys), -1, np.int64)
        else:
            places = np.minimum(np.searchsorted(self._sorted_keys, keys), len(self._sorted_keys) - 1)
            rows = np.where(self._sorted_keys[places] == keys, self._order[places], -1)
        # New rows are few and looked up one by one, so that no append sorts all keys again.
        for i in np.flatnonzero(rows < 0) if self._appended else ():
            rows[i] = self._appended.get(int(keys[i]), -1)
        return rows

    def append(self, keys: npt.ArrayLike, **columns: npt.ArrayLike) -> None:
        """Add rows, given as keys and every column; they are in the files when this returns."""
        keys = np.asarray(keys, np.uint64)
        # Keys come last: a row counts only when all its columns are in the files.
        for name, values in [*columns.items(), (KEYS, keys)]:
            data = np.asarray(values, self._dtypes[name].base).tobytes()
            if len(data) != len(keys) * self._dtypes[name].itemsize:
                raise ValueError(f"{name} has {len(data)} bytes for {len(keys)} rows of {self._dtypes[name]}")
            with naming(self.folder, self.folder):
                self._files[name].write(data)
                self._files[name].flush()
        for row, number in enumerate(keys.tolist(), self.rows):
            self._appended[number] = row
        self.rows += len(keys)

    def column(self, name: str) -> np.ndarray:
        """Return all rows of a column."""
        file = self._files[name]
        file.seek(0)
        return np.fromfile(file, self._dtypes[name], self.rows)

    def read(self, name: str, rows: Iterable[int]) -> np.ndarray:
        """Return some rows of a column."""
        descriptor, places = self._files[name].fileno(), [int(row) for row in rows]
        size = self._dtypes[name].itemsize
        content = bytearray(len(places) * size)
        for number, place in enumerate(places):
            row = memoryview(content)[number * size : (number + 1) * size]
            positions.read_at(descriptor, row, place * size)
        return np.frombuffer(content, self._dtypes[name])
