"""Utils/files/tar_members.py: where members lie, against the library tarfile; hostile files."""

import collections
import io
import tarfile

import numpy as np
import pytest
from helpers.archives import write_tar

from Utils.files import tar_members
from Utils.files.ranges import RangeReader

NAMES = ("1.jpg", "a/2.jpg", "b" * 60 + "/" + "c" * 60 + "/3.jpg", "あ/4.jpg", "../5.jpg", "/6.jpg")
FORMATS = {"ustar": tarfile.USTAR_FORMAT, "gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT}
LONG = "d" * 300 + "/7.jpg"


def members(path):
    return list(tar_members.scan(RangeReader(path)))


@pytest.mark.parametrize("kind", FORMATS)
def test_names_places_and_sizes_are_those_of_tarfile(tmp_path, kind):
    names = [*NAMES, *([] if kind == "ustar" else [LONG])]
    files = {name: bytes([row]) * 700 * row for row, name in enumerate(names)}
    path = write_tar(tmp_path / "x.tar", files, FORMATS[kind])
    with tarfile.open(path) as archive:
        expected = [(m.name, m.offset_data, m.size) for m in archive]
    # tarfile drops the slash before absolute names when it writes; this reader changes no name
    assert [m[:3] for m in members(path)] == expected
    reader = RangeReader(path)
    for member in members(path):
        assert tar_members.read_member(reader, *member) in files.values()
        assert len(tar_members.read_member(reader, *member)) == member.size


def test_links_folders_devices_and_sparse_files_are_passed_by(tmp_path):
    with tarfile.open(tmp_path / "x.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        for name, kind in (("d", tarfile.DIRTYPE), ("l", tarfile.SYMTYPE), ("f", tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(name)
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("1.jpg")
        info.size = 3
        archive.addfile(info, io.BytesIO(b"abc"))
        info = tarfile.TarInfo("s.jpg")
        info.type, info.size = tarfile.GNUTYPE_SPARSE, 3
        archive.addfile(info, io.BytesIO(b"abc"))
    counts = collections.Counter()
    assert [m.name for m in tar_members.scan(RangeReader(tmp_path / "x.tar"), counts)] == ["1.jpg"]
    assert counts == {"links": 1, "devices": 1, "sparse": 1}


def test_sizes_in_base_256(tmp_path):
    data = bytearray(write_tar(tmp_path / "x.tar", {"1.jpg": b"abc"}).read_bytes())
    data[124:136] = b"\x80" + (3).to_bytes(11, "big")
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
    (tmp_path / "x.tar").write_bytes(data)
    assert members(tmp_path / "x.tar")[0][:3] == ("1.jpg", 512, 3)
    data[124:136] = b"\xff" * 12
    data[148:156] = b" " * 8
    data[148:156] = f"{sum(data[:512]):06o}\0 ".encode()
    (tmp_path / "x.tar").write_bytes(data)
    with pytest.raises(tar_members.TarError, match="a size that no file has"):
        members(tmp_path / "x.tar")


@pytest.mark.reliability("A tar that is cut off or damaged at any byte", "an error, or the members before")
def test_every_cut_and_every_flipped_header_byte_gives_an_error_or_what_is_there(tmp_path):
    files = {"1.jpg": b"a" * 700, LONG: b"b" * 10, "2.jpg": b"c" * 1024}
    path = write_tar(tmp_path / "x.tar", files)
    whole = path.read_bytes()
    names = [m.name for m in members(path)]
    rng = np.random.default_rng(0)
    for cut in [*range(0, 5000, 97), 511, 512, 513]:
        path.write_bytes(whole[:cut])
        counts = collections.Counter()
        try:
            before = [member.name for member in tar_members.scan(RangeReader(path), counts)]
            assert before == names[: len(before)]
            assert before == names or counts[tar_members.NO_END]
        except tar_members.TarError as error:
            assert any(part in str(error) for part in ("cut off", "no tar file", "is empty"))
    for place in rng.integers(0, 512, 100).tolist():
        data = bytearray(whole)
        data[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        with pytest.raises(tar_members.TarError):
            members(path)


def test_a_long_name_that_never_ends_is_refused(tmp_path):
    header = bytearray(512)
    header[:5], header[124:136], header[156:157] = b"@Long", b"77777777777\0", b"L"
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    (tmp_path / "x.tar").write_bytes(header + bytes(5000))
    with pytest.raises(tar_members.TarError, match="takes 8589934591 bytes"):
        members(tmp_path / "x.tar")


@pytest.mark.reliability("An index that gives another member's place in a tar", "an error, no picture")
def test_another_members_place_is_refused(tmp_path):
    path = write_tar(tmp_path / "x.tar", {"1.jpg": b"a" * 700, "2.jpg": b"b" * 700})
    first, second = members(path)
    reader = RangeReader(path)
    assert tar_members.read_member(reader, "1.jpg", *first[1:3], None) == b"a" * 700
    for name, offset, size, check in (
        ("1.jpg", second.offset, 700, first.check), ("1.jpg", second.offset, 700, None),
        ("1.jpg", first.offset, 699, None), ("1.jpg", 0, 700, None), ("1.jpg", 1 << 40, 700, None),
        ("2.jpg", first.offset, 700, None),
    ):  # fmt: skip
        with pytest.raises(tar_members.TarError, match="is not at byte"):
            tar_members.read_member(reader, name, offset, size, check)


def test_names_of_no_utf8_and_dots_before_them():
    assert tar_members.member_name(b"./a/./1.jpg") == "a/./1.jpg"
    assert tar_members.member_name(b"././1.jpg") == "1.jpg"
    assert tar_members.member_name(b"\x82\xa0.jpg") == "\\x82\\xa0.jpg"


def header(name, kind=b"0", size=0, more=b""):
    """A header block with its checksum; ``more`` lies at its byte 257."""
    block = bytearray(512)
    block[: len(name)], block[124:136], block[156:157] = name, f"{size:011o}\0".encode(), kind
    block[257 : 257 + len(more)], block[148:156] = more, b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    return bytes(block)


def padded(data):
    return data + bytes(-len(data) % 512)


def scanned(tmp_path, data):
    (tmp_path / "x.tar").write_bytes(data)
    counts = collections.Counter()
    found = tar_members.scan(RangeReader(tmp_path / "x.tar"), counts)
    return [tuple(member[:3]) for member in found], dict(counts)


def test_what_old_and_unusual_programs_write(tmp_path):
    end = bytes(1024)
    # V7 has folders by a slash; GNU's sparse maps go on in blocks behind the header.
    more_maps = bytearray(header(b"s.jpg", b"S", 3))
    more_maps[482], more_maps[148:156] = 1, b" " * 8
    more_maps[148:156] = f"{sum(more_maps):06o}\0 ".encode()
    maps = bytes(504) + b"\1" + bytes(7) + bytes(512)  # of which the first says that another one follows
    data = header(b"d/", b"\0") + bytes(more_maps) + maps + padded(b"abc") + header(b"1.jpg", b"\0", 3)
    assert scanned(tmp_path, data + padded(b"xyz") + end) == ([("1.jpg", 3072, 3)], {"sparse": 1})
    assert scanned(tmp_path, header(b"1.jpg") + end + b"more") == (
        [("1.jpg", 512, 0)], {tar_members.BEHIND_END: 1}
    )  # fmt: skip
    assert scanned(tmp_path, header(b"1.jpg")) == ([("1.jpg", 512, 0)], {tar_members.NO_END: 1})


def test_a_checksum_of_signed_bytes_is_one_too(tmp_path):
    """Programs of SunOS summed bytes above 127 as negative numbers."""
    name = "é.jpg".encode()
    block = bytearray(header(name, size=3))
    block[148:156] = f"{int(block[148:154], 8) - 256 * 2:06o}\0 ".encode()
    assert scanned(tmp_path, bytes(block) + padded(b"xyz") + bytes(1024)) == ([("é.jpg", 512, 3)], {})
    block[148:156] = f"{int(block[148:154], 8) - 256:06o}\0 ".encode()
    with pytest.raises(tar_members.TarError):
        scanned(tmp_path, bytes(block) + padded(b"xyz") + bytes(1024))


def test_a_sparse_map_that_is_cut_off_is_refused(tmp_path):
    block = bytearray(header(b"s.jpg", b"S"))
    block[482], block[148:156] = 1, b" " * 8
    block[148:156] = f"{sum(block):06o}\0 ".encode()
    with pytest.raises(tar_members.TarError, match="cut off"):
        scanned(tmp_path, bytes(block) + bytes(100))


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"99 path=a\n", "damaged"), (b"x path=a\n", "damaged"), (b"2 a", "damaged"),
        (b"10 path_a\n", "damaged"), (b"13 size=-100\n", "no number"),
        (b"28 size=1234567890123456789\n", "no number"),
    ],
)  # fmt: skip
def test_damaged_pax_headers_are_refused(tmp_path, record, reason):
    data = header(b"p", b"x", len(record)) + padded(record) + header(b"1.jpg") + bytes(1024)
    with pytest.raises(tar_members.TarError, match=reason):
        scanned(tmp_path, data)


def test_a_pax_header_may_be_of_all_members_that_follow_or_of_a_sparse_one(tmp_path):
    global_record, own = b"10 size=3\n", b"12 path=own\n"
    sparse = b"22 GNU.sparse.major=1\n"
    data = header(b"g", b"g", len(global_record)) + padded(global_record)
    data += header(b"x", b"x", len(own)) + padded(own) + header(b"1") + padded(b"abc")
    data += header(b"2") + padded(b"def")
    data += header(b"x", b"x", len(sparse)) + padded(sparse) + header(b"3") + padded(b"ghi") + bytes(1024)
    assert scanned(tmp_path, data) == ([("own", 2560, 3), ("2", 3584, 3)], {"sparse": 1})
