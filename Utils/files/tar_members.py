"""Tar files read in place: one pass over the headers says where the content of every member lies.

Formats: V7, POSIX ustar, GNU (long names, sizes in base 256) and pax (POSIX.1-2001, section "pax Interchange
Format"). Contents are passed over, never read. The library `tarfile` takes 2.5 times as long, keeps an object
for each member, and asks a remote file system for every header by itself.
"""

import collections
import zlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

from Utils.files.ranges import RangeReader

BLOCK = 512
_MOST_EXTENDED = 1 << 20  # bytes of a long name or of the records of a pax header
_WINDOW, _REMOTE_WINDOW = (
    1 << 14,
    1 << 20,
)  # bytes read at a time: requests over a network cost more than bytes
NO_END = "no end"  # counted where the blocks of zeros are missing that end a tar
BEHIND_END = "behind the end"  # counted where something follows them
_PADDING = 1 << 16  # bytes of zeros that programs write at the end at most, as far as is looked
_DESCRIPTIONS = b"LKxgX"  # types of headers that describe the member behind them
_EMPTY, _FOLDER = b"12345", b"5"  # types without content
_REGULAR = b"0\x007"  # types of members with content: normal, the same of V7, contiguous
_KINDS = {
    b"1": "links", b"2": "links", b"3": "devices", b"4": "devices", b"6": "devices",
    b"S": "sparse",
}  # fmt: skip


class TarMember(NamedTuple):
    """Where the content of a member lies."""

    name: str
    offset: int  # of its content, in bytes
    size: int
    check: int  # CRC-32 of its header, the block before its content


class TarError(ValueError):
    """A tar file that is damaged or cut off; ``str`` says where and how."""


class Header(NamedTuple):
    """The fields of a header block that matter here."""

    name: bytes
    size: int
    kind: bytes  # the type flag, one byte


def parse_header(block: bytes) -> Header:
    """Return the fields of a header block of 512 bytes; TarError where its checksum is wrong."""
    if len(block) < BLOCK:
        raise TarError("it is cut off within a header")
    checksum = _number(block[148:156])
    total = sum(block) - sum(block[148:156]) + 8 * 32
    if checksum != total and checksum != total - 256 * sum(byte > 127 for byte in block):
        raise TarError("a header has not its checksum")
    name = block[:100].partition(b"\0")[0]
    if block[257:263] == b"ustar\0" and block[345]:
        name = block[345:500].partition(b"\0")[0] + b"/" + name
    return Header(name, _number(block[124:136]), block[156:157])


def _number(field: bytes) -> int:
    """Return a number of a header: octal digits, or base 256 where the first bit is set."""
    if field[0] & 0x80:
        value = int.from_bytes(field, "big", signed=False) & ~(0x80 << 8 * (len(field) - 1))
        if field[0] == 0xFF or value >= 1 << 63:
            raise TarError("a header has a size that no file has")
        return value
    digits = field.partition(b"\0")[0].strip()
    try:
        return int(digits or b"0", 8)
    except ValueError as error:
        raise TarError("a header has a number that is none") from error


def member_name(raw: bytes) -> str:
    """Return a member's name as text: without ``./`` before it; bytes that are no UTF-8 become ``\\xNN``."""
    name = raw.decode("utf-8", "backslashreplace")
    while name.startswith("./"):
        name = name[2:].lstrip("/")
    return name


def scan(reader: RangeReader, passed_by: "collections.Counter[str] | None" = None) -> Iterator[TarMember]:
    """Yield the members with content, in the order of the file.

    Args:
        reader: of the file.
        passed_by: counts other members: links, devices, folders; sparse ones, whose content is not in one
            piece; NO_END and BEHIND_END.

    Raises TarError where the file is no tar, damaged or cut off.
    """
    counts = collections.Counter() if passed_by is None else passed_by
    read, described = _ReadAhead(reader), _Described()
    at = 0
    if not reader.size:
        raise TarError("it is empty")
    while at < reader.size:
        block = read(at, BLOCK)
        if not block.strip(b"\0"):
            if not at and reader.size < 2 * BLOCK:
                raise TarError("it is no tar file")
            if read(at, min(reader.size - at, _PADDING)).strip(b"\0"):
                counts[BEHIND_END] = 1
            return
        try:
            header = parse_header(block)
        except TarError as error:
            raise TarError(f"{error} at byte {at}" if at else f"it is no tar file ({error})") from None
        start = at + BLOCK
        if header.kind in _DESCRIPTIONS:
            described.add(header, read, at)
            at = start + _padded(header.size)
            continue
        name, size, is_sparse = described.member(header, at)
        size_here = 0 if header.kind in _EMPTY else size
        _require(start + size_here <= reader.size, at, name)
        if is_sparse or header.kind not in _REGULAR:
            if header.kind != _FOLDER:
                counts["sparse" if is_sparse else _KINDS.get(header.kind, "of other types")] += 1
        elif not (header.kind == b"\0" and name.endswith(b"/")):  # V7 says so that it is a folder
            yield TarMember(member_name(name), start, size, zlib.crc32(block))
        sparse_map = _sparse_blocks(block, read, start) if header.kind == b"S" else 0
        at = start + sparse_map + _padded(size_here)
    counts[NO_END] = 1


