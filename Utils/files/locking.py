"""Locks of open files that a process cannot leave behind: the system drops them however the process ends."""

import importlib
import importlib.util
from typing import IO, Any

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
