"""SQLite databases are only read; damage in one is an error with its name."""

import contextlib
import sqlite3

import pytest

from Utils.command.cli import UserError, WorkError
from Utils.files import sqlite_files


def test_a_database_is_only_read(tmp_path):
    path = tmp_path / "a b?.db"
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("CREATE TABLE t (name TEXT)")
        database.execute("INSERT INTO t VALUES (CAST(x'61ff' AS TEXT))")
    with contextlib.closing(sqlite_files.open_read_only(path)) as database:
        assert database.execute("SELECT name FROM t").fetchall() == [("a\udcff",)]
        with pytest.raises(UserError, match="cannot be read as an SQLite database"), sqlite_files.named(path):
            database.execute("DELETE FROM t")


@pytest.mark.parametrize("error_type", [UserError, WorkError])
def test_a_file_that_is_no_database_is_named(tmp_path, error_type):
    (tmp_path / "x.db").write_bytes(b"no database" * 99)
    database = sqlite_files.open_read_only(tmp_path / "x.db")
    with pytest.raises(error_type, match=r"x\.db cannot"), sqlite_files.named(tmp_path / "x.db", error_type):
        database.execute("SELECT * FROM t")
    database.close()


def test_what_the_system_refuses_is_said_in_its_words(tmp_path):
    for path, reason in ((tmp_path / "gone.db", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(OSError, match=f"{reason}.*{path}"), sqlite_files.named(path):
            sqlite_files.open_read_only(path)
