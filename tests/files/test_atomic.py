"""Files and folders are complete or absent."""

import errno
import os
import subprocess

import pytest

from Utils.command.cli import UserError
from Utils.files import atomic


def test_a_file_replaces_the_old_one_only_when_complete(tmp_path):
    path = tmp_path / "deep" / "a.txt"
    with atomic.replacing(path) as temporary:
        temporary.write_text("old")
    with pytest.raises(RuntimeError), atomic.replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert [item.name for item in path.parent.iterdir()] == ["a.txt"]


@pytest.mark.reliability("a disk that is full while a file is written", "the file is named, exit 1")
def test_the_system_s_errors_name_the_file_and_not_what_stands_for_it(tmp_path):
    with pytest.raises(OSError, match=r"No space left.*/a\.txt'$"), atomic.replacing(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    with (
        pytest.raises(FileNotFoundError, match=r"/a\.txt'$"),
        atomic.replacing(tmp_path / "a.txt") as temporary,
    ):
        temporary.read_text()
    with pytest.raises(BrokenPipeError) as caught, atomic.replacing(tmp_path / "a.txt"):
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    assert caught.value.filename is None


def test_json_has_the_same_bytes_for_the_same_value(tmp_path):
    value = {"b": [1, 2.5, None], "a": "ü", "name that is no Unicode": "\udcff\udcfe.jpg"}
    for name in ("x", "y"):
        atomic.write_json(tmp_path / name, value)
    assert (tmp_path / "x").read_bytes() == (tmp_path / "y").read_bytes()
    assert atomic.read_json(tmp_path / "x") == value
    assert atomic.sha256_of(tmp_path / "x") == atomic.sha256_of(tmp_path / "y")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_json_may_have_been_saved_by_an_editor_of_windows(tmp_path, encoding):
    (tmp_path / "x.json").write_bytes('{"a": "\u6771"}'.encode(encoding))
    assert atomic.read_json(tmp_path / "x.json") == {"a": "\u6771"}


def test_a_file_that_is_no_json_is_named(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(UserError, match="x.json is no JSON"):
        atomic.read_json(tmp_path / "x.json")


def test_a_name_twice_in_json_is_an_error(tmp_path):
    (tmp_path / "a.json").write_text('{"solo": [1], "hat": [], "solo": [2]}')
    with pytest.raises(UserError, match=r"a\.json is no JSON.*'solo' is there twice"):
        atomic.read_json(tmp_path / "a.json")


def test_provenance_names_the_commit_and_no_time():
    assert set(atomic.provenance()) == {"git", "command"}


def test_git_is_asked_without_locks(monkeypatch):
    """A `git commit` of the user at this moment would be refused; a killed process would leave the lock."""
    asked = []
    monkeypatch.setattr(
        atomic.subprocess,
        "run",
        lambda words, **_: asked.append(words) or subprocess.CompletedProcess(words, 1),
    )
    atomic.git_commit()
    assert all("--no-optional-locks" in words for words in asked)
    assert asked


def test_a_remote_file_appears_when_it_is_complete(tmp_path):
    place = atomic.to_path("memory://atomic/deep/a.txt")
    with pytest.raises(RuntimeError), atomic.replacing(place) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert not place.exists()
    with atomic.replacing(place) as temporary:
        temporary.write_text("whole")
        assert not place.exists()
    with atomic.local(place) as copy:
        assert copy.read_text() == "whole"
    assert not copy.exists()
    assert atomic.glob("memory://atomic/deep/*.txt") == [str(place)]


def test_a_local_file_is_its_own_copy(tmp_path):
    with atomic.local(tmp_path / "x") as copy:
        assert copy == tmp_path / "x"


def test_an_unknown_file_system_is_refused():
    with pytest.raises(UserError, match="nowhere://x cannot be opened"):
        atomic.to_path("nowhere://x")


def test_a_file_that_is_required_is_named_with_what_is_there(tmp_path):
    with pytest.raises(UserError, match="a list expected at .*; found a folder"):
        atomic.require_file(tmp_path, "a list")
    with pytest.raises(UserError, match="a list expected at .*x; found nothing"):
        atomic.require_file(tmp_path / "x", "a list")


def test_only_an_empty_folder_counts_as_absent(tmp_path):
    (tmp_path / "empty").mkdir()
    atomic.require_absent(tmp_path / "empty")
    (tmp_path / "empty" / "x").touch()
    with pytest.raises(UserError, match="exists already and is kept"):
        atomic.require_absent(tmp_path / "empty")
    atomic.require_absent(tmp_path / "empty", overwrite=True)


@pytest.mark.parametrize("name", ["x" * 251 + ".txt", "x." + "y" * 253, "\u9577" * 83 + ".png", "x" * 255])
def test_a_name_as_long_as_file_systems_allow_is_written(tmp_path, name):
    """The temporary file's name is no longer than its own."""
    with atomic.replacing(tmp_path / name) as temporary:
        assert temporary.name.startswith(".")
        assert ".part" in temporary.name
        temporary.write_text("content")
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == "content"


@pytest.mark.reliability("an output in a folder that cannot be written to", "refused before any work, exit 2")
def test_places_that_cannot_be_written_to_are_told_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "theirs" / "full").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "theirs" / "full")
    allows = os.access
    closed = tmp_path / "theirs"  # root, who runs tests at times, may write anywhere
    monkeypatch.setattr(os, "access", lambda path, mode: path != closed and allows(path, mode))
    for output in ("theirs/a.csv", "theirs/full", "link", "theirs/more/below/a.csv"):
        for overwrite in (False, True):
            with pytest.raises(UserError, match=f"cannot be written: {closed} is not writable"):
                atomic.require_absent(tmp_path / output, overwrite)
    for output in ("a.csv", "theirs/full/a.csv", "link/a.csv"):
        atomic.require_absent(tmp_path / output)
