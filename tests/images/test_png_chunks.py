"""Utils/images/png_chunks.py: PNGs are judged by what their pixels need."""

import io
import struct
import zlib

import numpy as np
import pytest
from helpers.pictures import smooth
from PIL import Image

from Utils.images import codec, png_chunks


def chunk(kind, content, checksum=None):
    checksum = zlib.crc32(kind + content) if checksum is None else checksum
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def png(mode="RGB", **options):
    data = io.BytesIO()
    Image.fromarray(smooth(24, 40)).convert(mode).save(data, "PNG", **options)
    return data.getvalue()


PNG = png()
LONG = zlib.compress(b"{} " * 700_000)
FLAWED = {
    "long text": chunk(b"zTXt", b"workflow\0\0" + LONG),
    "long international text": chunk(b"iTXt", b"workflow\0\1\0\0\0" + LONG),
    "long plain text": chunk(b"tEXt", b"parameters\0" + b"x" * 2_000_000),
    "long text of an orientation": chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + LONG),
    "long text of another orientation": chunk(b"zTXt", b"Raw profile type exif\0\0" + LONG),
    "long profile": chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(2_000_000))),
    "many texts": b"".join(chunk(b"zTXt", b"t\0\0" + zlib.compress(bytes(1_000_000))) for _ in range(70)),
    "wrong checksum of a text": chunk(b"tEXt", b"Comment\0hello", 1),
    "wrong checksum of a resolution": chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1), 7),
    "wrong checksum of a profile": chunk(b"iCCP", b"icc\0\0" + zlib.compress(b"profile"), 7),
    "wrong checksum of a private chunk": chunk(b"prVt", b"x", 7),
    "too short a resolution": chunk(b"pHYs", b"1"),
    "a profile of an unknown compression": chunk(b"iCCP", b"icc\0\7xx"),
}


@pytest.mark.reliability(
    "A PNG with megabytes of text, or a wrong checksum beside its pixels", "a good picture"
)
@pytest.mark.parametrize("flaw", FLAWED)
def test_missing_data_that_no_pixel_needs_does_not_refuse_an_image(flaw):
    expected = codec.decode(PNG)
    for place in (33, len(PNG) - 12):  # before the pixels and after them
        data = PNG[:place] + FLAWED[flaw] + PNG[place:]
        assert np.array_equal(codec.check(data), expected)
        assert np.array_equal(codec.decode(data), expected)


def with_wrong_checksum(kind):
    data = bytearray(png("P"))
    begin = data.index(kind) - 4
    data[begin + 12 + int.from_bytes(data[begin : begin + 4]) - 1] ^= 1
    return bytes(data)


@pytest.mark.parametrize("kind", [b"IHDR", b"PLTE", b"IDAT"])
def test_a_wrong_checksum_of_pixels_is_damage(kind):
    with pytest.raises(codec.ImageError, match=f"damaged PNG: wrong checksum in {kind.decode()}"):
        codec.check(with_wrong_checksum(kind))


def test_a_wrong_checksum_of_the_end_is_none_of_the_pixels():
    assert np.array_equal(codec.check(with_wrong_checksum(b"IEND")), codec.decode(png("P")))


def test_what_pixels_need_is_kept():
    exif = Image.Exif()
    exif[0x0112] = 6
    assert codec.decode(png(exif=exif)).shape == (40, 24, 3)
    transparent = png("P", transparency=0)
    assert codec.decode(transparent).shape == (24, 40, 3)
    for data in (PNG, png("L"), png("RGBA"), transparent, png(exif=exif)):
        assert png_chunks.essential(data) == data
        assert png_chunks.fault(data) is None
        assert png_chunks.has_end(data)
    xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
    assert codec.decode(PNG[:33] + text + PNG[33:]).shape == (40, 24, 3)


def test_truncated_or_stray_bytes_are_left_to_the_decoder():
    for data in (PNG[:8], PNG[:20], PNG[:50], PNG + b"more", PNG[:33] + b"stray bytes" + PNG[33:]):
        assert png_chunks.essential(data) == data
