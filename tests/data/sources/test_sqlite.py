"""Utils/data/sources/sqlite.py: databases are only read, and what is none is named."""

import sqlite3

import pytest

from Utils.command.cli import UserError, WorkError
from Utils.data.sources import sqlite


@pytest.fixture
def path(tmp_path):
    connection = sqlite3.connect(tmp_path / "a b?.db")
    connection.execute("CREATE TABLE posts(id INT, name TEXT)")
    connection.execute("INSERT INTO posts VALUES (1, CAST(x'61ff' AS TEXT))")
    connection.execute("CREATE VIEW same AS SELECT id FROM posts")
    connection.commit()
    connection.close()
    return tmp_path / "a b?.db"


def test_a_schema_has_tables_and_views(path):
    assert sqlite.read_schema(path) == {"posts": ["id", "name"], "same": ["id"]}
    sqlite.require_columns(path, {"posts": ["id", "name"]}, {"posts": ("name",)})


def test_a_database_is_only_read_and_wrong_utf8_is_kept_apart(path):
    before = path.read_bytes()
    with sqlite.connect(path) as database:
        assert database.execute("SELECT name FROM posts").fetchall() == [("a\udcff",)]
    refused = pytest.raises(
        WorkError, match="cannot be read as an SQLite database: attempt to write a readonly database"
    )
    with refused, sqlite.connect(path) as database:
        database.execute("DELETE FROM posts")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_what_is_missing_is_named(tmp_path):
    (tmp_path / "text.db").write_text("no database, but long enough for a header\n" * 9)
    for name, message in (
        ("none.db", "found nothing"),
        (".", "found a folder"),
        ("text.db", "not a database"),
    ):
        with pytest.raises(UserError, match=message):
            sqlite.read_schema(tmp_path / name)
    for schema, message in (
        ({}, "no tables at all"),
        ({"a": ["x"], "b": []}, "no table images; .* there are: a, b"),
        ({"images": ["x", "y"]}, "no column id and rating; it has x, y"),
    ):
        with pytest.raises(UserError, match=message):
            sqlite.require_columns("x.db", schema, {"images": ("id", "rating")})
