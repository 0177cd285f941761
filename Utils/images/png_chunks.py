"""The chunks of a PNG: those that its pixels need, without texts, profiles and what else may be broken.

Generators keep workflows of megabytes in texts, and editors write wrong checksums into what they add. Pillow
refuses the whole file for either; viewers show it. Format: W3C, Portable Network Graphics, chapter 5.
"""

import zlib
from collections.abc import Iterator

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Chunks that a decoder may skip (their first letter is small) and that ours uses: transparency, orientation,
# frames of an animation.
_USED = {b"tRNS", b"eXIf", b"acTL", b"fcTL", b"fdAT"}
# Texts that may hold an orientation, by the keyword that they begin with.
_ORIENTING = (b"Raw profile type exif\0", b"XML:com.adobe.xmp\0")
_TEXTS = {b"tEXt", b"zTXt", b"iTXt"}
_MOST_TEXT = 2**16  # bytes in the file; an orientation needs a hundred
_MOST_INFLATED = 2**20  # bytes; Pillow refuses a picture with a longer text

Chunk = tuple[bytes, int, int]  # type, begin and end of length, type, data and checksum


def essential(data: bytes) -> bytes:
    """Return a PNG without the chunks that its pixels do not need; what cannot be parsed stays as it is.

    As in libpng, a chunk that may be skipped and has a wrong checksum is skipped.
    """
    parts, end = [SIGNATURE], len(SIGNATURE)
    for kind, begin, end in _chunks(data):  # noqa: B007  the last end is where parsing stopped
        if _is_critical(kind) or (_is_used(kind, data[begin + 8 : end - 4]) and _is_intact(data, begin, end)):
            parts.append(data[begin:end])
    return b"".join([*parts, data[end:]])


def fault(data: bytes) -> str | None:
    """Return what is wrong with the chunks that hold the pixels: a checksum; None where all are right."""
    for kind, begin, end in _chunks(data):
        # IEND says that the pixels ended, and holds nothing that could be wrong.
        if _is_critical(kind) and kind != b"IEND" and not _is_intact(data, begin, end):
            return f"wrong checksum in {kind.decode('ascii')}"
    return None


def has_end(data: bytes) -> bool:
    """Whether the last chunk of a PNG is there."""
    return any(kind == b"IEND" for kind, _, _ in _chunks(data))


def _chunks(data: bytes) -> Iterator[Chunk]:
    """Yield the complete chunks up to the end of the picture, or to what is no chunk."""
    begin = len(SIGNATURE)
    while begin + 12 <= len(data):
        kind, end = data[begin + 4 : begin + 8], begin + 12 + int.from_bytes(data[begin : begin + 4])
        if end > len(data) or not (kind.isalpha() and kind.isascii()):
            return
        yield kind, begin, end
        if kind == b"IEND":
            return
        begin = end


def _is_critical(kind: bytes) -> bool:
    return kind[:1].isupper()


def _is_used(kind: bytes, content: bytes) -> bool:
    if kind not in _TEXTS:
        return kind in _USED
    return len(content) <= _MOST_TEXT and content.startswith(_ORIENTING) and not _is_bomb(kind, content)


def _is_bomb(kind: bytes, content: bytes) -> bool:
    """Whether a text becomes longer than Pillow allows when it is decompressed."""
    start = content.index(b"\0") + (2 if kind == b"zTXt" else 3)
    if kind == b"tEXt":
        return False
    try:
        if kind == b"iTXt":  # language and translated keyword stand before the text
            start = content.index(b"\0", content.index(b"\0", start) + 1) + 1
        inflater = zlib.decompressobj()
        inflater.decompress(content[start:], _MOST_INFLATED)
    except (ValueError, zlib.error):
        return False
    return bool(inflater.unconsumed_tail)


def _is_intact(data: bytes, begin: int, end: int) -> bool:
    return zlib.crc32(memoryview(data)[begin + 4 : end - 4]) == int.from_bytes(data[end - 4 : end])
