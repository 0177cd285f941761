"""Utils/files/locking.py: one process at a time, on systems of either kind."""

import errno
import os
import subprocess
import sys
import types

import pytest

from Utils.command.cli import UserError
from Utils.files import locking


def test_a_second_open_of_a_locked_file_is_refused_until_it_is_closed(tmp_path):
    with (tmp_path / "lock").open("w") as first, (tmp_path / "lock").open("w") as second:
        assert locking.try_lock(first)
        assert not locking.try_lock(second)
        first.close()
        assert locking.try_lock(second)


def test_a_killed_process_leaves_no_lock(tmp_path):
    code = (
        "import os, sys; from Utils.files.locking import try_lock; file = open(sys.argv[1], 'w')\n"
        "assert try_lock(file); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "lock")], check=False)
    with (tmp_path / "lock").open("w") as file:
        assert locking.try_lock(file)


def test_an_output_has_one_writer_at_a_time(tmp_path):
    output = tmp_path / "new" / "audit.json"
    with locking.sole_writer(output):
        with pytest.raises(UserError, match="audit.json is being written by another process"):
            locking.sole_writer(output).__enter__()
        assert [path.name for path in output.parent.iterdir()] == [".audit.json.lock"]
    assert not list(output.parent.iterdir())
    (output.parent / ".audit.json.lock").touch()  # left by a killed process
    with locking.sole_writer(output):
        pass


def test_the_lock_of_a_file_that_its_holder_removed_is_no_lock(tmp_path, monkeypatch):
    """A second process may open the file before the first removes it, and lock it after."""

    def lock_late(file):
        (tmp_path / ".audit.json.lock").unlink()
        return True

    monkeypatch.setattr(locking, "try_lock", lock_late)
    with pytest.raises(UserError, match="another process"):
        locking.sole_writer(tmp_path / "audit.json").__enter__()


@pytest.mark.skipif(os.name == "nt", reason="Windows does not lock folders")
def test_a_folder_is_held_by_many_or_by_one(tmp_path):
    with locking.holding(tmp_path, alone=False):
        assert not locking.is_held(tmp_path)
        with locking.holding(tmp_path, alone=False), pytest.raises(UserError, match="in use"):
            locking.holding(tmp_path).__enter__()
    with locking.holding(tmp_path):
        assert locking.is_held(tmp_path)
        with pytest.raises(UserError, match="in use by another process"):
            locking.holding(tmp_path, alone=False).__enter__()
    assert not locking.is_held(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EBADF, errno.EOPNOTSUPP])
def test_where_folders_have_no_locks_nothing_is_held(tmp_path, monkeypatch, number):
    """NFS and others refuse such locks in their own ways."""

    def refuse(file, how):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(
        locking, "_posix", types.SimpleNamespace(flock=refuse, LOCK_EX=2, LOCK_SH=1, LOCK_NB=4)
    )
    with locking.holding(tmp_path), locking.holding(tmp_path):
        assert not locking.is_held(tmp_path)
    monkeypatch.setattr(locking, "_posix", None)
    with locking.holding(tmp_path), locking.holding(tmp_path):
        assert not locking.is_held(tmp_path)


class Windows:
    """The locks of Windows: of bytes at the file's position, by file number."""

    LK_NBLCK = 1

    def __init__(self):
        self.taken = set()

    def locking(self, number, mode, count):
        key = os.fstat(number).st_ino, os.lseek(number, 0, os.SEEK_CUR)
        if key in self.taken:
            raise PermissionError(13, "Permission denied")
        self.taken.add(key)


@pytest.mark.reliability("No fcntl, as on Windows", "files are locked by the system's own means")
def test_windows_locks_a_byte_that_no_file_reaches(tmp_path, monkeypatch):
    monkeypatch.setattr(locking, "_posix", None)
    monkeypatch.setattr(locking, "_windows", Windows())
    with (tmp_path / "lock").open("ab") as first, (tmp_path / "lock").open("ab") as second:
        first.write(b"some bytes")
        assert locking.try_lock(first)
        assert first.tell() == 10
        assert not locking.try_lock(second)
        assert {place for _, place in locking._windows.taken} == {locking.LOCKED_BYTE}
