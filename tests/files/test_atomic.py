"""Files and folders are whole or absent."""

import pytest

from Utils.command.cli import UserError
from Utils.files import atomic


def test_a_file_replaces_the_old_one_only_when_whole(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with atomic.replacing(path) as beside:
        beside.write_text("old")
    with pytest.raises(RuntimeError), atomic.replacing(path) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [item.name for item in path.parent.iterdir()] == ["a.txt"]


def test_a_folder_replaces_the_old_one_only_when_whole(tmp_path):
    path = tmp_path / "out"
    with atomic.replacing_folder(path) as beside:
        (beside / "a").write_text("old")
    with pytest.raises(UserError, match="overwrite"), atomic.replacing_folder(path):
        pytest.fail("the body must not run")
    with pytest.raises(RuntimeError), atomic.replacing_folder(path, overwrite=True) as beside:
        raise RuntimeError
    assert (path / "a").read_text() == "old"
    with atomic.replacing_folder(path, overwrite=True) as beside:
        (beside / "b").write_text("new")
    assert [item.name for item in path.iterdir()] == ["b"]
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_json_has_the_same_bytes_for_the_same_value(tmp_path):
    value = {"b": [1, 2.5, None], "a": "ü"}
    for name in ("x", "y"):
        atomic.write_json(tmp_path / name, value)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()
    assert atomic.read_json(tmp_path / "x") == value
    assert atomic.sha256_of(tmp_path / "x") == atomic.sha256_of(tmp_path / "y")


def test_what_is_no_json_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(UserError, match="x.json is no JSON"):
        atomic.read_json(tmp_path / "x.json")


def test_provenance_names_the_commit_and_no_time():
    made = atomic.provenance()
    assert set(made) == {"git", "command"}


def test_what_a_killed_process_left_is_swept(tmp_path):
    dead = tmp_path / ".out.999999999.part"
    alive = tmp_path / ".out.1.part"
    dead.mkdir()
    alive.mkdir()
    with atomic.replacing_folder(tmp_path / "out"):
        assert alive.exists()
        assert not dead.exists()
