"""Utils/files/zip_members.py: members of zip files read in place; hostile files."""

import zipfile
import zlib

import numpy as np
import pytest
from helpers.archives import write_zip

from Utils.files import zip_members
from Utils.files.ranges import RangeReader

FILES = {"1.jpg": b"a" * 700, "あ/2.jpg": bytes(range(256)) * 9, "3.jpg": b""}


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_members_are_read_in_place(tmp_path, method):
    reader = RangeReader(write_zip(tmp_path / "x.zip", FILES, method))
    members = list(zip_members.scan(reader))
    assert {member.name: zip_members.read_member(reader, member) for member in members} == FILES


def test_an_empty_zip_has_no_members(tmp_path):
    assert list(zip_members.scan(RangeReader(write_zip(tmp_path / "x.zip", {})))) == []


def test_what_is_packed_in_another_way_or_encrypted_says_so(tmp_path):
    path = write_zip(tmp_path / "x.zip", FILES, zipfile.ZIP_LZMA)
    reader = RangeReader(path)
    with pytest.raises(zip_members.ZipError, match="a method .14. not read here"):
        zip_members.read_member(reader, next(zip_members.scan(reader)))
    data = bytearray(write_zip(path, {"1.jpg": b"abc"}).read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    reader = RangeReader(path)
    with pytest.raises(zip_members.ZipError, match="encrypted"):
        zip_members.read_member(reader, next(zip_members.scan(reader)))


@pytest.mark.reliability(
    "A zip bomb among pictures", "refused by its sizes; no more is unpacked than it says"
)
def test_bombs_are_refused():
    packed = zlib.compress(bytes(10**7), 9, -15)

    class Reader:
        size = 10**6

        def read(self, offset, length):
            header = b"PK\x03\x04" + bytes(22) + b"\x01\0\0\0" + b"x"
            return (header + packed + bytes(200))[offset : offset + length]

    honest = zip_members.ZipMember("x", 0, 10**7, len(packed), zip_members.DEFLATED, zlib.crc32(bytes(10**7)))
    assert len(zip_members.read_member(Reader(), honest)) == 10**7
    with pytest.raises(zip_members.ZipError, match="say they unpack to"):
        zip_members.read_member(Reader(), honest._replace(size=10**10))
    with pytest.raises(zip_members.ZipError, match="checksum"):  # says 5 bytes, would give 10 million
        zip_members.read_member(Reader(), honest._replace(size=5, check=zlib.crc32(bytes(5)) ^ 1))


@pytest.mark.reliability("A zip file with any byte changed", "an error, never other bytes")
def test_every_flipped_byte_gives_an_error_or_the_same_bytes(tmp_path):
    path = write_zip(tmp_path / "x.zip", {"1.jpg": b"a" * 50, "2.jpg": b"b" * 50}, zipfile.ZIP_DEFLATED)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for place in range(len(whole)):
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        reader = RangeReader(path)
        try:
            for member in zip_members.scan(reader):
                content = zip_members.read_member(reader, member)
                assert content in (b"a" * 50, b"b" * 50)
        except zip_members.ZipError:
            continue
