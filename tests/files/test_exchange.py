import itertools
import os
import pathlib
import shutil

import pytest

from Utils.files import exchange

OLD = {"m.keras": b"old model", "m.json": b"old words"}
NEW = {"m.keras": b"new model", "m.json": b"new words", "tags.csv": b"new tags"}


def write(folder):
    with exchange.replacing_together([folder / name for name in NEW]) as places:
        for place, content in zip(places, NEW.values(), strict=True):
            place.write_bytes(content)


def present(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.mark.parametrize("before", [{}, OLD])
def test_new_files_come_and_nothing_else_stays(tmp_path, before):
    for name, content in before.items():
        (tmp_path / name).write_bytes(content)
    write(tmp_path)
    assert present(tmp_path) == NEW
    assert not exchange.put_back(tmp_path / "m.keras")
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("links", [True, False])
def test_a_kill_at_any_change_leaves_the_old_or_the_new_after_the_next_call(tmp_path, monkeypatch, links):
    """The folder is copied before every change: what a process that is killed there leaves."""
    folder, seen = tmp_path / "folder", []
    folder.mkdir()
    for name, content in OLD.items():
        (folder / name).write_bytes(content)
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError("no links here")))
    with monkeypatch.context() as patch:
        copy_at_changes(patch, folder, tmp_path)
        write(folder)
    for place in [*sorted(tmp_path.glob("at_*")), folder]:
        state = present(place)
        assert "m.keras" not in state or state in (OLD, NEW), "never files of two models beside the model"
        exchange.put_back(place / "m.keras")
        seen.append(present(place))
        assert seen[-1] in (OLD, NEW)
        assert not list(place.glob(".*"))
    assert len(seen) > 8
    assert seen[-1] == NEW
    assert seen == sorted(seen, key=lambda state: state == NEW), "once new, it stays so"


def test_what_somebody_put_there_after_a_kill_stays(tmp_path, monkeypatch):
    folder, killed, replace = tmp_path / "folder", tmp_path / "killed", pathlib.Path.replace
    folder.mkdir()
    (folder / "m.keras").write_bytes(OLD["m.keras"])

    def copy_at_the_first(source, target):
        if source.parent.name == "new" and not killed.exists():
            shutil.copytree(folder, killed)
        return replace(source, target)

    monkeypatch.setattr(pathlib.Path, "replace", copy_at_the_first)
    write(folder)
    assert present(killed) == {}
    mine = {"m.keras": b"my model", "tags.csv": b"my tags"}
    for name, content in mine.items():
        (killed / name).write_bytes(content)
    assert exchange.put_back(killed / "m.keras")
    assert present(killed) == mine


def copy_at_changes(patch, folder, copies):
    """Copy a folder to ``copies/at_NUMBER`` before each of its changes from now on."""
    numbers = itertools.count(10)  # of two digits: their order is that of their names
    copying = []  # True while a copy is made

    def before(original):
        def change(*words, **more):
            if not copying:
                copying.append(True)
                shutil.copytree(folder, copies / f"at_{next(numbers)}")
                copying.clear()
            return original(*words, **more)

        return change

    for module, name in ((pathlib.Path, "replace"), (pathlib.Path, "rename"), (pathlib.Path, "unlink"),
                         (os, "unlink"), (os, "rmdir"), (os, "link"), (os, "mkdir")):  # fmt: skip
        patch.setattr(module, name, before(getattr(module, name)))


def test_an_error_while_writing_changes_nothing(tmp_path):
    (tmp_path / "m.keras").write_bytes(b"old")
    with (
        pytest.raises(ZeroDivisionError),
        exchange.replacing_together([tmp_path / "m.keras", tmp_path / "m.json"]) as places,
    ):
        places[0].write_bytes(b"new")
        raise ZeroDivisionError
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"m.keras": b"old"}


def test_an_error_while_exchanging_puts_the_old_back(tmp_path, monkeypatch):
    for name, content in OLD.items():
        (tmp_path / name).write_bytes(content)
    replace = pathlib.Path.replace

    def refuse(source, target):
        if source.parent.name == "new" and target.name == "m.json":
            raise PermissionError(13, "no")
        return replace(source, target)

    monkeypatch.setattr(pathlib.Path, "replace", refuse)
    with pytest.raises(PermissionError):
        write(tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == OLD
