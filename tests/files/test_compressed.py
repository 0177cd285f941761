"""Utils/files/compressed.py: every compression gives the plain content, and damage is named."""

import bz2
import gzip
import lzma

import pyarrow as pa
import pytest

from Utils.command.cli import WorkError
from Utils.files import compressed

TEXT = b"".join(b"line %d\n" % number for number in range(20_000))
PACKERS = {
    "plain": bytes,
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zstd": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


@pytest.mark.parametrize("name", PACKERS)
def test_content_is_read_whatever_the_suffix(tmp_path, name):
    path = tmp_path / "file"
    path.write_bytes(PACKERS[name](TEXT))
    with compressed.opened(path) as file:
        assert file.peek(4)[:4] == b"line"
        assert list(file) == TEXT.splitlines(keepends=True)
    assert compressed.head(path, 6) == b"line 0"


@pytest.mark.parametrize("name", ["gzip", "xz", "bzip2", "zstd"])
def test_several_streams_in_a_row_are_one_file(tmp_path, name):
    path = tmp_path / "file"
    path.write_bytes(2 * PACKERS[name](TEXT))
    with compressed.opened(path) as file:
        assert file.read() == 2 * TEXT


@pytest.mark.parametrize("name", ["gzip", "xz", "bzip2", "zstd"])
@pytest.mark.reliability("a compressed file of posts that is cut off", "one error that names the file")
def test_a_file_that_is_cut_off_is_named(tmp_path, name):
    path = tmp_path / "cut"
    path.write_bytes(PACKERS[name](TEXT)[:-7])
    with pytest.raises(WorkError, match="cut cannot be read to its end"), compressed.opened(path) as file:
        file.read()
