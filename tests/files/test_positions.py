"""Utils/files/positions.py: the same reads and writes with the calls of Linux and without them."""

import concurrent.futures
import os

import pytest

from Utils.files import positions


@pytest.fixture(params=["with", "without"], autouse=True)
def calls(request, monkeypatch):
    if request.param == "without":
        for name in ("preadv", "pwrite"):
            monkeypatch.delattr(os, name)


def test_threads_write_and_read_at_their_places(tmp_path):
    parts = [bytes([number]) * 1000 for number in range(64)]
    with (tmp_path / "x").open("w+b") as file, concurrent.futures.ThreadPoolExecutor(8) as pool:
        descriptor = file.fileno()

        def write(number):
            return positions.write_at(descriptor, memoryview(parts[number]), number * 1000)

        def read(number):
            content = bytearray(1000)
            assert positions.read_at(descriptor, memoryview(content), number * 1000) == 1000
            return bytes(content)

        assert list(pool.map(write, range(64))) == [1000] * 64
        assert list(pool.map(read, range(64))) == parts
        short = bytearray(1000)
        assert positions.read_at(descriptor, memoryview(short), 63_500) == 500
        assert short == parts[63][:500] + bytes(500)
        assert positions.read_at(descriptor, memoryview(short), 64_000) == 0
    assert (tmp_path / "x").read_bytes() == b"".join(parts)
