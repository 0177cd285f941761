"""Utils/data/sources/fire_eggs_database.py: one pass over a database gives what one query a post gives."""

import sqlite3

import pytest
from helpers import small_booru

from Utils.command.cli import UserError
from Utils.data.danbooru_fields import STATUSES
from Utils.data.sources import stream
from Utils.data.sources.fire_eggs_database import read_fire_eggs


def posts(source):
    """Every post as ``(id, rating letter, status bits, tag ids)``."""
    for block in source.blocks():
        for i in range(len(block.ids)):
            tags = block.tag_ids[block.offsets[i] : block.offsets[i + 1]].tolist()
            yield int(block.ids[i]), chr(block.ratings[i]), int(block.status[i]), tags


def database(path, *statements):
    connection = sqlite3.connect(path)
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    return path


TAGS_OF = "SELECT tag_id FROM imageTags WHERE image_id = ? ORDER BY tag_id"
MINIMAL = (
    "CREATE TABLE images(image_id INT PRIMARY KEY, rating TEXT)",
    "CREATE TABLE tags(tag_id INT PRIMARY KEY, name TEXT, category INT, count INT)",
    "CREATE TABLE imageTags(image_id INT, tag_id INT, PRIMARY KEY(image_id, tag_id))",
)


@pytest.mark.parametrize("block", [1, 7, 8192])
def test_a_bulk_pass_gives_what_one_query_per_post_gives(tmp_path, monkeypatch, block):
    monkeypatch.setattr(stream, "BLOCK_SIZE", block)
    path = small_booru(tmp_path, num_posts=40) / "danbooru.db"
    strays = "INSERT INTO imageTags VALUES (2, 1), (99999999, 3)"  # of posts that are not there
    database(path, "DELETE FROM imageTags WHERE image_id = 1", strays)
    source = read_fire_eggs(path)
    connection = sqlite3.connect(path)
    rows = connection.execute("SELECT image_id, rating FROM images ORDER BY image_id").fetchall()
    expected = [
        (number, rating, 0, [tag for (tag,) in connection.execute(TAGS_OF, (number,))])
        for number, rating in rows
    ]
    connection.close()
    assert list(posts(source)) == expected == list(posts(source))
    assert source.num_posts == 40
    assert source.rating_counts() == {"g": 20, "s": 20}


def test_a_tag_in_two_spellings_is_one_tag(tmp_path):
    rows = "(7, 'a&#039;b', 0, 3), (8, 'a''b', 4, 2), (9, ':&lt;', 0, 1), (10, 'x', 0, 1)"
    tags = f"INSERT INTO tags VALUES {rows}"
    pairs = "INSERT INTO imageTags VALUES (1, 7), (1, 8), (1, 10), (2, 7), (3, 9)"
    images = "INSERT INTO images VALUES (1, 'g'), (2, 'g'), (3, 'g')"
    source = read_fire_eggs(database(tmp_path / "x.db", *MINIMAL, tags, pairs, images))
    assert source.tags.to_dict("list") == {
        "tag_id": [8, 9, 10], "name": ["a'b", ":<", "x"], "category": [4, 0, 0], "count": [5, 1, 1]
    }  # fmt: skip
    assert [tags for *_, tags in posts(source)] == [[8, 10], [8], [9]]


def test_status_bits_in_every_spelling(tmp_path):
    images = (
        "CREATE TABLE images(image_id INT PRIMARY KEY, rating TEXT, is_deleted, is_flagged, is_banned TEXT,"
        " is_pending INT, hidden INT)"
    )
    rows = (
        "INSERT INTO images VALUES (1, 's', 'false', 0, NULL, 0, 0), (2, 's', 'true', 1, '0', 0, 0),"
        " (3, 'Questionable', 1, 'f', 't', 1, 0), (4, NULL, '', '1', '', NULL, 8)"
    )
    source = read_fire_eggs(database(tmp_path / "x.db", images, *MINIMAL[1:], rows))
    names = [
        (letter, [name for bit, name in enumerate(STATUSES) if status >> bit & 1])
        for _, letter, status, _ in posts(source)
    ]
    assert names == [
        ("s", []),
        ("s", ["deleted", "flagged"]),
        ("q", ["deleted", "banned", "pending"]),
        ("\0", ["flagged", "hidden"]),
    ]


