"""Utils/files/output_files.py: only files of the same kind are replaced."""

import os
import pathlib
import zipfile

import fsspec
import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.files import atomic, output_files
from Utils.files.output_files import FileKind, require_replaceable_file


@pytest.mark.reliability("--overwrite with a file of the user's own", "refused, untouched, exit 2")
@pytest.mark.parametrize(
    ("test", "own", "foreign"),
    [
        (output_files.has_header(["tag", "post_id"]), b"tag,post_id,score\na,1,0.5\n", b"name,age\n"),
        (output_files.has_header(["tag", "post_id"]), b'"tag","post_id"\n', b""),
        (output_files.begins_with(b"SQLite format 3\0"), b"SQLite format 3\0...", b"SQLite"),
        (output_files.first_line_has("post_id", "tag"), b'{"post_id": 1, "tag": "a"}\n', b'{"post_id": 1}\n'),
        (output_files.first_line_has("post_id"), b'{"post_id": 1}', b"[" * 9999),
    ],
)
def test_only_files_of_the_kind_are_replaced(tmp_path, test, own, foreign):
    path, kind = tmp_path / "people.csv", FileKind("a table", test)
    require_replaceable_file(path, kind, overwrite=False)
    path.write_bytes(own)
    require_replaceable_file(path, kind, overwrite=True)
    with pytest.raises(UserError, match="kept"):
        require_replaceable_file(path, kind, overwrite=False)
    for content in filter(None, (foreign, b"\xff\xfe\0", b"thesis")):
        path.write_bytes(content)
        with pytest.raises(UserError, match="is not a table"):
            require_replaceable_file(path, kind, overwrite=True)
        assert path.read_bytes() == content
    path.write_bytes(b"")  # as a machine without power leaves it
    require_replaceable_file(path, kind, overwrite=True)
    path.unlink()
    path.mkdir()
    with pytest.raises(UserError, match="is a folder"):
        require_replaceable_file(path, kind, overwrite=True)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on Windows")
@pytest.mark.reliability("an output that is a pipe or a device, as /dev/null", "refused; it stays what it is")
def test_a_pipe_or_a_device_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    kind = FileKind("a table", output_files.has_header(["a"]))
    for name in ("pipe", "link"):
        for overwrite in (False, True):
            with pytest.raises(UserError, match=f"{name} is a pipe, a socket or a device"):
                require_replaceable_file(tmp_path / name, kind, overwrite)
        with pytest.raises(UserError, match=name), atomic.replacing(tmp_path / name) as temporary:
            temporary.write_bytes(b"")
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_file_that_comes_to_the_place_meanwhile_is_kept(tmp_path, overwrite):
    kind, path = FileKind("a table", output_files.has_header(["a"])), tmp_path / "x.csv"
    with (
        pytest.raises(UserError, match="is not a table" if overwrite else "exists already and is kept"),
        output_files.replacing_file(path, kind, overwrite) as part,
    ):
        part.write_text("a\n")
        path.write_text("mine")
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("x.csv", "mine")]
    path.unlink()
    with output_files.replacing_file(path, kind, overwrite) as part:
        part.write_text("a\n")
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("x.csv", "a\n")]


def test_a_file_that_comes_between_the_last_look_and_the_name_is_kept(tmp_path, monkeypatch):
    kind, path = FileKind("a table", output_files.has_header(["a"])), tmp_path / "x.csv"
    monkeypatch.setattr(atomic, "flush_file", lambda part: path.write_text("mine"))
    with (
        pytest.raises(UserError, match="exists already and is kept"),
        output_files.replacing_file(path, kind, overwrite=False) as part,
    ):
        part.write_text("a\n")
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("x.csv", "mine")]


def test_a_file_system_without_hard_links_gets_its_file(tmp_path, monkeypatch):
    def refuse(self, target):
        raise PermissionError(1, "Operation not permitted", str(target))

    monkeypatch.setattr(pathlib.Path, "hardlink_to", refuse)
    kind, path = FileKind("a table", output_files.has_header(["a"])), tmp_path / "x.csv"
    with output_files.replacing_file(path, kind, overwrite=False) as part:
        part.write_text("a\n")
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("x.csv", "a\n")]


def test_a_zip_file_is_recognized_by_its_members(tmp_path):
    kind = FileKind("a model", output_files.has_members("config.json"))
    for name, member in (("a.keras", "config.json"), ("b.keras", "thesis.txt")):
        with zipfile.ZipFile(tmp_path / name, "w") as file:
            file.writestr(member, "{}")
    require_replaceable_file(tmp_path / "a.keras", kind, overwrite=True)
    np.save(tmp_path / "c.npy", np.zeros(3))
    for name in ("b.keras", "c.npy"):
        with pytest.raises(UserError, match="is not a model"):
            require_replaceable_file(tmp_path / name, kind, overwrite=True)
    os.truncate(tmp_path / "a.keras", 30)
    with pytest.raises(UserError, match="is not a model"):
        require_replaceable_file(tmp_path / "a.keras", kind, overwrite=True)


@pytest.mark.reliability("Output files on another file system", "what is there and of another kind stays")
def test_a_file_elsewhere_of_another_kind_is_kept():
    files = fsspec.filesystem("memory")
    files.pipe_file("/out/mine.csv", b"mine")
    kind = FileKind("a list", output_files.has_header(("a", "b")))
    for overwrite, reason in ((False, "exists already and is kept"), (True, "mine.csv is not a list")):
        with pytest.raises(UserError, match=reason):
            require_replaceable_file("memory://out/mine.csv", kind, overwrite)
    files.rm("/out", recursive=True)
