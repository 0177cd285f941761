"""Archives that are open, and the contents of their members; safe to share between threads."""

import collections
import threading
from collections.abc import Callable
from typing import Any

from Utils.files import parquet_members, tar_members, zip_members
from Utils.files.archive_scan import PARQUET, PARQUET_PLAIN, TAR, TAR_OF_JSON, ZIP
from Utils.files.ranges import RangeReader
from Utils.files.zip_members import ZipMember

_MOST_OPEN = 64  # archives
_MOST_ROW_READERS = 4  # each holds row groups

_readers: "collections.OrderedDict[str, RangeReader]" = collections.OrderedDict()
_row_readers: "collections.OrderedDict[str, parquet_members.RowReader]" = collections.OrderedDict()
_lock = threading.Lock()


def reader(path: str) -> RangeReader:
    """Return the reader of an archive; the archives used last stay open."""
    return _cached(_readers, path, RangeReader, _MOST_OPEN)


def read(
    kind: int, path: str, name: str, offset: int, size: int, packed: int, method: int, check: int
) -> bytes:
    """Return the content of a member; the arguments are as in `archive_scan.SCHEMA`.

    Raises TarError, ZipError, ParquetError or RowGroupError where it is damaged or another one.
    """
    if kind == TAR:
        return tar_members.read_member(reader(path), name, offset, size, check)
    if kind == TAR_OF_JSON:
        return tar_members.read_member(reader(path), name, offset, size, None)
    if kind == ZIP:
        return zip_members.read_member(reader(path), ZipMember(name, offset, size, packed, method, check))
    if kind == PARQUET_PLAIN:
        return parquet_members.read_plain(reader(path), offset, size)
    assert kind == PARQUET
    return _cached(_row_readers, path, parquet_members.row_reader, _MOST_ROW_READERS).read(offset)


def forget(path: str) -> None:
    """Close what is open of an archive, which is perhaps an old file."""
    with _lock:
        _readers.pop(path, None)
        _row_readers.pop(path, None)


def _cached(cache: Any, path: str, make: Callable[[str], Any], most: int) -> Any:
    """Return what is open of an archive, or open it; of those used last ``most`` stay open.

    One that leaves is closed when nobody reads from it any more.
    """
    with _lock:
        if path in cache:
            cache.move_to_end(path)
            return cache[path]
    opened = make(path)
    with _lock:
        cache[path] = opened
        while len(cache) > most:
            cache.popitem(last=False)
    return opened
