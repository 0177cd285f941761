"""Large files in pieces: the same bytes and digest past the cache, through it, and where that shows late."""

import errno
import hashlib
import itertools
import os

import numpy as np
import pytest

from Utils.command.cli import WorkError
from Utils.files import hashing_writer

PIECE = 3 * hashing_writer.BLOCK  # of the tests


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    monkeypatch.setattr(hashing_writer, "PIECE", PIECE)
    monkeypatch.setattr(hashing_writer, "_free", [])


def parts_of(sizes):
    random = np.random.default_rng(0)
    return [random.bytes(size) for size in sizes]


def written(path, parts):
    with hashing_writer.Sink(path) as sink:
        for part in parts:
            sink.write(part)
    return sink


SIZES = {
    "nothing": [],
    "empty parts": [0, 5, 0],
    "a piece exactly": [PIECE],
    "a piece and a byte": [PIECE - 1, 2],
    "several pieces in one part": [7, 5 * PIECE + 3, 1],
    "many parts": list(range(0, 2000, 13)),
}


@pytest.mark.parametrize("sizes", SIZES.values(), ids=SIZES)
def test_what_is_written_is_there(tmp_path, sizes):
    parts = parts_of(sizes)
    sink = written(tmp_path / "x", parts)
    data = b"".join(parts)
    assert (tmp_path / "x").read_bytes() == data
    assert (sink.size, sink.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def never(file, *_):
    raise OSError(errno.EINVAL, "no such mode here")


def test_a_file_system_that_knows_only_its_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(hashing_writer.fcntl, "fcntl", never)
    (part,) = parts_of([2 * PIECE + 9])
    assert written(tmp_path / "x", [part]).size == len(part)
    assert (tmp_path / "x").read_bytes() == part


def test_a_file_system_that_says_so_when_written_to(tmp_path, monkeypatch):
    turns, write = itertools.count(), os.pwrite
    monkeypatch.setattr(hashing_writer, "_past_cache", lambda file, wanted: wanted)
    monkeypatch.setattr(
        hashing_writer.os, "pwrite", lambda *words: write(*words) if next(turns) else never(*words)
    )
    (part,) = parts_of([2 * PIECE + 9])
    written(tmp_path / "x", [part])
    assert (tmp_path / "x").read_bytes() == part
    assert next(turns) == 4  # the first piece twice


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(hashing_writer.os, "pwrite", lambda file, data, start: 3)
    with pytest.raises(WorkError, match="is it full"):
        written(tmp_path / "x", [b"abc"])
    with pytest.raises(WorkError, match="is it full"):
        written(tmp_path / "x", parts_of([PIECE] * 5))


def test_after_an_error_the_next_file_is_right(tmp_path):
    with pytest.raises(KeyError), hashing_writer.Sink(tmp_path / "x") as sink:
        sink.write(bytes(PIECE + 1))
        raise KeyError
    written(tmp_path / "x", [b"b"])
    assert (tmp_path / "x").read_bytes() == b"b"


def test_memory_serves_again(tmp_path):
    for _ in range(3):
        written(tmp_path / "x", parts_of([9 * PIECE]))
    assert len(hashing_writer._free) <= hashing_writer.AHEAD + 1
