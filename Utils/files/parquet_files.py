"""Parquet files: tables and batches with checked columns, errors that name the file."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from Utils.command.cli import UserError
from Utils.files import damage
from Utils.files.atomic import AnyPath, require_file, to_path

Columns = Mapping[str, pa.DataType]
FAULT = "is damaged or no Parquet file"


def batches(
    path: AnyPath,
    what: str,
    columns: Columns | Callable[[list[str]], Sequence[str]],
    size: int,
    error_type: type[Exception] = UserError,
) -> Iterator[pa.Table]:
    """Yield the rows of a file as tables of at most ``size`` rows.

    Args:
        path: of the file.
        what: it should be, for errors.
        columns: as `read` takes them; or a function that chooses among the names, for files of others, whose
            columns may have any type and empty cells.
        size: rows at a time.
        error_type: raised, with the file's name, where the file is damaged.
    """
    path = require_file(path, what)
    with contextlib.ExitStack() as stack:
        with damage.named(path, FAULT, error_type):
            file = stack.enter_context(path.open("rb"))
            parquet = stack.enter_context(pq.ParquetFile(file, page_checksum_verification=True))
            names = parquet.schema_arrow.names
        if callable(columns):
            names_to_read, check = list(columns(names)), None
        else:
            _require_columns(path, names, columns)
            names_to_read, check = list(columns), columns
        parts = parquet.iter_batches(size, columns=names_to_read)
        for batch in damage.iterate(parts, path, FAULT, error_type):
            with damage.named(path, FAULT, error_type):
                table = pa.Table.from_batches([batch])
                table.validate(full=True)
                table = table if check is None else _checked(path, table, check)
            yield table


def read(path: AnyPath, what: str, columns: Columns, filters: Any = None) -> pa.Table:
    """Return the columns of a file as a table of the types asked for.

    Args:
        path: of the file.
        what: it should be, for errors.
        columns: name and type of each; a type that loses nothing may be stored. No cell may be empty.
        filters: as `pyarrow.parquet.read_table` takes them.

    Raises UserError that names the file where it is damaged or lacks a column.
    """
    path = require_file(path, what)
    with path.open("rb") as file, damage.named(path, FAULT):
        with pq.ParquetFile(file) as parquet:
            _require_columns(path, parquet.schema_arrow.names, columns)
        table = pq.read_table(file, columns=list(columns), filters=filters, page_checksum_verification=True)
        return _checked(path, table, columns)


def has_column(path: AnyPath, what: str, name: str) -> bool:
    """Return whether a file has a column; UserError that names it where it is damaged."""
    with require_file(path, what).open("rb") as file, damage.named(path, FAULT):
        return name in pq.read_schema(file).names


def num_rows(path: AnyPath, error_type: type[Exception] = UserError) -> int:
    """Return the number of rows of a file, as its end says."""
    with damage.named(path, FAULT, error_type), to_path(path).open("rb") as file:
        return pq.read_metadata(file).num_rows


def _checked(path: AnyPath, table: pa.Table, columns: Columns) -> pa.Table:
    """Return a table with its columns in one piece and of these types, every offset and text checked."""
    table.validate(full=True)
    table = table.combine_chunks().select(list(columns)).cast(pa.schema(list(columns.items())))
    for name, column in zip(table.column_names, table.columns, strict=True):
        lists = pa.types.is_list(column.type)
        if column.null_count or (lists and column.combine_chunks().flatten().null_count):
            raise UserError(f"{path}: the column {name} has empty cells; each must be {columns[name]}")
    return table


def _require_columns(path: AnyPath, names: list[str], columns: Columns) -> None:
    missing = [name for name in columns if name not in names]
    if missing:
        raise UserError(f"{path} lacks the column {' and '.join(missing)}; it has {', '.join(names)}")
