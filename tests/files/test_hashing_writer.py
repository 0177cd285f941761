"""Large files in pieces: the same bytes and digest whether writes bypass the page cache or use it."""

import errno
import hashlib
import itertools

import numpy as np
import pytest

from Utils.command.cli import WorkError
from Utils.files import hashing_writer, positions

PIECE = 3 * hashing_writer.BLOCK  # of the tests


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(hashing_writer, "PIECE", PIECE)
    monkeypatch.setattr(hashing_writer, "_free_pieces", [])


def parts_of(sizes):
    random = np.random.default_rng(0)
    return [random.bytes(size) for size in sizes]


def written(path, parts):
    with hashing_writer.HashingWriter(path) as writer:
        for part in parts:
            writer.write(part)
    return writer


SIZES = {
    "nothing": [],
    "empty parts": [0, 5, 0],
    "a piece exactly": [PIECE],
    "a piece and a byte": [PIECE - 1, 2],
    "several pieces in one part": [7, 5 * PIECE + 3, 1],
    "many parts": list(range(0, 2000, 13)),
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_file_size_and_digest_are_those_of_the_data(tmp_path, sizes):
    parts = parts_of(sizes)
    writer = written(tmp_path / "x", parts)
    data = b"".join(parts)
    assert (tmp_path / "x").read_bytes() == data
    assert (writer.size, writer.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def never(file, *_):
    raise OSError(errno.EINVAL, "no such mode here")


def test_a_file_system_without_direct_writes_gets_buffered_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(hashing_writer._fcntl, "fcntl", never)
    (part,) = parts_of([2 * PIECE + 9])
    assert written(tmp_path / "x", [part]).size == len(part)
    assert (tmp_path / "x").read_bytes() == part


def test_a_file_system_that_refuses_a_direct_write_gets_it_buffered(tmp_path, monkeypatch):
    turns, write = itertools.count(), positions.write_at
    monkeypatch.setattr(hashing_writer, "_set_direct", lambda descriptor, direct: direct)
    monkeypatch.setattr(positions, "write_at", lambda *words: write(*words) if next(turns) else never(*words))
    (part,) = parts_of([2 * PIECE + 9])
    written(tmp_path / "x", [part])
    assert (tmp_path / "x").read_bytes() == part
    assert next(turns) == 4  # the first piece twice


def test_a_full_disk_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(hashing_writer.os, "pwrite", lambda file, data, start: 3)
    with pytest.raises(WorkError, match="is it full"):
        written(tmp_path / "x", [b"abc"])
    with pytest.raises(WorkError, match="is it full"):
        written(tmp_path / "x", parts_of([PIECE] * 5))


def test_after_an_error_the_next_file_is_right(tmp_path):
    with pytest.raises(KeyError), hashing_writer.HashingWriter(tmp_path / "x") as writer:
        writer.write(bytes(PIECE + 1))
        raise KeyError
    written(tmp_path / "x", [b"b"])
    assert (tmp_path / "x").read_bytes() == b"b"


def test_memory_is_reused_by_later_files(tmp_path):
    for _ in range(3):
        written(tmp_path / "x", parts_of([9 * PIECE]))
    assert len(hashing_writer._free_pieces) <= hashing_writer.AHEAD + 1
