"""Rows that were costly to make, kept in a folder by a key: work that was stopped goes on where it was.

One file a column, rows of one size, appended; the keys are written last, so that what a stopped process left
unfinished is cut off by the next. Rows are read through the files: a mapping would count as memory.
"""

import fcntl
import hashlib
import os

import numpy as np

from Utils.command.cli import UserError
from Utils.files.atomic import read_json, write_json

KEYS = "keys.bin"
FORMAT = "format.json"


def key(*words):
    """Return the 64-bit key of some words: the start of their SHA-256."""
    text = "\0".join(map(str, words)).encode("utf-8", "surrogateescape")
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little")


class Ledger:
    """A folder of rows by key; a context manager.

    Args:
        folder: made where it is absent; rows of another format there are thrown away.
        columns: ``{name: numpy dtype}``.
        made_by: what else decides on the rows, such as a version; other rows are of another format.

    Raises UserError where another process has the folder.
    """

    def __init__(self, folder, columns, made_by):
        self.folder = folder
        self._dtypes = {name: np.dtype(dtype) for name, dtype in columns.items()} | {
            KEYS: np.dtype(np.uint64)
        }
        described = {"made_by": made_by, "columns": {name: str(dtype) for name, dtype in columns.items()}}
        folder.mkdir(parents=True, exist_ok=True)
        self._files = {}
        try:
            self._open(described)
        except BaseException:
            self.close()
            raise

    def _open(self, described):
        names = {name: name if name == KEYS else f"{name}.bin" for name in self._dtypes}
        for name, file in names.items():
            self._files[name] = (self.folder / file).open("a+b")  # noqa: SIM115  closed by close
        try:
            fcntl.flock(self._files[KEYS], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(f"{self.folder} is in use by another process; wait for it to end") from error
        place = self.folder / FORMAT
        known = place.is_file() and read_json(place) == described
        sizes = [os.fstat(file.fileno()).st_size for file in self._files.values()]
        whole = min(size // dtype.itemsize for size, dtype in zip(sizes, self._dtypes.values(), strict=True))
        self.rows = whole if known else 0
        for name, file in self._files.items():
            file.truncate(self.rows * self._dtypes[name].itemsize)
        if not known:
            write_json(place, described)
        keys = self.column(KEYS)
        self._order = np.argsort(keys, kind="stable")
        self._rising = keys[self._order]
        self._fresh = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        """Close the files."""
        for file in self._files.values():
            file.close()

    def find(self, keys):
        """Return the row of every key, -1 where there is none: int64 (N,)."""
        keys = np.asarray(keys, np.uint64)
        if not len(self._rising):
            found = np.full(len(keys), -1, np.int64)
        else:
            place = np.minimum(np.searchsorted(self._rising, keys), len(self._rising) - 1)
            found = np.where(self._rising[place] == keys, self._order[place], -1)
        for at in np.flatnonzero(found < 0) if self._fresh else ():
            found[at] = self._fresh.get(int(keys[at]), -1)
        return found

    def append(self, keys, **columns):
        """Add rows; they are in the files when this returns."""
        keys = np.asarray(keys, np.uint64)
        for name, values in [*columns.items(), (KEYS, keys)]:
            data = np.asarray(values, self._dtypes[name].base).tobytes()
            if len(data) != len(keys) * self._dtypes[name].itemsize:
                raise ValueError(f"{name} has {len(data)} bytes for {len(keys)} rows of {self._dtypes[name]}")
            self._files[name].write(data)
            self._files[name].flush()
        for at, number in enumerate(keys.tolist()):
            self._fresh[number] = self.rows + at
        self.rows += len(keys)

    def column(self, name):
        """Return a whole column."""
        file = self._files[name]
        file.seek(0)
        return np.fromfile(file, self._dtypes[name], self.rows)

    def read(self, name, rows):
        """Return some rows of a column."""
        dtype, descriptor = self._dtypes[name], self._files[name].fileno()
        parts = (os.pread(descriptor, dtype.itemsize, int(row) * dtype.itemsize) for row in rows)
        return np.frombuffer(b"".join(parts), dtype)
