"""Reading and writing at a place of an open file, by several threads, on every system.

Linux and macOS have pread and pwrite. Windows has not: there a lock keeps moving and reading together.
"""

import os
import threading

_moving = threading.Lock()


def read_at(descriptor: int, view: memoryview, place: int) -> int:
    """Fill a view (bytes) from a place of a file; return how many bytes were read, 0 at its end."""
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [view], place)
    with _moving:
        os.lseek(descriptor, place, os.SEEK_SET)
        data = os.read(descriptor, len(view))
    view[: len(data)] = data
    return len(data)


def write_at(descriptor: int, view: memoryview, place: int) -> int:
    """Write a view (bytes) to a place of a file; return how many bytes were written."""
    if hasattr(os, "pwrite"):
        return os.pwrite(descriptor, view, place)
    with _moving:
        os.lseek(descriptor, place, os.SEEK_SET)
        return os.write(descriptor, view)
