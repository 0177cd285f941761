"""Utils/labels/corrected_database.py: a copy with other labels; the tests of apply_decisions have more."""

import contextlib
import sqlite3

import pytest
from helpers import small_booru

from Utils.command.cli import UserError
from Utils.labels import corrected_database


def test_the_copy_differs_in_what_was_decided(tmp_path):
    booru = small_booru(tmp_path, num_posts=24)
    with contextlib.closing(sqlite3.connect(booru / "danbooru.db")) as database:
        rows = set(database.execute("SELECT image_id, tag_id FROM imageTags"))
    (post, tag), absent = min(rows), next(tag for tag in range(1, 13) if (min(rows)[0], tag) not in rows)
    verdicts = {(post, tag): (f"tag_{tag}", False), (post, absent): (f"tag_{absent}", True),
                (-1, tag): (f"tag_{tag}", True)}  # fmt: skip
    patch, posts = corrected_database.correct(booru / "danbooru.db", tmp_path / "y.db", verdicts)
    assert patch == [(post, {"add": [f"tag_{absent}"], "remove": [f"tag_{tag}"]})]
    assert posts == {post}
    with contextlib.closing(sqlite3.connect(tmp_path / "y.db")) as database:
        assert set(database.execute("SELECT image_id, tag_id FROM imageTags")) == rows - {(post, tag)} | {
            (post, absent)
        }
    with pytest.raises(UserError, match="are not those of"):
        corrected_database.correct(booru / "danbooru.db", tmp_path / "z.db", {(post, 1): ("other", True)})


def test_other_tags_may_be_no_utf8(tmp_path):
    path = small_booru(tmp_path, num_posts=2) / "danbooru.db"
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE tags SET name = CAST(x'636166e9' AS TEXT) WHERE tag_id = 1")
        (post,) = database.execute("SELECT min(image_id) FROM images").fetchone()
    _, posts = corrected_database.correct(path, tmp_path / "y.db", {(post, 2): ("tag_2", True)})
    assert posts == {post}
    with pytest.raises(UserError, match=r"tag 1 is 'caf\\udce9' there"):
        corrected_database.correct(path, tmp_path / "y.db", {(post, 1): ("tag_1", True)})


def test_a_copy_that_cannot_be_made_is_named(tmp_path):
    """Not the database that is read."""
    sqlite3.connect(tmp_path / "x.db").close()
    with pytest.raises(FileNotFoundError, match=r"gone/copy\.db"):
        corrected_database.correct(tmp_path / "x.db", tmp_path / "gone" / "copy.db", {})