def test_only_the_needed_columns_are_needed(tmp_path):
    """No category, no count, no primary keys, repeated and unordered tags."""
    path = database(
        tmp_path / "x.db",
        "CREATE TABLE images(image_id INT, rating TEXT)",
        "CREATE TABLE tags(tag_id INT, name TEXT)",
        "CREATE TABLE imageTags(image_id INT, tag_id INT)",
        "INSERT INTO images VALUES (20, 'e'), (10, 's')",
        "INSERT INTO tags VALUES (1, 'a'), (2, 'b'), (3, NULL)",
        "INSERT INTO imageTags VALUES (20, 2), (20, 1), (10, 2), (20, 2), (NULL, 1), (10, NULL)",
    )
    source = read_fire_eggs(path)
    assert list(posts(source)) == [(10, "s", 0, [2]), (20, "e", 0, [1, 2])]
    assert source.tags[["tag_id", "name", "category", "count"]].to_numpy().tolist() == [
        [1, "a", 0, 1],
        [2, "b", 0, 2],
    ]


def test_ratings_that_are_none_are_counted_and_said(tmp_path):
    ratings = "(1, 'x'), (2, ' x '), (3, 7), (4, NULL), (5, ''), (6, 'S'), (7, 'nsfw'), (8, 'zzz')"
    path = database(
        tmp_path / "x.db",
        "CREATE TABLE images(image_id INT, rating)",
        "CREATE TABLE tags(tag_id INT, name TEXT)",
        "CREATE TABLE imageTags(image_id INT, tag_id INT)",
        f"INSERT INTO images VALUES {ratings}",
        "INSERT INTO tags VALUES (1, 'a')",
    )
    (note,) = read_fire_eggs(path).notes
    assert note.startswith("unrated: 5 posts with a rating that is not known, such as 'x', '7', 'nsfw';")


@pytest.mark.reliability(
    "an SQLite database of posts with names of tags that are no UTF-8",
    "these are left out, counted and named",
)
def test_tags_that_are_no_utf8_are_left_out_and_said(tmp_path):
    tags = (
        "INSERT INTO tags VALUES (1, 'a', 0, 2), (2, CAST(x'636166e9' AS TEXT), 0, 1), (3, 'b\ufffd', 0, 1)"
    )
    images = "INSERT INTO images VALUES (1, 'g'), (2, 'g')"
    pairs = "INSERT INTO imageTags VALUES (1, 1), (1, 2), (2, 1), (2, 3)"
    source = read_fire_eggs(database(tmp_path / "x.db", *MINIMAL, tags, images, pairs))
    assert source.tags["name"].tolist() == ["a", "b\ufffd"]
    assert source.num_posts == 2
    assert source.notes == (
        "warning: 1 tag left out, with characters that are no UTF-8: 'caf\ufffd' (tag_id 2)",
    )


def test_a_file_that_is_not_a_database_of_the_schema_is_named_in_the_error(tmp_path):
    (tmp_path / "text.db").write_text(
        "this is no database at all, but long enough to have a header of its own\n" * 9
    )
    (tmp_path / "empty.db").touch()
    database(tmp_path / "deep.db", "CREATE TABLE posts(id INT)")
    database(tmp_path / "cut.db", *MINIMAL[1:], "CREATE TABLE images(image_id INT, score INT)")
    for name, message in (
        ("none.db", "found nothing"),
        (".", "found a folder"),
        ("text.db", "not a database"),
        ("empty.db", "no tables at all"),
        ("deep.db", "there are: posts"),
        ("cut.db", "table images has no column rating; it has image_id, score"),
    ):
        with pytest.raises(UserError, match=message):
            read_fire_eggs(tmp_path / name)


def test_a_database_is_only_read(tmp_path):
    path = database(tmp_path / "x.db", *MINIMAL)
    path.chmod(0o444)
    before = path.read_bytes()
    assert list(read_fire_eggs(path).blocks()) == []
    assert path.read_bytes() == before
    assert sorted(tmp_path.iterdir()) == [path]
