"""File locks that the operating system releases however the process ends, so no stale lock remains."""

import contextlib
import importlib
import importlib.util
import os
import pathlib
import time
from collections.abc import Iterator
from typing import IO, Any

from Utils.command.cli import UserError

# Linux and macOS have one of them, Windows the other.
_posix: Any = importlib.import_module("fcntl") if importlib.util.find_spec("fcntl") else None
_windows: Any = importlib.import_module("msvcrt") if importlib.util.find_spec("msvcrt") else None

# Windows locks bytes, not files, and nobody else can read them; this one lies beyond the end of every file.
LOCKED_BYTE = 1 << 40


_PATIENCE = 0.2  # seconds: another process may be looking whether a folder is held


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
def sole_writer(output: pathlib.Path, patience: float = 0.0) -> Iterator[None]:
    """Hold the right to write an output while the context lasts; the lock is a hidden file beside it.

    A killed process leaves the file, which locks nothing any more. Raises UserError where another process
    writes the output for longer than ``patience`` seconds.
    """
    path = output.with_name(f".{output.name}.lock")
    path.parent.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + patience
    while (file := _locked(path)) is None:
        if time.monotonic() >= end:
            raise UserError(
                f"{output} is being written by another process; wait for it or name another output"
            )
        time.sleep(0.01)
    with file:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows removes no open file; then it stays, unlocked
                path.unlink()


@contextlib.contextmanager
def holding(folder: pathlib.Path, alone: bool = True) -> Iterator[None]:
    """Hold a folder while the context lasts: alone, or beside others that do not hold it alone.

    The folder itself is locked, so nothing lies beside it, and a lock goes with a folder that is renamed.
    Nothing is held where the system does not lock folders: on Windows, and on some network file systems.
    Raises UserError where another process holds it.
    """
    end = time.monotonic() + _PATIENCE
    while (number := _locked_folder(folder, alone)) is None:
        if time.monotonic() >= end:
            raise UserError(
                f"{folder} is in use by another process; wait for it to end or name another folder"
            )
        time.sleep(0.01)
    try:
        yield
    finally:
        if number >= 0:
            os.close(number)


def is_held(folder: pathlib.Path) -> bool:
    """Whether another process, or another call of `holding`, holds a folder alone."""
    number = _locked_folder(folder, alone=False)
    if number is not None and number >= 0:
        os.close(number)
    return number is None


def _locked_folder(folder: pathlib.Path, alone: bool) -> int | None:
    """Return the number of an open and locked folder; None where it is held, -1 where none can be locked."""
    if _posix is None:
        return -1
    number = -1
    try:
        number = os.open(folder, os.O_RDONLY)
        _posix.flock(number, (_posix.LOCK_EX if alone else _posix.LOCK_SH) | _posix.LOCK_NB)
        is_there = os.path.samestat(os.fstat(number), folder.stat())
    except BlockingIOError:
        is_there = False
    except OSError:  # a folder that is gone or may not be read, a file system without such locks
        is_there = True
    if not is_there:
        os.close(number)
        return None
    return number


def _locked(path: pathlib.Path) -> IO[bytes] | None:
    """Return the open and locked file at ``path``; None where another process has it."""
    file = path.open("ab")
    # A holder removes its file at the end: a lock of a removed file keeps nobody else away.
    if try_lock(file) and _is_at(file, path):
        return file
    file.close()
    return None


def _is_at(file: IO[Any], path: pathlib.Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
