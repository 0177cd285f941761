"""Utils/images/pixels.py: alpha is exact, orientations are those of Pillow."""

import numpy as np
import pytest
from PIL import Image, ImageOps

from Utils.images import pixels

RANDOM = np.random.default_rng(0)
IMAGE = RANDOM.integers(0, 256, (5, 7, 3), np.uint8)


def test_alpha_is_rounded_to_nearest(monkeypatch):
    alpha = RANDOM.integers(0, 256, (5, 7, 1), np.uint8)
    exact = IMAGE * (alpha / 255) + 255 * (1 - alpha / 255)
    for at_once in (1, 14, 2**22):
        monkeypatch.setattr(pixels, "_PIXELS_AT_ONCE", at_once)
        assert np.abs(pixels.on_white(IMAGE, alpha) - exact).max() <= 0.5
    assert np.array_equal(pixels.on_white(IMAGE, np.full_like(alpha, 255)), IMAGE)
    assert (pixels.on_white(IMAGE, np.zeros_like(alpha)) == pixels.WHITE).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientations_are_those_of_pillow(orientation):
    picture = Image.fromarray(IMAGE)
    picture.getexif()[0x0112] = orientation
    turned = pixels.turned(IMAGE, orientation)
    assert np.array_equal(turned, np.asarray(ImageOps.exif_transpose(picture)))
    assert turned.flags.c_contiguous
