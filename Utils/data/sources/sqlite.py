"""SQLite databases, opened read-only and never trusted: what cannot be read is said in one sentence."""

import contextlib
import pathlib
import sqlite3
import urllib.parse

from Utils.command.cli import UserError, WorkError

WAIT = 5.0  # seconds for another program's lock


@contextlib.contextmanager
def opened(path):
    """Yield a read-only connection; text that is no UTF-8 comes with replacement characters."""
    address = f"file:{urllib.parse.quote(str(pathlib.Path(path).resolve()))}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=WAIT)) as database:
            database.text_factory = lambda data: data.decode("utf-8", "replace")
            yield database
    except sqlite3.DatabaseError as error:
        raise WorkError(f"{path} cannot be read: {error}") from error


def columns_of(path):
    """Return ``{table: [columns]}``, names as the database spells them; UserError where it is none."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise UserError(f"an SQLite database was expected at {path}; found {found}")
    try:
        with opened(path) as database:
            names = database.execute("SELECT name FROM sqlite_master WHERE type IN ('table', 'view')")
            return {name: _columns(database, name) for (name,) in names.fetchall()}
    except WorkError as error:
        raise UserError(f"{path} is no SQLite database that can be opened: {error.__cause__}") from error


def _columns(database, table):
    return [name for (name,) in database.execute("SELECT name FROM pragma_table_info(?)", (table,))]


def require(path, columns, needed):
    """Raise UserError where a table or column of ``needed``, ``{table: [columns]}``, is not there."""
    for table, names in needed.items():
        if table not in columns:
            there = ", ".join(columns) or "no tables at all"
            raise UserError(
                f"{path} has no table {table}; needed are {', '.join(needed)}; there are: {there}"
            )
        missing = [name for name in names if name not in columns[table]]
        if missing:
            raise UserError(
                f"{path}: table {table} has no column {' and '.join(missing)}; "
                f"it has {', '.join(columns[table])}"
            )
