"""Utils/files/ranges.py: parts of local and remote files."""

import io
import os

import fsspec
import pytest

from Utils.files import ranges


@pytest.fixture
def remote():
    path = "memory://ranges/a.bin"
    fsspec.filesystem("memory").pipe_file("/ranges/a.bin", bytes(range(200)))
    return path


def test_any_part_of_a_local_or_remote_file(tmp_path, remote):
    (tmp_path / "a.bin").write_bytes(bytes(range(200)))
    for path in (tmp_path / "a.bin", remote):
        reader = ranges.RangeReader(path)
        assert reader.size == 200
        assert reader.is_remote == ("://" in str(path))
        assert reader.read(10, 3) == bytes([10, 11, 12])
        assert reader.read(198, 10) == bytes([198, 199])
        assert reader.read(500, 10) == reader.read(0, 0) == b""
        assert reader.stamp == ranges.stamp(path)


def test_without_pread_the_same(tmp_path, monkeypatch):
    (tmp_path / "a.bin").write_bytes(bytes(range(200)))
    monkeypatch.delattr(os, "pread")
    assert ranges.RangeReader(tmp_path / "a.bin").read(10, 90) == bytes(range(10, 100))


def test_the_stamp_changes_with_the_file(tmp_path, remote):
    path = tmp_path / "a"
    path.write_bytes(b"12")
    before = ranges.stamp(path)
    os.utime(path, ns=(0, 5))
    assert ranges.stamp(path) != before
    before = ranges.stamp(remote)
    fsspec.filesystem("memory").pipe_file("/ranges/a.bin", b"x")
    assert ranges.stamp(remote) != before


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(ValueError, match="is no file"):
        ranges.RangeReader(tmp_path)
    with pytest.raises(FileNotFoundError):
        ranges.RangeReader(tmp_path / "nothing")


def test_libraries_get_a_file_object(remote):
    with io.BufferedReader(ranges.RangeFile(ranges.RangeReader(remote))) as file:
        assert file.seek(-2, io.SEEK_END) == 198
        assert file.read() == bytes([198, 199])
        with pytest.raises(OSError, match="before the file"):
            file.seek(-201, io.SEEK_END)


def test_a_file_of_ranges_reads_as_files_do(tmp_path):
    (tmp_path / "x").write_bytes(bytes(range(100)))
    with (tmp_path / "x").open("rb") as plain, ranges.RangeFile(ranges.RangeReader(tmp_path / "x")) as file:
        for place, size in ((0, 10), (95, 10), (100, 5), (120, 5), (40, -1), (7, 0)):
            assert (file.seek(place), file.read(size)) == (plain.seek(place), plain.read(size))
            assert file.tell() == max(plain.tell(), place)
