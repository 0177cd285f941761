"""Utils/data/sources/deepdanbooru_database.py: the table posts, with few columns and with odd rows."""

import contextlib
import sqlite3

import pytest

from Utils.command.cli import UserError
from Utils.data.sources.deepdanbooru_database import read_deepdanbooru


def database(path, columns, *rows):
    connection = sqlite3.connect(path)
    connection.execute(f"CREATE TABLE posts({columns})")
    connection.executemany(f"INSERT INTO posts VALUES ({', '.join('?' * len(columns.split(',')))})", rows)
    connection.commit()
    connection.close()
    return path


def test_a_post_needs_only_an_id_and_tags(tmp_path):
    source = read_deepdanbooru(database(tmp_path / "x.db", "tag_string, id", ("a b", 5), ("b", 2)))
    (block,) = source.blocks()
    names = dict(zip(source.tags["tag_id"], source.tags["name"], strict=True))
    assert block.ids.tolist() == [2, 5]
    assert {names[tag] for tag in block.tag_ids[block.offsets[1] :]} == {"a", "b"}
    assert dict(zip(source.tags["name"], source.tags["count"], strict=True)) == {"a": 1, "b": 2}
    assert source.keep_unrated
    assert source.rating_counts() == {}


def test_a_row_that_is_no_post_is_listed(tmp_path):
    source = read_deepdanbooru(
        database(tmp_path / "x.db", "id, tag_string, rating", (1, "a", "s"), ("x", "a", "s"), (2, None, "s"))
    )
    assert [block.ids.tolist() for block in source.blocks()] == [[1]]
    assert sorted(source.rejected) == [(-1, "row x", "post id is no whole number"), (2, "row 2", "no tags")]
    assert not source.keep_unrated


@pytest.mark.reliability(
    "a row of an SQLite database of posts that is no UTF-8", "it is left out and listed; the others are read"
)
def test_a_row_that_is_no_utf8_is_listed(tmp_path):
    path = database(tmp_path / "x.db", "id, tag_string", (1, "a b\ufffd"))
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("INSERT INTO posts VALUES (2, CAST(x'6120636166e9' AS TEXT))")
    source = read_deepdanbooru(path)
    assert sorted(source.tags["name"]) == ["a", "b\ufffd"]
    assert source.rejected == ((-1, "row 2", "characters that are no UTF-8"),)


def test_a_table_without_ids_or_tags_is_an_error(tmp_path):
    with pytest.raises(UserError, match="table posts has no column id; it has name"):
        read_deepdanbooru(database(tmp_path / "x.db", "name"))
    with pytest.raises(UserError, match="table posts needs a column id .* one of tag_string"):
        read_deepdanbooru(database(tmp_path / "y.db", "id, score"))
