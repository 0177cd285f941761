"""Files and folders are whole or absent."""

import pytest

from Utils import files
from Utils.commands import UserError


def test_a_file_replaces_the_old_one_only_when_whole(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with files.replacing(path) as beside:
        beside.write_text("old")
    with pytest.raises(RuntimeError), files.replacing(path) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [item.name for item in path.parent.iterdir()] == ["a.txt"]


def test_a_folder_replaces_the_old_one_only_when_whole(tmp_path):
    path = tmp_path / "out"
    with files.replacing_folder(path) as beside:
        (beside / "a").write_text("old")
    with pytest.raises(UserError, match="overwrite"), files.replacing_folder(path):
        pytest.fail("the body must not run")
    with pytest.raises(RuntimeError), files.replacing_folder(path, overwrite=True) as beside:
        raise RuntimeError
    assert (path / "a").read_text() == "old"
    with files.replacing_folder(path, overwrite=True) as beside:
        (beside / "b").write_text("new")
    assert [item.name for item in path.iterdir()] == ["b"]
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_json_has_the_same_bytes_for_the_same_value(tmp_path):
    value = {"b": [1, 2.5, None], "a": "ü"}
    for name in ("x", "y"):
        files.write_json(tmp_path / name, value)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()
    assert files.read_json(tmp_path / "x") == value
    assert files.sha256_of(tmp_path / "x") == files.sha256_of(tmp_path / "y")


def test_what_is_no_json_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(UserError, match="x.json is no JSON"):
        files.read_json(tmp_path / "x.json")


def test_provenance_names_the_commit_and_no_time():
    made = files.provenance()
    assert set(made) == {"git", "command"}


def test_what_a_killed_process_left_is_swept(tmp_path):
    dead = tmp_path / ".out.999999999.part"
    alive = tmp_path / ".out.1.part"
    dead.mkdir()
    alive.mkdir()
    with files.replacing_folder(tmp_path / "out"):
        assert alive.exists()
        assert not dead.exists()
