"""Every resampler against its own float64 reference."""

import concurrent.futures

import numpy as np
import pytest
from helpers.pictures import difference, noise, smooth

from Utils.images.resize import METHODS, average, resize


def kernel_weights(size, target, kernel, support):
    """Rows of a plain resampling matrix (target, size) in float64; past the border the last pixel goes on."""
    matrix = np.zeros((target, size))
    for row, center in enumerate((np.arange(target) + 0.5) * size / target - 0.5):
        for pixel in range(int(np.floor(center)) - support + 1, int(np.floor(center)) + support + 1):
            matrix[row, np.clip(pixel, 0, size - 1)] += kernel(abs(pixel - center))
    return matrix


def triangle(x):
    return max(1 - x, 0)


def keys_cubic(x, a):
    if x < 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return (((x - 5) * x + 8) * x - 4) * a if x < 2 else 0


def area(size, target):
    """Share of every input pixel in every output pixel's area."""
    edges = np.arange(target + 1) * size / target
    low, high = edges[:-1, None], edges[1:, None]
    pixels = np.arange(size)
    overlap = np.clip(np.minimum(high, pixels + 1) - np.maximum(low, pixels), 0, None)
    return overlap / overlap.sum(axis=1, keepdims=True)


def reference(image, target, method):
    size = image.shape[0]
    if method != "area" and size >= 2 * target:
        half = size >> (size // target).bit_length() - 1
        return reference(np.rint(reference(image, half, "area")), target, method)
    matrix = {
        "area": lambda: area(size, target),
        "bilinear": lambda: kernel_weights(size, target, triangle, 1),
        "bicubic": lambda: kernel_weights(size, target, lambda x: keys_cubic(x, -0.75), 2),
        "enlarging": lambda: kernel_weights(size, target, lambda x: keys_cubic(x, -0.5), 2),
    }[method]()
    return np.clip(np.einsum("ij,jkc,lk->ilc", matrix, image, matrix, optimize=True), 0, 255)


SIZES = [(100, 64), (96, 48), (96, 32), (96, 64), (127, 40), (90, 85), (40, 60), (40, 80)]
CASES = [(way, *sides) for way in METHODS for sides in SIZES if way != "area" or sides[0] > sides[1]]


@pytest.mark.parametrize(("method", "size", "target"), CASES)
@pytest.mark.parametrize("picture", [noise, smooth])
def test_resize_equals_its_float64_reference(method, size, target, picture):
    image = picture(size, size, seed=target)
    expected = reference(image.astype(np.float64), target, method)
    resized = resize(image, target, method)
    assert resized.shape == (target, target, 3)
    tolerance = 1.2 if method == "bilinear" else 0.52  # its weights are rounded too
    assert difference(resized, expected) <= tolerance
    assert abs(resized.mean() - expected.mean()) < 0.05  # no rounding bias


@pytest.mark.parametrize("sides", [((100, 64), (61, 37)), ((7, 300), (3, 299)), ((640, 90), (639, 90))])
@pytest.mark.parametrize("sparse", [True, False])
def test_areas_of_any_shape_are_averaged(sides, sparse, monkeypatch):
    (height, width), (rows, columns) = sides
    monkeypatch.setattr("Utils.images.resize._SPARSE", 2**20 if sparse else 0)
    image = noise(height, width)
    shares = area(height, rows), area(width, columns)
    averages = np.einsum("ij,jkc,lk->ilc", shares[0], np.float64(image), shares[1], optimize=True)
    # OpenCV rounds twice where a factor is near 1
    assert difference(average(image, (rows, columns)), averages) <= (0.501 if sparse else 0.76)


def test_threads_average_areas_apart():
    pictures = [noise(side, side, seed=side) for side in (90, 100, 110, 90, 100, 110)]
    expected = [average(picture, (64, 64)) for picture in pictures]
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        for _ in range(20):
            averages = pool.map(lambda picture: average(picture, (64, 64)), pictures)
            assert all(np.array_equal(*pair) for pair in zip(averages, expected, strict=True))


@pytest.mark.parametrize("method", METHODS)
def test_resize_treats_every_channel_alike_and_may_write_to_given_memory(method):
    image = noise(100, 100)
    expected = resize(image, 64, method)
    four = resize(np.dstack([image, image[..., :1]]), 64, method, np.zeros((64, 64, 4), np.uint8))
    assert np.array_equal(four[..., :3], expected)
    view = np.zeros((120, 120, 3), np.uint8)
    view[10:110, 5:105] = image
    assert np.array_equal(resize(view[10:110, 5:105], 64, method), expected)  # no pixel from outside


@pytest.mark.parametrize(("size", "target"), [(40, 60), (33, 50), (32, 64)])
def test_area_enlarges_by_pillows_bicubic(size, target):
    image = smooth(size, size)
    resized = resize(image, target, "area")
    inner = slice(4, -4)  # at the border Pillow leaves weights out where others repeat pixels
    expected = reference(image.astype(np.float64), target, "enlarging")
    assert difference(resized[inner, inner], expected[inner, inner]) <= 1.6
    assert abs(resized.mean() - expected.mean()) < 0.1


def test_resize_to_the_same_size_keeps_every_pixel():
    image = noise(33, 33)
    for method in METHODS:
        assert difference(resize(image, 33, method), image) == 0


def test_unknown_method_is_named():
    with pytest.raises(ValueError, match=r"'lanczos'.*area, bilinear, bicubic"):
        resize(noise(8, 8), 4, "lanczos")
