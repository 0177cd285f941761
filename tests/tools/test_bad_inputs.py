# ruff: noqa: E501  the tables are easier to read with long rows
"""Broken, odd and hostile databases, exports and sidecars through select_tags, each with its expected end.

None may end in a traceback, none may spoil other posts; pictures are in test_bad_pictures.py.
"""

import gzip
import json
import os
import sqlite3

import pyarrow.parquet as pq
import pytest
from helpers import small_booru
from helpers.bad_inputs import GOOD, define, reasons_in

from tools import check_images, select_tags, write_records
from Utils.files import sqlite_files
from Utils.tags import tag_list

# ---- databases: a change of a good one, the exit code, then a part of the error or a tag that is read

INJECTION = "x'; DROP TABLE images; --"
DATABASES = {
    "injection in a tag name": ([("UPDATE tags SET name = ? WHERE tag_id = 1", INJECTION)], 0, INJECTION),
    "comma, quote, line end": ([("UPDATE tags SET name = ? WHERE tag_id = 1", 'a,"b"\nc')], 0, 'a,"b"\nc'),
    "carriage return": ([("UPDATE tags SET name = ? WHERE tag_id = 1", "a\rb")], 0, "a\rb"),
    "path as a tag name": ([("UPDATE tags SET name = '../../etc/passwd' WHERE tag_id = 1",)], 0, "../../etc/passwd"),
    "tag name is a number": ([("UPDATE tags SET name = 2024 WHERE tag_id = 1",)], 0, "2024"),
    "tag name null": ([("UPDATE tags SET name = 'null' WHERE tag_id = 1",)], 0, "null"),
    "no utf-8": ([("UPDATE tags SET name = CAST(x'61ff62' AS TEXT) WHERE tag_id = 1",)], 0, "tag_2"),
    "empty tag name": ([("UPDATE tags SET name = '' WHERE tag_id = 1",)], 0, "tag_2"),
    "count with a thousands separator": ([("UPDATE tags SET count = '1,234' WHERE tag_id = 1",)], 2, "'1,234'"),
    "count as a float": ([("UPDATE tags SET count = '12.0' WHERE tag_id = 1",)], 0, "tag_1"),
    "count is infinite": ([("UPDATE tags SET count = 9e999 WHERE tag_id = 1",)], 2, "count of 'tag_1' is inf"),
    "count is no number": ([("UPDATE tags SET count = 'many' WHERE tag_id = 1",)], 2, "a whole number is needed"),
    "category unknown": ([("UPDATE tags SET category = 77 WHERE tag_id = 1",)], 0, "tag_2"),
    "category empty": ([("UPDATE tags SET category = NULL WHERE tag_id = 1",)], 0, "tag_1"),
    "post id is text": ([("INSERT INTO images(image_id, rating) VALUES ('abc', 's')",)], 0, "tag_1"),
    "post id is negative": ([("INSERT INTO images(image_id, rating) VALUES (-5, 's')",)], 0, "tag_1"),
    "post id is a float": ([("INSERT INTO images(image_id, rating) VALUES (1.5, 's')",)], 0, "tag_1"),
    "post id is huge": ([("INSERT INTO images(image_id, rating) VALUES (9223372036854775807, 's')",)], 0, "tag_1"),
    "tag id of a post is text": ([("INSERT INTO imageTags VALUES (1, 'abc')",)], 0, "tag_1"),
    "rating is a number": ([("UPDATE images SET rating = 5 WHERE image_id = 1",)], 0, "tag_1"),
    "rating is a blob": ([("UPDATE images SET rating = x'00ff' WHERE image_id = 1",)], 0, "tag_1"),
    "hidden is text": ([("UPDATE images SET hidden = 'yes' WHERE image_id = 1",)], 0, "tag_1"),
    "no table of tags": ([("DROP TABLE tags",)], 2, "has no table tags"),
    "no column of ratings": ([("ALTER TABLE images DROP COLUMN rating",)], 2, "no column rating"),
    "no post": ([("DELETE FROM images",)], 2, "no post is left"),
    "no tag": ([("DELETE FROM tags",)], 2, "no tag is left"),
    "no tag of any post": ([("DELETE FROM imageTags",)], 0, "tag_1"),
    "a tag id twice": ([
        ("DROP TABLE tags",), ("CREATE TABLE tags(tag_id INT, name TEXT, category INT, count INT)",),
        ("INSERT INTO tags VALUES (1, 'a', 0, 3), (1, 'b', 0, 3)",)], 2, "tag_id 1 in more than one row"),
    "a post id twice": ([
        ("CREATE TABLE copies AS SELECT * FROM images",), ("DROP TABLE images",),
        ("ALTER TABLE copies RENAME TO images",), ("INSERT INTO images SELECT * FROM images",)], 0, "tag_1"),
    "a view for a table": ([
        ("ALTER TABLE images RENAME TO posts",), ("CREATE VIEW images AS SELECT * FROM posts",)], 0, "tag_1"),
    "a quote in a table's name": ([('CREATE TABLE "a""b; --"(x)',)], 0, "tag_1"),
}  # fmt: skip


