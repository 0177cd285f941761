"""SQLite databases, opened read-only; one that is damaged, or no database, is one error that names it."""

import contextlib
import pathlib
import sqlite3
import urllib.parse
from collections.abc import Iterator

from Utils.command.cli import UserError
from Utils.files.atomic import AnyPath

WAIT = 5.0  # seconds to wait for another program's lock


@contextlib.contextmanager
def named(path: AnyPath, error_type: type[Exception] = UserError) -> Iterator[None]:
    """Raise ``error_type`` that names the database for whatever SQLite raises in the block."""
    try:
        yield
    # Damage also gives sizes that Python's module cannot hold, and names and messages that are no UTF-8.
    except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
        raise error_type(f"{path} cannot be read as an SQLite database: {error}") from error


def open_read_only(path: AnyPath, many_threads: bool = False) -> sqlite3.Connection:
    """Return a read-only connection; text that is no UTF-8 comes with replacement characters."""
    address = f"file:{urllib.parse.quote(str(pathlib.Path(path).resolve()))}?mode=ro"
    database = sqlite3.connect(address, uri=True, timeout=WAIT, check_same_thread=not many_threads)
    database.text_factory = lambda data: data.decode("utf-8", "replace")
    return database
