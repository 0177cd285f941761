"""Zip files read in place: the list at their end says where every member lies; checksums are compared."""

import io
import zipfile
import zlib
from collections.abc import Iterator
from typing import NamedTuple

from Utils.files.ranges import RangeFile, RangeReader

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
_MOST_RATIO = 1100  # of unpacked to packed bytes; deflate reaches 1032 on zeros
_LOCAL_HEADER = 30  # bytes before the name
_WINDOWS = 0  # the system of a member's attributes: FAT
_USUAL_EXTRA = 64  # bytes of extra fields after the name


class ZipMember(NamedTuple):
    """Where a member lies, and how it is packed."""

    name: str
    offset: int  # of its local header
    size: int
    packed: int  # bytes
    method: int  # STORED, DEFLATED or another
    check: int  # CRC-32 of its content


class ZipError(ValueError):
    """A zip file or a member that cannot be read; ``str`` says why."""


def scan(reader: RangeReader) -> Iterator[ZipMember]:
    """Yield the members that are files, in the order of the list; ZipError where the file is damaged.

    Members that are encrypted get the method -1.
    """
    try:
        with zipfile.ZipFile(io.BufferedReader(RangeFile(reader), 1 << 16)) as archive:
            infos = archive.infolist()
    except Exception as error:  # struct.error, UnicodeDecodeError, OverflowError and others at damaged lists
        raise ZipError(f"it is damaged or no zip file ({error or type(error).__name__})") from error
    for info in infos:
        if info.is_dir():
            continue
        method = -1 if info.flag_bits & 1 else info.compress_type
        name = info.filename.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        if info.create_system == _WINDOWS and "/" not in name:  # some programs there write their own slashes
            name = name.replace("\\", "/")
        while name.startswith("./"):
            name = name[2:].lstrip("/")
        yield ZipMember(name, info.header_offset, info.file_size, info.compress_size, method, info.CRC)


def read_member(reader: RangeReader, member: ZipMember) -> bytes:
    """Return the content of a member; ZipError where it is damaged, encrypted, or packed in another way."""
    if member.method not in (STORED, DEFLATED):
        how = "encrypted" if member.method < 0 else f"packed by a method ({member.method}) not read here"
        raise ZipError(f"it is {how}")
    if member.size > _MOST_RATIO * max(member.packed, 1):
        raise ZipError(f"{member.packed} bytes that say they unpack to {member.size}")
    head = _LOCAL_HEADER + len(member.name.encode()) + _USUAL_EXTRA
    data = reader.read(member.offset, head + member.packed)
    if data[:4] != b"PK\x03\x04" or len(data) < _LOCAL_HEADER:
        raise ZipError("its header is not where the list says")
    start = _LOCAL_HEADER + int.from_bytes(data[26:28], "little") + int.from_bytes(data[28:30], "little")
    packed = data[start : start + member.packed]
    if len(packed) < member.packed:
        packed = reader.read(member.offset + start, member.packed)
    content = packed if member.method == STORED else _inflated(packed, member.size)
    if len(content) != member.size or zlib.crc32(content) != member.check:
        raise ZipError("it has not its checksum")
    return content


def _inflated(packed: bytes, size: int) -> bytes:
    """Unpack at most ``size`` bytes, whatever more there would be."""
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return engine.decompress(packed, max(size, 1))
    except zlib.error as error:
        raise ZipError(f"it is damaged ({error})") from error
