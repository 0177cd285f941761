"""Hard cases are made from ordinary images: their sizes and their transparency are known."""

import numpy as np
from PIL import Image

from Utils.clients import hard_cases


def noise(height, width):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def test_stored_small_and_wide_images_have_their_sizes():
    picture = noise(48, 40)
    assert hard_cases.stored(picture, 20) is picture
    assert hard_cases.small(picture, 20).size == (10, 12)
    assert hard_cases.wide(picture, 20).size == (40, 24)
    band = np.asarray(picture)[12:36]
    np.testing.assert_array_equal(np.asarray(hard_cases.wide(picture, 20)), band)


def test_a_transparent_image_looks_the_same_on_white():
    picture = noise(48, 40)
    clear = hard_cases.transparent(picture, 20)
    assert clear.mode == "RGBA"
    again = np.asarray(Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB"))
    assert np.abs(again.astype(int) - np.asarray(picture)).max() <= 2
    white = hard_cases.transparent(Image.new("RGB", (4, 4), "white"), 20)
    np.testing.assert_array_equal(np.asarray(white), 0)  # transparent black
