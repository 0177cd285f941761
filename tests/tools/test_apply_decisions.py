"""tools/apply_decisions.py: what people decided, in a copy of the database."""

import contextlib
import json
import pathlib
import sqlite3
import subprocess
import sys

import pytest

from tools import apply_decisions
from Utils.labels import decisions
from Utils.labels.decisions import Decision

ROOT = pathlib.Path(__file__).resolve().parents[2]


def decided(post, tag, decision, reviewer="ann", name=None):
    return Decision(post, name or {1: "solo", 2: "hat"}[tag], tag, decision, "2026-01-01T00:00:00Z", reviewer)


def write(path, lines):
    with path.open("ab") as file:
        for line in lines:
            decisions.append(file, line)
    return path


@pytest.fixture
def database(tmp_path):
    """Posts 10 and 11; 10 has solo, 11 has solo and hat."""
    path = tmp_path / "x.db"
    with contextlib.closing(sqlite3.connect(path)) as new, new:
        new.executescript("""
            CREATE TABLE images (image_id INT PRIMARY KEY, rating TEXT);
            CREATE TABLE tags (tag_id INT PRIMARY KEY, name TEXT, category INT, count INT);
            CREATE TABLE imageTags (image_id INT, tag_id INT, PRIMARY KEY (image_id, tag_id));
            INSERT INTO images VALUES (10, 's'), (11, 's');
            INSERT INTO tags VALUES (1, 'solo', 0, 7), (2, 'hat', 0, 5);
            INSERT INTO imageTags VALUES (10, 1), (11, 1), (11, 2);
        """)
    return path


def content(path):
    with contextlib.closing(sqlite3.connect(path)) as opened:
        pairs = opened.execute("SELECT image_id, tag_id FROM imageTags ORDER BY 1, 2").fetchall()
        return pairs, dict(opened.execute("SELECT name, count FROM tags"))


def run(lines, database, tmp_path, *words):
    path = write(tmp_path / "decisions.jsonl", lines)
    return apply_decisions.main([str(path), "--db", str(database), "-o", str(tmp_path / "y.db"), *words])


def test_yes_adds_and_no_removes_a_label_in_a_copy(database, tmp_path):
    before = database.read_bytes()
    lines = [decided(10, 2, "yes"), decided(11, 1, "no"), decided(10, 1, "yes"), decided(11, 2, "unsure")]
    assert run(lines, database, tmp_path) == 0
    assert content(tmp_path / "y.db") == ([(10, 1), (10, 2), (11, 2)], {"solo": 6, "hat": 6})
    assert database.read_bytes() == before
    patch = [json.loads(line) for line in (tmp_path / "y.patch.jsonl").read_text().splitlines()]
    assert patch == [
        {"post_id": 10, "add": ["hat"], "remove": []},
        {"post_id": 11, "add": [], "remove": ["solo"]},
    ]


def test_applying_decisions_twice_changes_nothing(database, tmp_path):
    lines = [decided(10, 2, "yes"), decided(11, 1, "no")]
    assert run(lines, database, tmp_path) == 0
    words = [str(tmp_path / "decisions.jsonl"), "--db", str(tmp_path / "y.db"), "-o", str(tmp_path / "z.db")]
    assert apply_decisions.main(words) == 0
    assert content(tmp_path / "z.db") == content(tmp_path / "y.db")
    assert (tmp_path / "z.patch.jsonl").read_text() == ""


@pytest.mark.reliability(
    "Decisions about ratings, which a list with ratings asks for",
    "left out and counted; the others are applied",
)
def test_ratings_are_no_tags_of_the_source(database, tmp_path, capsys):
    lines = [decided(10, 2, "yes"), decided(10, 9999998, "yes", name="sensitive")]
    assert run(lines, database, tmp_path) == 0
    said = capsys.readouterr().out
    assert "1 label added and 0 removed" in said
    assert "1 decision about ratings" in said
    assert (10, 2) in content(tmp_path / "y.db")[0]


