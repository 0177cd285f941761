"""File locks that the operating system releases however the process ends, so no stale lock remains."""

import contextlib
import importlib
import importlib.util
import os
import pathlib
from collections.abc import Iterator
from typing import IO, Any

from Utils.command.cli import UserError

# Linux and macOS have one of them, Windows the other.
_posix: Any = importlib.import_module("fcntl") if importlib.util.find_spec("fcntl") else None
_windows: Any = importlib.import_module("msvcrt") if importlib.util.find_spec("msvcrt") else None

# Windows locks bytes, not files, and nobody else can read them; this one lies beyond the end of every file.
LOCKED_BYTE = 1 << 40


def try_lock(file: IO[Any]) -> bool:
    """Lock an open file until it is closed; False where another process, or another open of it, has the lock.

    A system without locks of either kind locks nothing and gives True: then nothing keeps two commands apart.
    """
    try:
        if _posix is not None:
            _posix.flock(file, _posix.LOCK_EX | _posix.LOCK_NB)
        elif _windows is not None:
            position = file.tell()
            file.seek(LOCKED_BYTE)
            try:
                _windows.locking(file.fileno(), _windows.LK_NBLCK, 1)
            finally:
                file.seek(position)
    except (BlockingIOError, PermissionError):
        return False
    return True


@contextlib.contextmanager
def sole_writer(output: pathlib.Path) -> Iterator[None]:
    """Hold the right to write an output while the context lasts; the lock is a hidden file beside it.

    A killed process leaves the file, which locks nothing any more. Raises UserError where another process
    writes the output.
    """
    path = output.with_name(f".{output.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        # A holder removes its file at the end: a lock of a removed file keeps nobody else away.
        if not try_lock(file) or not _is_at(file, path):
            raise UserError(
                f"{output} is being written by another process; wait for it or name another output"
            )
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows removes no open file; then it stays, unlocked
                path.unlink()


def _is_at(file: IO[Any], path: pathlib.Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