@pytest.mark.parametrize("name", DATABASES)
def test_each_database_is_read_or_refused_with_its_reason(tmp_path, capsys, name):
    statements, code, expected = DATABASES[name]
    folder = small_booru(tmp_path, num_posts=20)
    define(folder)
    database = sqlite3.connect(folder / "danbooru.db")
    for statement in statements:
        database.execute(statement[0], statement[1:])
    database.commit()
    database.close()
    assert select(folder, "fire-eggs", folder / "danbooru.db") == code
    if code:
        assert expected in capsys.readouterr().err
        assert not (folder / "dataset").exists()
        return
    table = pq.read_table(folder / "dataset" / "posts.parquet")
    assert table["post_id"].to_pylist() == sorted(set(table["post_id"].to_pylist()))
    assert len(table) in (19, 20)
    assert expected in tag_list.read(folder / "dataset" / "selected_tags.csv")["name"].tolist()


def select(folder, source, origin, *more):
    words = [str(folder / "definition.toml"), "--source", source, "--from", str(origin)]
    words += ["--images", str(folder / "images"), "-o", str(folder / "dataset")]
    return select_tags.main([*words, *more])


def test_a_locked_database_is_waited_for_and_then_refused(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sqlite_files, "WAIT", 0.1)
    folder = small_booru(tmp_path, num_posts=5)
    writer = sqlite3.connect(folder / "danbooru.db", isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    assert select(folder, "fire-eggs", folder / "danbooru.db") == 2
    assert "database is locked" in capsys.readouterr().err
    writer.execute("ROLLBACK")
    writer.close()
    assert select(folder, "fire-eggs", folder / "danbooru.db") == 0


def test_a_database_that_is_cut_off_leaves_no_dataset(tmp_path, capsys):
    folder = small_booru(tmp_path, num_posts=300)
    path = folder / "danbooru.db"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    assert select(folder, "fire-eggs", path) in (1, 2)
    assert capsys.readouterr().err.startswith("error: ")
    assert not (folder / "dataset").exists()


# ---- exports: the content of a JSON lines file, the exit code, then a part of the error or the ids read

POST = {"id": 1, "rating": "s", "tag_string": "solo hat"}
TWO = json.dumps({**POST, "id": 1620}) + "\n"
EXPORTS = {
    "nested without end": ("[" * 100_000 + "\n" + TWO, 0, [1620]),
    "id is a path": (json.dumps({**POST, "id": "../../1"}) + "\n" + TWO, 0, [1620]),
    "id is negative": (json.dumps({**POST, "id": -1}) + "\n" + TWO, 0, [1620]),
    "id is huge": (json.dumps({**POST, "id": 10**30}) + "\n" + TWO, 0, [1620]),
    "id is missing": (json.dumps({**POST, "id": None}) + "\n" + TWO, 0, [1620]),
    "ids twice": (
        json.dumps(POST) + "\n" + TWO + json.dumps({**POST, "tag_string": "x"}) + "\n",
        0,
        [1, 1620],
    ),
    "NUL in a tag": (json.dumps({**POST, "tag_string": "a\0b"}) + "\n" + TWO, 0, [1, 1620]),
    "tag id is infinite": ('{"id": 1, "tags": [{"name": "a", "id": Infinity}]}\n' + TWO, 0, [1620]),
    "half a surrogate": ('{"id": 1, "rating": "s", "tag_string": "a\\udc80"}\n' + TWO, 0, [1, 1620]),
    "no utf-8": (b'{"id": 1, "rating": "s", "tag_string": "a\xff"}\n' + TWO.encode(), 0, [1620]),
    "windows line ends": (TWO.replace("\n", "\r\n"), 0, [1620]),
    "cut off": (TWO + json.dumps(POST)[:-9], 0, [1620]),
    "csv": ("id,tags\n1,solo\n" * 200, 2, "holds no posts"),
    "nothing": ("", 2, "no post in 1 file"),
    "gzip that is cut off": (gzip.compress(TWO.encode() * 99)[:-20], 1, "cannot be read to its end"),
}


@pytest.mark.parametrize("name", EXPORTS)
def test_each_export_is_read_or_refused_with_its_reason(tmp_path, capsys, name):
    content, code, expected = EXPORTS[name]
    folder = small_booru(tmp_path, num_posts=3)  # the images 1, 1620, 3239
    define(folder)
    (folder / "x.json").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert select(folder, "jsonl", folder / "x.json") == code
    if code:
        assert expected in capsys.readouterr().err
        return
    assert pq.read_table(folder / "dataset" / "posts.parquet")["post_id"].to_pylist() == expected
    tag_list.read(folder / "dataset" / "selected_tags.csv")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (
            "name\n" + "".join(f"tag_{number}\n" for number in range(1, 13)),
            "deprecated passes none of 12 tags",
        ),
        ('{"name": ' + "[" * 100_000, "cannot be read to its end"),
    ],
)
def test_a_wrong_export_of_tags_is_refused(tmp_path, capsys, content, fault):
    folder = small_booru(tmp_path, num_posts=3)
    define(folder)
    (folder / "tags.csv").write_text(content)
    assert select(folder, "fire-eggs", folder / "danbooru.db", "--deprecated", str(folder / "tags.csv")) == 2
    assert fault in capsys.readouterr().err


