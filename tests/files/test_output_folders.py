"""Utils/files/output_folders.py: only folders of a kind are replaced; one whole one is always there."""

import errno
import json
import os
import pathlib
import shutil
import subprocess
import sys

import fsspec
import pytest

from Utils.command.cli import UserError
from Utils.files import atomic, locking, output_folders
from Utils.files.output_folders import FolderKind, replacing_folder

ROOT = pathlib.Path(__file__).resolve().parents[2]
KIND = FolderKind("a report", ("report.html", "report.csv"), ("leaks.csv", "extra/*"))


def write(folder, **files):
    """Write files, ``__`` in a name standing for ``/`` and ``_`` for the dot."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def tree(folder):
    """All files below a folder with their text, links as such."""
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()
    }


def make(path, text="new", overwrite=True):
    with replacing_folder(path, KIND, overwrite) as folder:
        write(folder, report_html=text, report_csv=text)


def test_a_folder_replaces_the_old_one_only_when_complete(tmp_path):
    path = tmp_path / "out"
    make(path, "old", overwrite=False)
    with pytest.raises(UserError, match="kept.*--overwrite"):
        make(path, overwrite=False)
    with pytest.raises(RuntimeError), replacing_folder(path, KIND, overwrite=True) as folder:
        write(folder, report_html="half")
        raise RuntimeError
    assert tree(tmp_path) == {"out/report.html": "old", "out/report.csv": "old"}
    write(path, extra__a_json="1", leaks_csv="2")
    make(path)
    assert tree(tmp_path) == {"out/report.html": "new", "out/report.csv": "new"}
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


@pytest.mark.reliability("--overwrite with a folder of the user's own", "refused, untouched, exit 2")
@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"thesis_txt": "mine"}, "no report.html and no report.csv"),
        ({"report_csv": "mine"}, "no report.html"),
        ({"2019__a_jpg": "mine", "report_html": "x"}, "no report.csv"),
        ({"report_html": "x", "report_csv": "x", "thesis_txt": "mine"}, "holds thesis.txt"),
        ({"report_html": "x", "report_csv": "x", "2019__a_jpg": "mine"}, "holds 2019/a.jpg"),
        ({"report_html": "x", "report_csv": "x", "_hidden": "mine"}, "holds .hidden"),
    ],
)
def test_foreign_folders_are_refused_and_left_untouched(tmp_path, files, reason):
    path = write(tmp_path / "photos", **files)
    before = tree(tmp_path)
    with pytest.raises(UserError, match=reason):
        make(path)
    assert tree(tmp_path) == before


@pytest.mark.reliability("-o . or -o .. with --overwrite", "refused, untouched, exit 2")
@pytest.mark.parametrize("place", [".", "..", "../..", "../reports", "link"])
def test_the_working_folder_and_those_above_it_are_refused(tmp_path, monkeypatch, place):
    here = tmp_path / "project" / "reports"
    write(here, report_html="x", report_csv="x")
    (here / "link").symlink_to("..")
    monkeypatch.chdir(here)
    with pytest.raises(UserError, match="the folder that you are in, or one above it"):
        make(place)
    assert len(tree(here)) == 2


def test_an_empty_folder_and_files_of_systems_are_no_obstacle(tmp_path):
    (tmp_path / "out").mkdir()
    make(tmp_path / "out", overwrite=False)
    write(tmp_path / "out", Thumbs_db="x")
    (tmp_path / "out" / ".DS_Store").write_text("x")
    make(tmp_path / "out")
    assert len(tree(tmp_path)) == 2


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path):
    make(tmp_path / "disk" / "out", "old")
    (tmp_path / "out").symlink_to(tmp_path / "disk" / "out")
    make(tmp_path / "out")
    assert (tmp_path / "out").is_symlink()
    assert tree(tmp_path / "disk") == {"out/report.html": "new", "out/report.csv": "new"}


def test_links_inside_are_not_followed(tmp_path):
    own = write(tmp_path / "own", thesis_txt="mine")
    make(tmp_path / "out", "old")
    (tmp_path / "out" / "extra").symlink_to(own)
    with pytest.raises(UserError, match="holds extra"):
        make(tmp_path / "out")
    (tmp_path / "out" / "extra").unlink()
    (tmp_path / "out" / "leaks.csv").symlink_to(own / "thesis.txt")
    make(tmp_path / "out")
    assert tree(own) == {"thesis.txt": "mine"}


LISTED = FolderKind("a release", ("release.json",), ("extra/model.onnx",), inventory="release.json")


def make_listed(path):
    with replacing_folder(path, LISTED, overwrite=True) as folder:
        write(folder, extra__model_onnx="new", release_json='{"a": 1}', README_md="card")


@pytest.mark.reliability(
    "--overwrite with a user's file under a wide name: extra/, 512px/, *.svg", "refused, untouched, exit 2"
)
@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"extra__notes_txt": "mine"}, "holds extra/notes.txt, which was not written with it"),
        ({"extra__a__b_onnx": "mine"}, "holds extra/a/b.onnx"),
        ({"README_md": "my own words"}, "holds README.md of another size"),
        ({"Thumbs_db": "x"}, None),
    ],
)
def test_only_what_the_inventory_lists_is_replaced(tmp_path, files, reason):
    path = tmp_path / "release"
    make_listed(path)
    assert json.loads((path / "release.json").read_text()) == {
        "a": 1, "files": {"README.md": 4, "extra/model.onnx": 3},
    }  # fmt: skip
    make_listed(path)
    before = tree(write(path, **files))
    if reason is None:
        make_listed(path)
        return
    with pytest.raises(UserError, match=reason):
        make_listed(path)
    assert tree(path) == before


@pytest.mark.parametrize("inventory", ['{"a": 1}', '{"files": 3}', "[]", "{"])
def test_a_folder_without_an_inventory_is_judged_by_names(tmp_path, inventory):
    path = write(tmp_path / "release", release_json=inventory, extra__model_onnx="old")
    make_listed(path)
    path = write(tmp_path / "other", release_json=inventory, extra__mine_onnx="old")
    with pytest.raises(UserError, match="holds extra/mine.onnx"):
        make_listed(path)


def test_a_file_in_the_way_is_refused(tmp_path):
    write(tmp_path, out="mine")
    with pytest.raises(UserError, match="is a file"):
        make(tmp_path / "out")
    assert tree(tmp_path) == {"out": "mine"}


# Kills

KILLED = """
import os, pathlib, shutil, sys
from Utils.files import output_folders
moment, calls = int(sys.argv[2]), 0

