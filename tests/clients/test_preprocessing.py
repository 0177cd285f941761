"""Clients prepare images as they are described: known pixels for padding, transparency, resizing and EXIF."""

import numpy as np
import pytest
from PIL import Image

from Utils import clients
from Utils.clients import preprocessing
from Utils.images import codec


def noise(height, width):
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


PREPROCESSING = clients.PREPROCESSING.items()


@pytest.mark.parametrize(("name", "prepare"), PREPROCESSING, ids=dict(PREPROCESSING))
def test_a_square_image_of_the_right_size_keeps_its_pixels(name, prepare):
    picture = noise(32, 32)
    pixels = prepare(picture, 32)
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.asarray(picture)[..., ::-1])
    for shape in ((20, 50), (50, 20), (1, 90), (5, 5)):
        assert prepare(noise(*shape), 32).shape == (32, 32, 3)


def flat(height, width, color, alpha=None):
    value = color if alpha is None else (*color, alpha)
    return Image.new("RGB" if alpha is None else "RGBA", (width, height), value)


def test_padding_is_white_and_centered():
    for name, prepare in clients.PREPROCESSING.items():
        pixels = prepare(flat(16, 32, (0, 0, 255)), 32)
        np.testing.assert_array_equal(pixels[[0, 7, 24, 31]], 255, name)
        np.testing.assert_array_equal(pixels[8:24, :, 0], 255, name)  # blue comes first
        np.testing.assert_array_equal(pixels[8:24, :, 1:], 0, name)


def test_two_clients_do_not_enlarge_small_images():
    filled = {name: (prepare(flat(8, 8, (0, 0, 0)), 32) == 0).mean() for name, prepare in PREPROCESSING}
    small = {name for name, share in filled.items() if share < 0.1}
    assert small == {"standalone, picobyte", "original, single images"}
    assert all(share == 1 for name, share in filled.items() if name not in small)


def test_transparency_becomes_white_or_shows_what_is_stored():
    half = {name: prepare(flat(32, 32, (0, 0, 0), 128), 32)[0, 0, 0] for name, prepare in PREPROCESSING}
    none = {name: prepare(flat(32, 32, (0, 0, 0), 0), 32)[0, 0, 0] for name, prepare in PREPROCESSING}
    assert {name for name, value in half.items() if value == 127} == {
        "ours", "kohya", "standalone, picobyte", "wdv3", "imgutils"
    }  # fmt: skip
    assert {name for name, value in half.items() if value == 0} == {
        "comfy", "original, single images", "original, evaluation"
    }  # fmt: skip
    assert {name for name, value in none.items() if value == 0} == {"comfy"}


def test_gray_and_palettes_in_two_programs():
    """Seen with dghs-imgutils 0.19.0, whose gray pictures mask themselves, and with wdtagger 0.16.0."""
    gray, clear = Image.new("L", (8, 8), 51), Image.new("LA", (8, 8), (51, 0))
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([51, 51, 51])
    palette.info["transparency"] = 0
    values = {
        name: [int(dict(PREPROCESSING)[name](image, 8)[0, 0, 0]) for image in (gray, clear, palette)]
        for name in ("kohya", "wdv3", "imgutils")
    }
    assert values == {"kohya": [51, 255, 255], "wdv3": [51, 51, 255], "imgutils": [214, 255, 51]}


def test_shrinking_by_area_or_by_a_filter():
    picture = noise(64, 64)
    mean = np.asarray(picture, np.float64)[..., ::-1].reshape(32, 2, 32, 2, 3).mean(axis=(1, 3))
    for name, prepare in clients.PREPROCESSING.items():
        apart = np.abs(prepare(picture, 32) - mean).max()
        assert (apart <= 0.5) == (name not in ("comfy", "wdv3", "imgutils")), name


def test_only_our_preprocessing_applies_exif_orientation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    noise(32, 32).save(tmp_path / "x.png", exif=exif)
    with Image.open(tmp_path / "x.png") as picture:
        np.testing.assert_array_equal(
            preprocessing.ours(picture, 32), codec.prepare((tmp_path / "x.png").read_bytes(), 32)
        )
        assert (preprocessing.ours(picture, 32) != preprocessing.kohya(picture, 32)).any()
