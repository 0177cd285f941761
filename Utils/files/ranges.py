"""Parts of files, read by several threads: from disks here, or by ranged requests from elsewhere."""

import io
import os
import stat
from typing import Any

from Utils.files import atomic, positions
from Utils.files.atomic import AnyPath

# Without O_NONBLOCK opening a pipe would wait for its writer, without O_BINARY Windows would change line
# ends; no system has all of them.
OPEN_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NONBLOCK", "O_BINARY"))
# What file systems call that which changes with a file's content, the surest first.
_STAMPS = (
    "etag",
    "ETag",
    "md5Hash",
    "crc32c",
    "mtime",
    "LastModified",
    "last_modified",
    "updated",
    "created",
)


class RangeReader:
    """A file of which any part can be read, at any time, by any thread.

    Args:
        path: local, or of any file system that fsspec opens.

    Attributes:
        size: of the file in bytes.
        stamp: text that changes when the file does: size and time of change, or the file system's own tag.
        is_remote: whether every read is a request over a network.

    Raises OSError where the file cannot be opened, ValueError where it is no regular file.
    """

    def __init__(self, path: AnyPath) -> None:
        place: Any = atomic.to_path(path)
        self.path, self.is_remote = str(path), atomic.is_remote(place)
        self._descriptor = -1
        if self.is_remote:
            self._fs, self._name = place.fs, place.path
            facts = self._fs.info(self._name)
            self.size = int(facts["size"])
            self.stamp = _remote_stamp(facts)
            return
        self._descriptor = os.open(place, OPEN_FLAGS)
        facts = os.fstat(self._descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise ValueError(f"{path} is no file")
        if hasattr(os, "posix_fadvise"):  # else the system reads 128 kB around each header of a tar
            os.posix_fadvise(self._descriptor, 0, 0, os.POSIX_FADV_RANDOM)
        self.size = facts.st_size
        self.stamp = f"{facts.st_size} {facts.st_mtime_ns}"

    def read(self, offset: int, length: int) -> bytes:
        """Return ``length`` bytes from ``offset`` on, fewer where the file ends before."""
        length = min(length, self.size - offset)
        if length <= 0 or offset < 0:
            return b""
        if self.is_remote:
            return self._fs.cat_file(self._name, start=offset, end=offset + length)
        if hasattr(os, "pread"):
            data = os.pread(self._descriptor, length, offset)
            if len(data) == length:
                return data
        buffer, done = bytearray(length), 0
        while done < length:
            count = positions.read_at(self._descriptor, memoryview(buffer)[done:], offset + done)
            if not count:
                break
            done += count
        return bytes(buffer[:done])

    def __del__(self) -> None:
        # Not a method that callers call: another thread may still read, and a number that was closed under it
        # would soon be another file's.
        if getattr(self, "_descriptor", -1) >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def stamp(path: AnyPath) -> str:
    """Return the `RangeReader.stamp` of a file without opening it."""
    place: Any = atomic.to_path(path)
    if atomic.is_remote(place):
        return _remote_stamp(place.fs.info(place.path))
    facts = place.stat()
    return f"{facts.st_size} {facts.st_mtime_ns}"


def _remote_stamp(facts: dict[str, Any]) -> str:
    name = next((name for name in _STAMPS if facts.get(name)), None)
    return f"{facts['size']}{f' {name} {facts[name]}' if name else ''}"


class RangeFile(io.RawIOBase):
    """A `RangeReader` as a file object, for libraries that want one."""

    def __init__(self, reader: RangeReader) -> None:
        super().__init__()
        self._reader, self._position = reader, 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a place; return it."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._reader.size}[whence]
        if base + offset < 0:
            raise io.UnsupportedOperation("a place before the file's start")  # an OSError, as files raise
        self._position = base + offset
        return self._position

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes, at most ``size`` (-1: all)."""
        rest = max(self._reader.size - self._position, 0)
        data = self._reader.read(self._position, rest if size < 0 else min(size, rest))
        self._position += len(data)
        return data

    def tell(self) -> int:
        """Return the present place."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the present place; return how many bytes it got."""
        data = self._reader.read(self._position, len(buffer))
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)
