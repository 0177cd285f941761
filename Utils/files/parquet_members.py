"""Parquet files with a column of files, as Hugging Face gives out pictures: ``{bytes, path}`` in each row.

A row cannot be read without its row group; the groups read last are kept, in bounded memory.
"""

import bisect
import collections
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from Utils.files import damage, parquet_pages
from Utils.files.ranges import RangeFile, RangeReader

_CACHED_BYTES = 1 << 26  # of row groups of a file, beside the one read last
_MOST_GROUP_BYTES = 1 << 32
_CONTENT, _PATH = "bytes", "path"
_LOOKED_AT = 16  # rows
_LONGEST_HASH = 64  # bytes, of SHA-512


class ParquetMember(NamedTuple):
    """A file in a row, and its name, which no other row has.

    Where rows have the same path their number stands before it. A row without a path is called ``row-5``: a
    number alone would be taken for that of a post.
    """

    name: str
    row: int
    is_nameless: bool = False  # whether the row has no path


class ParquetError(ValueError):
    """A Parquet file that cannot be read; ``str`` says why."""


class RowGroupError(ValueError):
    """A row group that cannot be read, of a file whose others perhaps can; ``str`` says why."""


def image_column(reader: RangeReader) -> str | None:
    """Return the first column that holds files, ``{bytes, path}`` or bytes; None where there is none.

    Raises ParquetError where the file is damaged.
    """
    with _opened(reader) as file:
        return _image_column(file)


def scan(reader: RangeReader) -> Iterator[ParquetMember]:
    """Yield the files of the image column in the order of rows, without reading their contents."""
    with _opened(reader) as file:
        column = _image_column(file)
        if column is None:
            raise ParquetError(
                f"it has no column of pictures (bytes, or {{bytes, path}}); it has "
                f"{', '.join(file.schema_arrow.names)}"
            )
        paths = _paths(file, column)
    counts = collections.Counter(paths)
    for row, path in enumerate(paths):
        name = f"row-{row}" if not path else f"{row}/{path}" if counts[path] > 1 else path
        yield ParquetMember(name, row, not path)


def values(reader: RangeReader, column: str) -> list[Any]:
    """Return the values of a column by row; empty where there is no such column."""
    with _opened(reader) as file:
        if column not in file.schema_arrow.names:
            return []
        try:
            return [value for batch in file.iter_batches(columns=[column]) for value in batch[0].to_pylist()]
        except (pa.ArrowException, OSError) as error:
            raise ParquetError(f"its column {column} is damaged ({damage.reason(error)})") from error


def plain_positions(reader: RangeReader) -> np.ndarray | None:
    """Return ``(offset, size)`` of the file in each row, int64 (N, 2); None if they cannot be read alone."""
    with _opened(reader) as file:
        column = _image_column(file)
        return parquet_pages.value_positions(reader, file, _content_path(file, str(column)))


def read_plain(reader: RangeReader, offset: int, size: int) -> bytes:
    """Return a file at one of the `plain_positions`; ParquetError where none is there."""
    content = parquet_pages.read_value(reader, offset, size)
    if content is None:
        raise ParquetError(f"no value of {size} bytes is at byte {offset}")
    return content


def row_reader(path: str) -> "RowReader":
    """Return a reader of the rows of a file."""
    return RowReader(RangeReader(path))


def _content_path(file: pq.ParquetFile, column: str) -> str:
    """Return the path of the leaf with the contents in a column of files."""
    is_struct = pa.types.is_struct(file.schema_arrow.field(column).type)
    return f"{column}.{_CONTENT}" if is_struct else column


def _paths(file: pq.ParquetFile, column: str) -> list[str | None]:
    kind = file.schema_arrow.field(column).type
    if not pa.types.is_struct(kind) or _PATH not in [child.name for child in kind]:
        return [None] * file.metadata.num_rows
    try:
        batches = file.iter_batches(1 << 16, columns=[f"{column}.{_PATH}"])
        return [path for batch in batches for path in batch.column(0).field(_PATH).to_pylist()]
    except (pa.ArrowException, OSError) as error:
        raise ParquetError(f"it is damaged ({damage.reason(error)})") from error


