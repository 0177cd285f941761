"""Resize images by the average of areas, as evaluation and serving do, or by interpolation, for training.

A model that has met several resamplers does not depend on one. Pixels are uint8 (H, W, C).
"""

import functools
import math
from typing import Literal, get_args

import cv2
import numpy as np
from PIL import Image

from Utils.images.buffer_pool import ThreadBuffers

Method = Literal["area", "bilinear", "bicubic"]
METHODS: tuple[Method, ...] = get_args(Method)

_SPARSE = 2**20  # pixels up to which areas are averaged by sparse products; beyond, decoding is what costs

_scratch = ThreadBuffers()

# Not INTER_LINEAR, which is 0.12 gray levels too dark on average: it cuts where this one rounds.
_PLAIN = {"bilinear": cv2.INTER_LINEAR_EXACT, "bicubic": cv2.INTER_CUBIC}


def resize(image, size, method="area", out=None):
    """Resize (H, W, 3) uint8 to (size, size, 3), rounded to nearest without a bias.

    "area" averages pixel areas where it shrinks, and is the bicubic of Pillow (a = -0.5) where it enlarges.
    "bilinear" and "bicubic" (a = -0.75) are plain, as training wants them: two and four pixels an axis take
    part, whatever the factor. Against gross aliasing an image is averaged down by 2, 4 ... first where it
    then stays at least as large as ``size``. ``out`` (size, size, 3) may be written to; the result is what
    is returned. Raises ValueError for another method.
    """
    if method not in METHODS:
        raise ValueError(f"unknown resize method {method!r}; there are {', '.join(METHODS)}")
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    if method != "area":
        return _plain(_halved(image, size), size, method, out)
    if min(height, width) < size:
        return _enlarged(image, size)
    return average(image, (size, size), out)


def average(image, shape, out=None):
    """Average pixel areas; ``shape`` is (height, width)."""
    height, width = image.shape[:2]
    if (height, width) == (2 * shape[0], 2 * shape[1]):
        # Every fourth sum of four ends in a half, which integers would all round up.
        return _rounded(cv2.resize(np.float32(image), shape[::-1], interpolation=cv2.INTER_AREA))
    if height * width > _SPARSE or not (height % shape[0] or width % shape[1]):  # whole factors are fast
        return cv2.resize(image, shape[::-1], dst=out, interpolation=cv2.INTER_AREA)
    return _averaged(image, shape, out)


def _averaged(image, shape, out):
    """Average areas axis by axis: OpenCV's pixels, in two thirds of its time."""
    (height, width, channels), (rows, columns) = image.shape, shape
    pixels = _scratch.array("pixels", image.shape, np.float32)
    np.copyto(pixels, image)
    lines = _shares(height, rows) @ pixels.reshape(height, -1)
    turned = _scratch.array("turned", (width, rows, channels), np.float32)
    cv2.transpose(lines.reshape(rows, width, channels), dst=turned)
    averages = _shares(width, columns) @ turned.reshape(width, -1)
    rounded = cv2.convertScaleAbs(averages, dst=_scratch.array("rounded", averages.shape))
    return cv2.transpose(rounded.reshape(columns, rows, channels), dst=out)


@functools.lru_cache(maxsize=256)
def _shares(old, new):
    """Return the sparse (new, old) float32 matrix of the shares of an axis' pixels in their averages."""
    from scipy import sparse  # a sixth of a second, which every command would begin with

    begins = np.arange(new) * old  # in parts of a pixel, ``new`` of which are one
    first = begins // new
    counts = -(-(begins + old) // new) - first
    starts = np.append(0, np.cumsum(counts))
    rows = np.repeat(np.arange(new), counts)
    columns = np.arange(len(rows)) + np.repeat(first - starts[:-1], counts)
    parts = np.minimum(begins[rows] + old, (columns + 1) * new) - np.maximum(begins[rows], columns * new)
    return sparse.csr_array((np.float32(parts / old), np.int32(columns), np.int32(starts)), shape=(new, old))


def _halved(image, size):
    """Average an image down by the largest power of two that leaves both sides at least ``size``."""
    times = (min(image.shape[:2]) // size).bit_length() - 1
    if times < 1:
        return image
    shape = image.shape[0] >> times, image.shape[1] >> times
    return _rounded(cv2.resize(np.float32(image), shape[::-1], interpolation=cv2.INTER_AREA))


def _plain(image, size, method, out):
    """Interpolate between pixels at the places of the new pixels' centers."""
    if method == "bilinear" and _has_ties(image.shape[0], size):
        return _rounded(cv2.resize(np.float32(image), (size, size), interpolation=cv2.INTER_LINEAR))
    return cv2.resize(image, (size, size), dst=out, interpolation=_PLAIN[method])


def _enlarged(image, size):
    """Resize by Pillow's bicubic filter, rounded to nearest."""
    bicubic = Image.Resampling.BICUBIC
    if image.shape[0] != image.shape[1] or not _has_ties(image.shape[0], size):
        return np.asarray(Image.fromarray(image).resize((size, size), bicubic))
    planes = [Image.fromarray(np.float32(plane)).resize((size, size), bicubic) for plane in cv2.split(image)]
    return _rounded(cv2.merge([np.asarray(plane) for plane in planes]))


def _has_ties(side, size):
    """Whether so simple a factor makes many exact halves, which integers round up: a bias of 0.03 to 0.5."""
    return size // math.gcd(side, size) <= 4


def _rounded(image):
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
