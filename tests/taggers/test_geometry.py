"""Squares of pictures: shapes, colors, and the mean that a picture of one color must keep."""

import numpy as np
import pytest

from Utils.taggers import geometry

WIDE = np.full((6, 12, 3), 100, np.uint8)
RED = (0, 0, 255)


def test_pads_and_resizes():
    square = geometry.pad_then_resize(WIDE, 12, "bicubic", RED)
    assert square.shape == (12, 12, 3)
    assert (square[3:9] == 100).all()
    assert (square[:3] == RED).all()
    small = geometry.resize_then_pad(np.full((5, 12, 3), 100, np.uint8), 8, "lanczos", RED)
    assert (small[:2] == RED).all()  # 5 * 8 / 12 = 3.33 rows: 2 above, 3 below
    assert (small[2:5] == 100).all()
    assert (small[5:] == RED).all()
    rounded = geometry.resize_then_pad(np.full((5, 7, 3), 100, np.uint8), 8, "lanczos", RED, round)
    assert (rounded == 100).all(axis=(1, 2)).sum() == 6  # 5.71 rows


def test_deepdanboorus_edges_are_repeated():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (4, 8, 3), dtype=np.uint8)
    square = geometry.area_with_edges(image, 8)
    assert square.dtype == np.float32
    assert np.array_equal(square[2:6], image)
    assert np.array_equal(square[0], image[0].astype(np.float32))
    odd = geometry.area_with_edges(image[:3], 8)  # shifted by 2.5 rows: means of two
    assert np.allclose(odd[3], (image[0].astype(float) + image[1]) / 2)
    halved = geometry.area_with_edges(np.repeat(np.repeat(image, 2, 0), 2, 1), 8)
    assert np.allclose(halved[2:6], image, atol=1e-4)


@pytest.mark.parametrize("method", geometry.FILTERS)
def test_one_color_stays(method):
    assert (geometry.resized(WIDE, (5, 7), method) == 100).all()
    assert geometry.by_area(WIDE, 4).shape == (4, 4, 3)
    assert geometry.fit(geometry.pad_then_resize, method=method)(WIDE, 5).shape == (5, 5, 3)


@pytest.mark.parametrize(
    "fit",
    [
        geometry.by_area,
        geometry.fit(geometry.pad_then_resize, method="bicubic"),
        geometry.fit(geometry.resize_then_pad, method="lanczos", color=geometry.BLACK),
        geometry.area_with_edges,
    ],
)
@pytest.mark.parametrize(("width", "height"), [(500, 500), (900, 300), (70, 210), (3, 400)])
def test_placement_of_a_centered_square(fit, width, height):
    place, longer = geometry.placement(fit, width, height, 64), max(width, height)
    assert place.scale_x == pytest.approx(longer / 64, rel=0.02)
    assert place.scale_y == pytest.approx(longer / 64, rel=0.02)
    middle = place.to_picture(32, 32)  # some programs round the margin by half a pixel of the square
    assert middle == pytest.approx((width / 2, height / 2), abs=0.6 * longer / 64)


def test_placement_of_a_crop_and_of_a_stretch():
    stretched = geometry.placement(
        lambda image, size: geometry.resized(image, (size, size), "box"), 90, 30, 9
    )
    assert stretched.to_picture(9, 9) == pytest.approx((90, 30), abs=1)
    crop = geometry.placement(lambda image, size: image[10:30, 40:60], 90, 50, 20)
    assert crop.to_picture(0, 0) == pytest.approx((40, 10), abs=0.3)
    assert crop.to_picture(20, 20) == pytest.approx((60, 30), abs=0.3)