class RowReader:
    """Reads the files of single rows; safe to share between threads."""

    def __init__(self, reader: RangeReader) -> None:
        self._file = _opened(reader)
        column = _image_column(self._file)
        if column is None:
            raise ParquetError("it has no column of pictures")
        self._is_struct = pa.types.is_struct(self._file.schema_arrow.field(column).type)
        self._columns = [_content_path(self._file, column)]
        metadata, self._starts = self._file.metadata, [0]
        for group in range(metadata.num_row_groups):
            self._starts.append(self._starts[-1] + metadata.row_group(group).num_rows)
        self._groups: collections.OrderedDict[int, pa.Array] = collections.OrderedDict()
        self._lock = threading.Lock()

    def read(self, row: int) -> bytes:
        """Return the content of a row's file, empty where there is none.

        Raises ParquetError where there is no such row, RowGroupError where its row group is damaged.
        """
        return self._value(row).as_py() or b""

    def buffers(self, rows: Sequence[int]) -> Iterator[pa.Buffer | None]:
        """Yield the files of ascending rows without copying them; None where their row group is damaged.

        A row group is held at a time, while its buffers are asked for.
        """
        groups = np.searchsorted(self._starts, rows, side="right") - 1
        for group in np.unique(groups).tolist():
            places = np.array(rows)[groups == group] - self._starts[group]
            try:
                with self._lock:
                    values = self._read_group(group)
            except RowGroupError:
                yield from [None] * len(places)
                continue
            for place in places.tolist():
                yield values[place].as_buffer() or pa.py_buffer(b"")
            del values

    def _value(self, row: int) -> pa.BinaryScalar:
        group = bisect.bisect_right(self._starts, row) - 1
        if not 0 <= row < self._starts[-1]:
            raise ParquetError(f"it has no row {row}")
        with self._lock:  # pyarrow's files move a common position
            values = self._groups.get(group)
            if values is None:
                values = self._read_group(group)
                self._groups[group] = values
                while len(self._groups) > 1 and sum(v.nbytes for v in self._groups.values()) > _CACHED_BYTES:
                    self._groups.popitem(last=False)
            self._groups.move_to_end(group)
        return values[row - self._starts[group]]

    def _read_group(self, group: int) -> pa.Array:
        size = self._file.metadata.row_group(group).total_byte_size
        if size > _MOST_GROUP_BYTES:
            raise RowGroupError(f"row group {group} has {size} bytes, too many to hold")
        try:
            table = self._file.read_row_group(group, columns=self._columns)
            array = table.column(0)
            array = array.chunk(0) if array.num_chunks == 1 else array.combine_chunks()  # which would copy
        except (pa.ArrowException, OSError) as error:
            raise RowGroupError(f"row group {group} is damaged ({damage.reason(error)})") from error
        if isinstance(array, pa.ChunkedArray):
            array = pa.concat_arrays(array.chunks)
        return array.field(_CONTENT) if self._is_struct else array


def _opened(reader: RangeReader) -> pq.ParquetFile:
    try:
        return pq.ParquetFile(RangeFile(reader))  # it reads whole columns: a buffer would copy them once more
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ParquetError(f"it is damaged or no Parquet file ({damage.reason(error)})") from error


def _image_column(file: pq.ParquetFile) -> str | None:
    schema = file.schema_arrow
    for field in schema:
        if pa.types.is_struct(field.type):
            children = {child.name: child.type for child in field.type}
            if is_bytes(children.get(_CONTENT)) and (_PATH in children or len(children) == 1):
                return field.name
    columns = (field.name for field in schema if is_bytes(field.type))
    return next((column for column in columns if _holds_files(file, column)), None)


def is_bytes(kind: pa.DataType | None) -> bool:
    """Whether a column's type is bytes."""
    return kind is not None and (pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _holds_files(file: pq.ParquetFile, column: str) -> bool:
    """Whether the first value of a column of bytes is a file's content: no text, and longer than a hash."""
    try:
        for batch in file.iter_batches(_LOOKED_AT, columns=[column]):
            value = next(filter(None, batch.column(0).to_pylist()), b"")
            return len(value) > _LONGEST_HASH and not _is_text(value)
    except (pa.ArrowException, OSError) as error:
        raise ParquetError(f"it is damaged ({damage.reason(error)})") from error
    return False


def _is_text(value: bytes) -> bool:
    try:
        return "\0" not in value.decode("utf-8")
    except UnicodeDecodeError:
        return False
