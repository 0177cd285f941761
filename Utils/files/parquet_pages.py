"""Where the values of an uncompressed column of bytes lie in a Parquet file, so that each can be read alone.

Hugging Face writes columns of pictures so since `datasets` 4.6.0 (February 2026): pictures are compressed
already. Facts: the Parquet format (page headers in Thrift's compact protocol, PLAIN encoding, data pages of
versions 1 and 2), github.com/apache/parquet-format.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from Utils.files.ranges import RangeReader

_LENGTH = 4  # bytes before each value
_DATA_PAGE, _DATA_PAGE_V2, _PLAIN = 0, 3, 0
_HEADERS = (1 << 12, 1 << 20)  # bytes that may hold a page's header; statistics make it long

_NOT_UNDERSTOOD = (ValueError, LookupError, TypeError, AttributeError, RecursionError)

Fields = dict[int, Any]


def value_positions(reader: RangeReader, file: pq.ParquetFile, path: str) -> np.ndarray | None:
    """Return ``(offset, size)`` of the content of every row of a column: int64 (N, 2).

    Args:
        reader: of the file.
        file: the same file.
        path: of the column, as ``image.bytes``.

    None where values cannot be read alone: they are compressed, in a dictionary, repeated or absent. Values
    are passed over, not read; on another file system each page is one request.
    """
    parts = [np.zeros((0, 2), np.int64)]
    for group in range(file.metadata.num_row_groups):
        positions = _positions_in_group(reader, file, group, path)
        if positions is None:
            return None
        parts.append(positions)
    return np.concatenate(parts)


def read_value(reader: RangeReader, offset: int, size: int) -> bytes | None:
    """Return a value; None where the length before it is not ``size``."""
    data = reader.read(offset - _LENGTH, _LENGTH + size)
    is_there = len(data) == _LENGTH + size and int.from_bytes(data[:_LENGTH], "little") == size
    return data[_LENGTH:] if is_there else None


def _positions_in_group(
    reader: RangeReader, file: pq.ParquetFile, group: int, path: str
) -> np.ndarray | None:
    metadata = file.metadata.row_group(group)
    number = next(n for n in range(metadata.num_columns) if metadata.column(n).path_in_schema == path)
    chunk, levels = metadata.column(number), file.schema.column(number)
    has_all = chunk.statistics is not None and chunk.statistics.null_count == 0
    is_plain = chunk.compression == "UNCOMPRESSED" and not chunk.has_dictionary_page
    if not (is_plain and has_all and levels.max_repetition_level == 0):
        return None
    start, end = chunk.data_page_offset, chunk.data_page_offset + chunk.total_compressed_size
    try:
        pages = _pages(reader, start, end, levels.max_definition_level > 0)
        positions = [value for page in pages for value in page]
    except _NOT_UNDERSTOOD:  # damaged, or of a kind that no program writes
        return None
    return np.array(positions, np.int64).reshape(-1, 2) if len(positions) == metadata.num_rows else None


def _pages(reader: RangeReader, at: int, end: int, has_levels: bool) -> Iterator[list[tuple[int, int]]]:
    """Yield the positions of the values of each page between two bytes; ValueError where none are plain."""
    while at < end:
        fields, start = _page_header(reader, at)
        at = start + fields[3]
        if not start <= at <= end:
            raise ValueError("a page that does not end in its column")
        read = _reading(reader, start, at)
        if fields[1] == _DATA_PAGE_V2:
            header, levels = fields[8], fields[8].get(5, 0) + fields[8].get(6, 0)
            encoding = header[4]
        elif fields[1] == _DATA_PAGE:
            header = fields[5]
            levels = _LENGTH + int.from_bytes(read(start, _LENGTH), "little") if has_levels else 0
            encoding = header[2]
        else:
            raise ValueError("a page of another kind")
        if encoding != _PLAIN:
            raise ValueError("values in another encoding")
        yield _values(read, start + levels, at, header[1])
    if at != end:
        raise ValueError("pages that do not end with their column")


def _reading(reader: RangeReader, start: int, end: int) -> Callable[[int, int], bytes]:
    """Return a function ``(offset, length) -> bytes`` for a page: elsewhere one request reads all of it."""
    if not reader.is_remote:
        return reader.read
    page = reader.read(start, end - start)
    return lambda offset, length: page[offset - start : offset - start + length]


def _values(read: Callable[[int, int], bytes], at: int, end: int, count: int) -> list[tuple[int, int]]:
    positions = []
    for _ in range(count):
        size = int.from_bytes(read(at, _LENGTH), "little")
        positions.append((at + _LENGTH, size))
        at += _LENGTH + size
        if at > end:
            raise ValueError("a value that does not end in its page")
    if at != end:
        raise ValueError("a page with more than its values")
    return positions


def _page_header(reader: RangeReader, at: int) -> tuple[Fields, int]:
    """Return the fields of a page's header, and the byte behind it."""
    for length in _HEADERS:
        try:
            fields, size = _struct(reader.read(at, length), 0)
        except IndexError:  # longer than what was read
            continue
        return fields, at + size
    raise ValueError("a header of a page that does not end")


def _struct(data: bytes, at: int) -> tuple[Fields, int]:
    """Return ``{field: value}`` of a struct in Thrift's compact protocol, and the byte behind it.

    Raises IndexError where the data end before it, ValueError for types that no page header has.
    """
    fields: Fields = {}
    field = 0
    while data[at]:
        step, kind = data[at] >> 4, data[at] & 15
        at += 1
        if step:
            field += step
        else:
            field, at = _zigzag(data, at)
        if kind in (1, 2):  # true and false are types of their own
            fields[field] = kind == 1
        elif kind == 3:
            fields[field], at = data[at], at + 1
        elif kind in (4, 5, 6):
            fields[field], at = _zigzag(data, at)
        elif kind == 8:
            length, at = _varint(data, at)
            at += length
        elif kind == 12:
            fields[field], at = _struct(data, at)
        else:
            raise ValueError(f"a field of type {kind}")
    return fields, at + 1


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        value |= (data[at] & 127) << shift
        shift += 7
        at += 1
        if data[at - 1] < 128:
            return value, at


def _zigzag(data: bytes, at: int) -> tuple[int, int]:
    value, at = _varint(data, at)
    return (value >> 1) ^ -(value & 1), at