def test_undo_takes_back_and_reviewers_vote(database, tmp_path, capsys):
    lines = [
        decided(10, 2, "yes"), decided(10, 2, "undo"),  # nothing stands
        decided(10, 1, "no"), decided(10, 1, "no", "bob"), decided(10, 1, "yes", "cid"),  # 2 to 1: no
        decided(11, 2, "no"), decided(11, 2, "yes", "bob"),  # disputed
        decided(11, 1, "undo"),  # of nothing
        decided(77, 1, "yes"),  # of a post that is not there
    ]  # fmt: skip
    assert run(lines, database, tmp_path, "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["added"], summary["removed"], summary["disputed"], summary["unknown_posts"]) == (
        0,
        1,
        1,
        [77],
    )
    assert content(tmp_path / "y.db")[0] == [(11, 1), (11, 2)]


def test_decisions_that_are_cut_off_or_missing_are_said(database, tmp_path, capsys):
    path = write(tmp_path / "one.jsonl", [decided(10, 1, "no")])
    path.write_bytes(path.read_bytes()[:-9])
    assert apply_decisions.main([str(path), "--db", str(database), "-o", str(tmp_path / "y.db")]) == 0
    printed = capsys.readouterr()
    assert "bytes, cut off by a crash, is left out" in printed.err
    assert "no decision stands there, yes or no" in printed.out


def test_decisions_from_two_tag_lists_in_one_file_are_said(database, tmp_path, capsys):
    lines = [decided(10, 1, "no"), decided(10, 1, "yes", "bob", "dog")]
    assert run(lines, database, tmp_path) == 0
    assert "on post 10 the tag id 1 is solo and dog, and the later decision counts" in capsys.readouterr().err


def test_copies_of_files_are_never_replaced(tmp_path, capsys):
    path = write(tmp_path / "one.jsonl", [decided(10, 1, "no")])
    (tmp_path / "posts.jsonl").write_text('{"id": 10, "tags": "solo"}\n')
    words = [str(path), "--jsonl", str(tmp_path / "posts.jsonl"), "-o", str(tmp_path / "y.jsonl")]
    assert apply_decisions.main(words) == 0
    before = (tmp_path / "y.jsonl").read_bytes()
    capsys.readouterr()
    for more, message in (([], "give another place"), (["--overwrite"], "--overwrite is for --db")):
        assert apply_decisions.main([*words, *more]) == 2
        assert message in (said := capsys.readouterr().err)
        assert more or "--overwrite" not in said, "which would be refused"
    assert (tmp_path / "y.jsonl").read_bytes() == before


def test_wrong_use_makes_nothing(database, tmp_path, capsys):
    lines = [decided(10, 1, "yes", name="sole")]
    assert run(lines, database, tmp_path) == 2
    assert "tag 1 is 'solo' there, 'sole' in the decisions" in capsys.readouterr().err
    path = write(tmp_path / "good.jsonl", [decided(10, 1, "no")])
    assert apply_decisions.main([str(path), "--db", str(database), "-o", str(database)]) == 2
    assert "-o must be another place" in capsys.readouterr().err
    assert apply_decisions.main([str(path), "--db", str(database)]) == 2
    assert "-o is needed" in capsys.readouterr().err
    broken = tmp_path / "broken.db"
    broken.write_bytes(b"no database at all, but long enough to be looked at" * 9)
    assert apply_decisions.main([str(path), "--db", str(broken), "-o", str(tmp_path / "y.db")]) == 2
    with contextlib.closing(sqlite3.connect(tmp_path / "empty.db")) as new, new:
        new.execute("CREATE TABLE images (image_id INT)")
    words = [str(path), "--db", str(tmp_path / "empty.db"), "-o", str(tmp_path / "y.db")]
    assert apply_decisions.main(words) == 2
    assert "lacks the table tags and imageTags" in capsys.readouterr().err
    assert sorted(item.name for item in tmp_path.glob("*.db")) == ["broken.db", "empty.db", "x.db"]


@pytest.mark.reliability("no room for the copy of a database", "the copy is named, not the one that is read")
def test_a_full_disk_is_that_of_the_copy(database, tmp_path):
    path = write(tmp_path / "decisions.jsonl", [decided(10, 2, "yes")])
    words = f"{sys.executable} -m tools.apply_decisions {path} --db {database} -o {tmp_path / 'y.db'}"
    done = subprocess.run(
        ["bash", "-c", f"ulimit -f 4; {words}"], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f"error: {tmp_path / 'y.db'} cannot be written")
    assert not (tmp_path / "y.db").exists()
