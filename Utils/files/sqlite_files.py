"""SQLite databases, opened read-only; one that is damaged, or no database, is one error that names it."""

import contextlib
import pathlib
import sqlite3
import urllib.parse
from collections.abc import Iterator

from Utils.command.cli import UserError, WorkError
from Utils.files.atomic import AnyPath

WAIT = 5.0  # seconds to wait for another program's lock


# Of a database that is written: a full disk, a limit on the size of files, a disk that fails.
_NOT_WRITTEN = (
    "SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_TRUNCATE",
    "SQLITE_IOERR_DIR_FSYNC", "SQLITE_IOERR_DELETE",
)  # fmt: skip


@contextlib.contextmanager
def named(
    path: AnyPath, error_type: type[Exception] = UserError, written: AnyPath | None = None
) -> Iterator[None]:
    """Raise ``error_type`` that names the database for whatever SQLite raises in the block.

    Where the block writes a database, too, WorkError names that one, ``written``, if it cannot be written.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if written is not None and getattr(error, "sqlite_errorname", "") in _NOT_WRITTEN:
            raise WorkError(
                f"{written} cannot be written, there is no space left or files may not be so large: {error}"
            ) from error
        raise error_type(f"{path} cannot be read as an SQLite database: {error}") from error
    # Damage also gives sizes that Python's module cannot hold, and names and messages that are no UTF-8.
    except (sqlite3.Error, OverflowError, UnicodeDecodeError) as error:
        raise error_type(f"{path} cannot be read as an SQLite database: {error}") from error


def decoded(text: bytes) -> str:
    """Return text of a database; bytes that are no UTF-8 become lone surrogates (PEP 383)."""
    return text.decode("utf-8", "surrogateescape")


def open_read_only(path: AnyPath, many_threads: bool = False) -> sqlite3.Connection:
    """Return a read-only connection, whose text is `decoded`.

    Raises OSError where the system refuses to open the file: SQLite would not say why.
    """
    pathlib.Path(path).open("rb").close()
    address = f"file:{urllib.parse.quote(str(pathlib.Path(path).resolve()))}?mode=ro"
    database = sqlite3.connect(address, uri=True, timeout=WAIT, check_same_thread=not many_threads)
    database.text_factory = decoded
    return database