def dying(function):
    def call(*words, **options):
        global calls
        calls += 1
        if calls == moment:
            os.kill(os.getpid(), 9)
        return function(*words, **options)
    return call

for owner, names in ((pathlib.Path, ("rename", "mkdir")), (os, ("unlink", "rmdir", "stat"))):
    for name in names:
        setattr(owner, name, dying(getattr(owner, name)))
kind = output_folders.FolderKind("a report", ("report.html", "report.csv"))
with output_folders.replacing_folder(sys.argv[1], kind, overwrite=True) as folder:
    for name in kind.markers:
        (folder / name).write_text("new")
print(calls)
"""


def killed(path, moment):
    """Replace a folder in a process that dies at its n-th rename, deletion, ...; returns its exit code."""
    return subprocess.run(
        [sys.executable, "-c", KILLED, str(path), str(moment)], cwd=ROOT, capture_output=True
    ).returncode


@pytest.mark.reliability("A kill at any moment of --overwrite", "one whole output is there or put back")
def test_a_kill_at_any_moment_leaves_one_whole_output(tmp_path):
    moment, seen = 1, set()
    path = tmp_path / "out"
    make(path, "old")
    while killed(path, moment) != 0:
        assert moment < 60
        output_folders.require_replaceable_folder(path, KIND, overwrite=True)  # what the next run begins with
        content = set(tree(path).values())
        assert len(content) == 1
        assert len(tree(path)) == 2
        seen |= content
        assert [item.name for item in tmp_path.iterdir()] == ["out"]
        shutil.rmtree(path)
        make(path, "old")
        moment += 1
    assert seen == {"old", "new"}


def test_a_folder_with_a_name_as_long_as_allowed_is_written_and_put_back(tmp_path):
    """The names of its temporary folders are no longer than its own."""
    path = tmp_path / ("\u9577" * 85)
    make(path, "old")
    temporary = tmp_path / f".{atomic.short_name(path.name)}.999999999.old"
    path.rename(temporary)
    make(path, "new")
    assert [item.name for item in tmp_path.iterdir()] == [path.name]
    assert set(tree(path).values()) == {"new"}


def test_a_full_disk_names_the_folder_and_its_file(tmp_path):
    path = tmp_path / "output"
    with (
        pytest.raises(OSError) as caught,
        replacing_folder(path, KIND) as folder,
        atomic.replacing(folder / "a.txt"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(path / "a.txt")


def test_temporary_folders_of_living_processes_stay(tmp_path):
    for pid in (1, 999999999):
        for end in ("part", "old"):
            write(tmp_path / f".out.{pid}.{end}", report_html="x", report_csv="x")
    make(tmp_path / "out")
    assert {item.name for item in tmp_path.iterdir()} == {"out", ".out.1.part", ".out.1.old"}


# Two at once


@pytest.mark.reliability(
    "Two commands with one output at once, as a folder", "the second is told so; the first one's output stays"
)
@pytest.mark.skipif(os.name == "nt", reason="Windows does not lock folders")
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_has_one_writer_at_a_time(tmp_path, overwrite):
    path = tmp_path / "out"
    if overwrite:
        make(path, "old")
    with replacing_folder(path, KIND, overwrite) as folder:
        with pytest.raises(UserError, match="out is being written by another process"):
            output_folders.require_replaceable_folder(path, KIND, overwrite)
        write(folder, report_html="new", report_csv="new")
    assert tree(tmp_path) == {"out/report.html": "new", "out/report.csv": "new"}
    make(path, "newer")


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_comes_to_the_place_meanwhile_is_kept(tmp_path, overwrite):
    path = tmp_path / "out"
    with (
        pytest.raises(UserError, match="my.txt" if overwrite else "exists already and is kept"),
        replacing_folder(path, KIND, overwrite) as folder,
    ):
        write(folder, report_html="new", report_csv="new")
        write(path, report_html="mine", report_csv="mine", my_txt="mine")
    assert set(tree(tmp_path).values()) == {"mine"}
    assert [item.name for item in tmp_path.iterdir()] == ["out"]


def test_what_comes_to_the_place_after_it_was_looked_at_is_kept(tmp_path, monkeypatch):
    path, look = tmp_path / "out", output_folders._require_replaceable
    make(path, "old")

    def look_and_be_late(looked_at, *rest):
        look(looked_at, *rest)
        if path.exists():  # not when it was moved aside
            write(path, my_txt="mine")

    with pytest.raises(UserError, match="my.txt"), replacing_folder(path, KIND, overwrite=True) as folder:
        write(folder, report_html="new", report_csv="new")
        monkeypatch.setattr(output_folders, "_require_replaceable", look_and_be_late)
    assert tree(tmp_path) == {"out/report.html": "old", "out/report.csv": "old", "out/my.txt": "mine"}


def test_what_comes_to_the_place_in_between_is_kept_and_so_is_the_old_folder(tmp_path, monkeypatch):
    path, rename = tmp_path / "out", pathlib.Path.rename
    make(path, "old")

    def rename_late(item, target):
        if item.suffix == ".part":  # the old folder is aside
            write(path, my_txt="mine")
        return rename(item, target)

    with monkeypatch.context() as patched, pytest.raises(UserError, match=r"now .*out\.\d+\.old"):
        patched.setattr(pathlib.Path, "rename", rename_late)
        make(path)
    kept = f"out.{os.getpid()}.old"
    assert tree(tmp_path) == {"out/my.txt": "mine", f"{kept}/report.html": "old", f"{kept}/report.csv": "old"}
    with pytest.raises(UserError, match=r"out is not a report"):
        make(path)
    assert len(tree(tmp_path)) == 3


@pytest.mark.skipif(os.name == "nt", reason="Windows does not lock folders")
def test_a_folder_that_others_work_in_is_not_replaced(tmp_path):
    path = tmp_path / "out"
    make(path, "old")
    with (
        locking.holding(path, alone=False),
        pytest.raises(UserError, match="out is in use by another process"),
    ):
        make(path)
    assert set(tree(tmp_path).values()) == {"old"}


def test_a_name_with_brackets_is_put_back_too(tmp_path):
    path, child = tmp_path / "out[1]", subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    make(path, "old", overwrite=False)
    path.rename(tmp_path / f".out[1].{child.pid}.old")
    with pytest.raises(UserError, match="kept"):
        make(path, overwrite=False)
    assert tree(path) == {"report.html": "old", "report.csv": "old"}


@pytest.mark.reliability("Outputs on another file system", "sent when complete; what is there stays")
def test_a_folder_elsewhere_is_sent_when_complete_and_never_replaced():
    files = fsspec.filesystem("memory")
    with replacing_folder("memory://out/report", KIND) as folder:
        (folder / "deep").mkdir()
        for name in ("report.csv", "report.html", "deep/a.png"):
            (folder / name).write_text(name)
        assert not files.exists("/out/report")
    names = ["/out/report/deep/a.png", "/out/report/report.csv", "/out/report/report.html"]
    assert files.find("/out/report") == names
    for overwrite, reason in ((False, "exists already and is kept"), (True, "on this machine only; delete")):
        with pytest.raises(UserError, match=reason), replacing_folder("memory://out/report", KIND, overwrite):
            pass
    files.rm("/out", recursive=True)
