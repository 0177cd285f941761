"""SQLite databases of other programs, opened read-only; errors of SQLite become a UserError."""

import contextlib
import pathlib
import sqlite3
from collections.abc import Collection, Iterator, Mapping

from Utils.command.cli import UserError, WorkError
from Utils.files import sqlite_files
from Utils.files.atomic import AnyPath

Schema = Mapping[str, Collection[str]]  # table -> columns


@contextlib.contextmanager
def connect(path: AnyPath) -> Iterator[sqlite3.Connection]:
    """Yield a read-only connection; bytes that are no UTF-8 come as lone surrogates (PEP 383).

    Raises WorkError where the database cannot be read, then or later.
    """
    with (
        sqlite_files.named(path, WorkError),
        contextlib.closing(sqlite_files.open_read_only(path)) as database,
    ):
        yield database


def read_schema(path: pathlib.Path) -> dict[str, list[str]]:
    """Return ``{table: [columns]}``, names as the database spells them; UserError where it is no database."""
    if not path.is_file():
        actual = "a folder" if path.is_dir() else "nothing"
        raise UserError(f"an SQLite database was expected at {path}; found {actual}")
    try:
        with connect(path) as database:
            names = database.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
            return {name: _columns(database, name) for (name,) in names.fetchall()}
    except WorkError as error:
        raise UserError(f"{path} is no SQLite database that can be opened: {error.__cause__}") from error


def _columns(database: sqlite3.Connection, table: str) -> list[str]:
    return [name for (name,) in database.execute("SELECT name FROM pragma_table_info(?)", (table,))]


def require_columns(path: AnyPath, schema: Schema, needed: Schema) -> None:
    """Raise UserError where a table or a column of ``needed`` is missing in ``schema``."""
    for table, names in needed.items():
        if table not in schema:
            tables = ", ".join(schema) or "no tables at all"
            raise UserError(
                f"{path} has no table {table}; needed are {', '.join(needed)}; there are: {tables}"
            )
        missing = [name for name in names if name not in schema[table]]
        if missing:
            raise UserError(
                f"{path}: table {table} has no column {' and '.join(missing)}; "
                f"it has {', '.join(schema[table])}"
            )