# ---- sidecars

SIDECARS = {
    "no utf-8": (
        b"solo \xff",
        "sidecar unreadable: no text in UTF-8, or in UTF-16 with its mark; save it as UTF-8",
    ),
    "NUL": (b"so\0lo, hat", {"solo", "hat"}),
    "byte order mark": (b"\xef\xbb\xbfsolo", {"solo"}),
    "empty": (b"", set()),
    "commas alone": (b",, ,", set()),
    "Hydrus with a comma in a tag": (b"series:ready, set, go\nsolo\n", {"ready,_set,_go", "solo"}),
    "old Macintosh line ends": (b"solo\rhat", {"solo", "hat"}),
    "injection": (INJECTION.encode(), {INJECTION.replace(" ", "_")}),
    "one tag of a megabyte": (b"x" * 2**20, {"x" * 2**20}),
}


@pytest.mark.parametrize("name", SIDECARS)
def test_each_sidecar_gives_its_tags_or_is_rejected(tmp_path, name):
    content, expected = SIDECARS[name]
    (tmp_path / "p").mkdir()
    for stem in ("7", "8"):
        (tmp_path / "p" / f"{stem}.jpg").write_bytes(GOOD)
    (tmp_path / "p" / "7.txt").write_bytes(content)
    (tmp_path / "p" / "8.txt").write_text("other")
    define(tmp_path, splits={"train": [0, 999]})
    words = [str(tmp_path / "definition.toml"), "--source", "sidecars", "--from", str(tmp_path / "p")]
    assert select_tags.main([*words, "-o", str(tmp_path / "d")]) == 0
    frame = tag_list.read(tmp_path / "d" / "selected_tags.csv") if len(content) < 10**5 else None
    rows = pq.read_table(tmp_path / "d" / "posts.parquet").to_pandas().set_index("post_id")["label_indexes"]
    if isinstance(expected, str):
        assert rows.index.tolist() == [8]
        assert reasons_in(tmp_path / "d" / "rejected.csv") == {"7.jpg": expected}
    else:
        assert len(rows[7]) == len(expected)
        assert frame is None or set(frame["name"][rows[7]]) == expected


def test_odd_file_names_and_a_sidecar_that_is_a_pipe_reject_their_posts_only(tmp_path):
    odd = os.fsdecode(b"caf\xe9.jpg")
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "9.jpg").write_bytes(GOOD)
    os.mkfifo(tmp_path / "p" / "9.txt")
    for name in (odd, "new\nline.jpg", "7.jpg"):
        (tmp_path / "p" / name).write_bytes(GOOD)
        (tmp_path / "p" / name).with_suffix(".txt").write_text("solo")
    define(tmp_path, splits={"train": [0, 999]})
    words = [str(tmp_path / "definition.toml"), "--source", "sidecars", "--from", str(tmp_path / "p")]
    assert select_tags.main([*words, "-o", str(tmp_path / "d")]) == 0
    assert reasons_in(tmp_path / "d" / "rejected.csv") == {
        "caf\ufffd.jpg": "file name is no UTF-8",
        "9.jpg": "sidecar unreadable: not a file",
    }
    (tmp_path / "p" / "a\rb.jpg").write_bytes(b"")
    assert select_tags.main([*words, "-o", str(tmp_path / "d"), "--overwrite"]) == 0
    assert write_records.main([str(tmp_path / "d"), "--images", str(tmp_path / "p")]) == 0
    assert reasons_in(tmp_path / "d" / "rejected.csv")["a\rb.jpg"] == "no sidecar"
    (tmp_path / "p" / "a\rb.jpg").unlink()
    assert sorted(pq.read_table(tmp_path / "d" / "posts.parquet")["path"].to_pylist()) == [
        "7.jpg",
        "new\nline.jpg",
    ]
    assert check_images.main(["--images", str(tmp_path / "p"), "-o", str(tmp_path / "r.csv")]) == 0
    assert list(reasons_in(tmp_path / "r.csv").values()) == ["file name is no UTF-8"]
