"""Finds damage inside a JPEG by libjpeg's warnings: libjpeg invents the missing pixels and only warns.

A download that broke in the middle and got an end marker decodes to a picture that is gray or shifted below
the break. libjpeg-turbo calls that a warning; simplejpeg makes it an error that has libjpeg's words.
"""

import itertools
import re
from collections.abc import Iterator

import numpy as np
import simplejpeg

from Utils.images.jpeg_header import JpegHeader

_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_MOST_READ_AHEAD = 8  # bytes that a decoder may take from behind the last code
_PROGRESSIVE = {0xC2, 0xCA}  # markers of frames
_NUM_COEFFICIENTS = 64  # of a block
# In a scan 0xFF stands before 0x00 and restart markers only; several 0xFF are one.
_NEXT_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_COLORS = {1: "BGR", 3: "BGR", 4: "CMYK"}  # by number of components


def decode(data: bytes, header: JpegHeader, reduction: int = 1) -> tuple[np.ndarray | None, str]:
    """Return ``(pixels (H, W, 3) BGR, libjpeg's warning)``; no pixels beside a warning, "" where all is well.

    No pixels and no warning: this decoder cannot tell, since it lacks the kind of JPEG, or the warning is of
    something odd that spoils no pixel. Pixels are not turned by an orientation.

    Args:
        data: the file's content.
        header: of it.
        reduction: 1, 2, 4 or 8, by which the pixels are reduced; the data are read whole all the same.
    """
    if header.components not in _COLORS or header.bits != 8:
        return None, ""
    regular = _regular_header(header) + data[header.scan_start :]
    sides = {"min_height": header.height // reduction, "min_width": header.width // reduction}
    options = {"colorspace": _COLORS[header.components], **(sides if reduction > 1 else {})}
    try:
        image = simplejpeg.decode_jpeg(regular, **options)
        missing = _missing_scans(data, header)
        return (image if header.components < 4 and not missing else None), missing
    except ValueError as error:
        words = str(error)
    try:
        simplejpeg.decode_jpeg(regular, **options, strict=False)
    except ValueError:  # that was no warning: another decoder may know this kind
        return None, ""
    return None, "" if _is_padding(words, data, header) else words


def _missing_scans(data: bytes, header: JpegHeader) -> str:
    """Return that scans of a progressive JPEG are missing; "" where all are there, or it has one scan.

    libjpeg warns of a scan that breaks off, not of one that never comes: a file that was cut between two
    decodes to a coarse picture. A scan brings a band of coefficients of some components, up to a bit that
    later scans refine (T.81, annex G); in the end all are there to bit 0.
    """
    if header.frame not in _PROGRESSIVE:
        return ""
    lowest = {}  # by component and coefficient: the last bit that came
    for components, first, last, bit in _scans(data, header):
        for place in itertools.product(components, range(first, last + 1)):
            lowest[place] = bit
    missing = header.components * _NUM_COEFFICIENTS - sum(bit == 0 for bit in lowest.values())
    if missing <= 0:
        return ""
    return (
        f"scans are missing: {missing} of {header.components * _NUM_COEFFICIENTS} coefficients are not whole"
    )


def _scans(data: bytes, header: JpegHeader) -> Iterator[tuple[bytes, int, int, int]]:
    """Yield ``(ids of components, first and last coefficient, lowest bit)`` of the scans of a JPEG."""
    script = header.tables[header.tables.rindex(b"\xff\xda") :]  # of the first scan: the header ends with it
    end = header.scan_start
    while len(script) >= 8:
        count = script[4]
        parameters = script[5 + 2 * count : 8 + 2 * count]
        if len(parameters) == 3:
            yield script[5 : 5 + 2 * count : 2], parameters[0], min(parameters[1], 63), parameters[2] & 15
        script = b""
        while match := _NEXT_MARKER.search(data, end):
            marker, length = match[0][1], int.from_bytes(data[match.end() : match.end() + 2])
            end = match.end() + length
            if marker == 0xD9:
                return
            if marker == 0xDA:
                script = data[match.start() : end]
                break


def _regular_header(header: JpegHeader) -> bytes:
    """Return the header without what decoders warn of and get past; their first warning hides all later ones.

    That is stray bytes, data of applications, a revision of JFIF that nobody knows, and a range of
    coefficients in the scan of a JPEG that has no ranges.
    """
    tables = re.sub(rb"(\xff\xe0..JFIF\0).", b"\\1\x01", header.tables, count=1, flags=re.DOTALL)
    if header.is_sequential:
        tables = tables[:-3] + b"\x00\x3f\x00"
    return b"\xff\xd8" + tables


def _is_padding(words: str, data: bytes, header: JpegHeader) -> bool:
    """Whether a warning is of zeros between the last code and the end marker, which nothing was made from."""
    match = _EXTRANEOUS.search(words)
    if match is None:
        return False
    scan = data[header.scan_start : data.index(b"\xff\xd9", header.scan_start)]
    zeros = len(scan) - len(scan.rstrip(b"\0"))
    return int(match[1]) <= zeros <= int(match[1]) + _MOST_READ_AHEAD