class _ReadAhead:
    """Reads blocks of a tar, some at a time where they lie near each other."""

    def __init__(self, reader: RangeReader) -> None:
        self._reader, self._window, self._start = reader, b"", 0

    def __call__(self, offset: int, length: int) -> bytes:
        end = self._start + len(self._window)
        if not (self._start <= offset and offset + length <= end):
            # Here a header alone is read where large members lie between; elsewhere requests cost more.
            near = _WINDOW if offset - end < _WINDOW else 0
            ahead = _REMOTE_WINDOW if self._reader.is_remote else near
            self._window, self._start = self._reader.read(offset, max(length, ahead)), offset
        return self._window[offset - self._start : offset - self._start + length]


class _Described:
    """What the headers before a member say of it: a long name, a size, that it is sparse."""

    def __init__(self) -> None:
        self._long_name: bytes | None = None
        self._records: dict[bytes, bytes] = {}
        self._defaults: dict[bytes, bytes] = {}  # of all members that follow

    def add(self, header: Header, read: Callable[[int, int], bytes], at: int) -> None:
        """Read the content of a header at a byte that describes the next member, or all."""
        if header.size > _MOST_EXTENDED:
            raise TarError(f"the name at byte {at} takes {header.size} bytes")
        content = read(at + BLOCK, header.size)
        _require(len(content) == header.size, at)
        if header.kind == b"L":
            self._long_name = content.partition(b"\0")[0]
        elif header.kind in b"xX":
            self._records = _pax_records(content, at)
        elif header.kind == b"g":
            self._defaults |= _pax_records(content, at)

    def member(self, header: Header, at: int) -> tuple[bytes, int, bool]:
        """Return ``(name, size, whether it is sparse)`` of the member whose own header is this one."""
        fields = {**self._defaults, **self._records} if self._defaults or self._records else {}
        size = _decimal(fields[b"size"], at) if b"size" in fields else header.size
        name = fields.get(b"path") or self._long_name or header.name
        self._long_name, self._records = None, {}
        return name, size, any(key.startswith(b"GNU.sparse") for key in fields)


def read_member(reader: RangeReader, name: str, offset: int, size: int, check: int | None) -> bytes:
    """Return the content of a member, after its header has been compared with what an index says of it.

    Args:
        reader: of the file.
        name, offset, size: of the member, as an index has them.
        check: CRC-32 of its header; None compares name and size with the header's.

    Raises TarError where another member, or none, lies there.
    """
    data = reader.read(offset - BLOCK, BLOCK + size) if offset >= BLOCK else b""
    block = data[:BLOCK]
    if check is not None:
        is_same = len(block) == BLOCK and zlib.crc32(block) == check
    else:
        is_same = has_header(block, name, size)
    if not is_same or len(data) != BLOCK + size:
        raise TarError(f"the header of {name} is not at byte {offset - BLOCK}")
    return data[BLOCK:]


def has_header(block: bytes, name: str, size: int) -> bool:
    """Whether a header block is that of a member with content of this name and size."""
    try:
        header = parse_header(block)
    except TarError:
        return False
    return header.kind in _REGULAR and header.size == size and member_name(header.name) == name


def is_folder(block: bytes) -> bool:
    """Whether a header block is that of a folder."""
    try:
        return parse_header(block).kind == b"5"
    except TarError:
        return False


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _require(is_there: bool, at: int, name: bytes = b"") -> None:
    if not is_there:
        raise TarError(f"it is cut off: {member_name(name) or 'a name'} at byte {at} does not end in it")


def _decimal(text: bytes, at: int) -> int:
    if not text.isdigit() or len(text) > 18:
        raise TarError(f"the header at byte {at} has a size that is no number")
    return int(text)


def _pax_records(content: bytes, at: int) -> dict[bytes, bytes]:
    """Return the records ``length key=value`` of a pax header."""
    records, place = {}, 0
    while place < len(content) and content[place]:
        length, space, _ = content[place : place + 20].partition(b" ")
        if not space or not length.isdigit() or not len(length) + 1 < int(length) <= len(content) - place:
            raise TarError(f"the pax header at byte {at} is damaged")
        key, equals, value = content[place + len(length) + 1 : place + int(length) - 1].partition(b"=")
        if not equals:
            raise TarError(f"the pax header at byte {at} is damaged")
        records[key] = value
        place += int(length)
    return records


def _sparse_blocks(block: bytes, read: Callable[[int, int], bytes], at: int) -> int:
    """Return how many bytes of further sparse maps follow a GNU header of type S."""
    total, more = 0, block[482]
    while more:
        extension = read(at + total, BLOCK)
        _require(len(extension) == BLOCK, at)
        total, more = total + BLOCK, extension[504]
    return total
