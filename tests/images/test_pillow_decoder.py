"""What Pillow decodes: transparency on white, 16 bits to 8, odd alpha; PNGs that are damaged but decode."""

import io
import struct

import numpy as np
import pytest
from helpers.pictures import difference, saved, smooth
from PIL import Image

from Utils.images import pillow_decoder


def test_soft_alpha_is_composited_on_white():
    color = smooth(16, 16)
    alpha = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    share = alpha / 255
    expected = color * share + 255 * (1 - share)
    decoded = pillow_decoder.decode(saved(np.concatenate([color, alpha], -1), "PNG"))
    assert difference(decoded[..., ::-1], expected) <= 0.5


def test_palette_with_a_transparent_color_is_composited():
    picture = Image.new("P", (4, 4), 1)
    picture.putpalette([0, 0, 0, 10, 20, 30])
    picture.putpixel((0, 0), 0)
    data = io.BytesIO()
    picture.save(data, "PNG", transparency=0)
    decoded = pillow_decoder.decode(data.getvalue())
    assert decoded[0, 0].tolist() == [255, 255, 255]
    assert decoded[1, 1].tolist() == [30, 20, 10]


@pytest.mark.parametrize("image_format", ["PNG", "TIFF"])
def test_16_bit_gray_spans_all_of_8_bits(image_format):
    gray = np.linspace(0, 65535, 256).astype(np.uint16).reshape(16, 16)
    decoded = pillow_decoder.decode(saved(gray, image_format))
    assert decoded.shape == (16, 16, 3)
    assert difference(decoded[..., 0], gray / 257) <= 0.5


@pytest.mark.reliability("A 32-bit BMP whose alpha is zero everywhere", "opaque, as every viewer shows it")
def test_the_alpha_of_a_bitmap_may_mean_nothing():
    pixels = np.zeros((32, 32, 4), np.uint8)
    pixels[..., :3] = (200, 80, 8)
    masks = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000) + b"BGRs" + bytes(48)
    head = struct.pack("<IiiHHIIiiII", 108, 32, 32, 1, 32, 3, pixels.nbytes, 2835, 2835, 0, 0) + masks
    start = b"BM" + struct.pack("<IHHI", 14 + len(head) + pixels.nbytes, 0, 0, 14 + len(head))
    assert pillow_decoder.decode(start + head + pixels.tobytes())[0, 0].tolist() == [200, 80, 8]
    pixels[:16, :, 3] = 255
    half = pillow_decoder.decode(start + head + pixels.tobytes())  # rows go from the bottom up
    assert half[0, 0].tolist() == [255, 255, 255]
    assert half[31, 0].tolist() == [200, 80, 8]
    transparent = np.zeros((8, 8, 4), np.uint8)
    assert pillow_decoder.decode(saved(transparent, "PNG")).min() == 255


def test_a_wrong_checksum_of_a_png_is_told():
    data = bytearray(saved(smooth(16, 16), "PNG"))
    assert pillow_decoder.png_damage(bytes(data)) == []
    data[29] ^= 1  # of the header's checksum
    assert pillow_decoder.png_damage(bytes(data)) == ["damaged PNG: wrong checksum in IHDR"]
    assert pillow_decoder.png_damage(saved(smooth(16, 16), "JPEG")) == []
