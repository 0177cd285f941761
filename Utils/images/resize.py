"""Resizing: area averaging for evaluation and serving, for training also interpolation.

A model that was trained with several resamplers does not depend on the one of a client. Pixels are uint8
(H, W, C).
"""

import functools
import math
from typing import TYPE_CHECKING, Literal, get_args

import cv2
import numpy as np
from PIL import Image

from Utils.images.buffer_pool import ThreadBuffers

if TYPE_CHECKING:
    from scipy import sparse

Method = Literal["area", "bilinear", "bicubic"]
METHODS: tuple[Method, ...] = get_args(Method)

_SPARSE = 2**20  # pixels up to which sparse products average areas; beyond that decoding takes the time

_scratch = ThreadBuffers()

# INTER_LINEAR truncates where INTER_LINEAR_EXACT rounds: it is 0.12 gray levels too dark on average.
_INTERPOLATIONS = {"bilinear": cv2.INTER_LINEAR_EXACT, "bicubic": cv2.INTER_CUBIC}


def resize(image: np.ndarray, size: int, method: str = "area", out: np.ndarray | None = None) -> np.ndarray:
    """Resize (H, W, 3) uint8 to (size, size, 3), rounded to nearest without a bias.

    "area" averages pixel areas where it shrinks, and is the bicubic of Pillow (a = -0.5) where it enlarges.
    "bilinear" and "bicubic" (a = -0.75) do not antialias: two and four pixels of an axis contribute, whatever
    the factor. That is a variation for training. To avoid gross aliasing, an image is first averaged down by
    2, 4, ... as long as it stays at least as large as ``size``.

    Args:
        image: square, or to be stretched.
        size: side of the result in pixels.
        method: one of METHODS.
        out: memory (size, size, 3) that may be used; the result is what is returned.

    Raises ValueError for another method.
    """
    if method not in METHODS:
        raise ValueError(f"unknown resize method {method!r}; there are {', '.join(METHODS)}")
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    if method != "area":
        return _interpolated(_halved(image, size), size, method, out)
    if min(height, width) < size:
        return _enlarged(image, size)
    return average(image, (size, size), out)


def average(image: np.ndarray, shape: tuple[int, int], out: np.ndarray | None = None) -> np.ndarray:
    """Shrink (H, W, C) to ``shape`` (height, width) by averaging the pixel areas; ``out`` as in `resize`."""
    height, width = image.shape[:2]
    if (height, width) == (2 * shape[0], 2 * shape[1]):
        # Every fourth sum of four pixels ends in a half, which OpenCV's integers would always round up.
        return _rounded(cv2.resize(image.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA))
    if height * width > _SPARSE or not (height % shape[0] or width % shape[1]):  # fast for integer factors
        return cv2.resize(image, shape[::-1], dst=out, interpolation=cv2.INTER_AREA)
    return _averaged(image, shape, out)


def _averaged(image: np.ndarray, shape: tuple[int, int], out: np.ndarray | None) -> np.ndarray:
    """Average areas axis by axis with sparse products: OpenCV's pixels, in two thirds of its time."""
    (height, width, channels), (rows, columns) = image.shape, shape
    pixels = _scratch.array("pixels", image.shape, np.float32)
    np.copyto(pixels, image)
    lines = area_matrix(height, rows) @ pixels.reshape(height, -1)  # (rows, W * C)
    transposed = _scratch.array("transposed", (width, rows, channels), np.float32)
    cv2.transpose(lines.reshape(rows, width, channels), dst=transposed)
    averages = area_matrix(width, columns) @ transposed.reshape(width, -1)  # (columns, rows * C)
    rounded = cv2.convertScaleAbs(averages, dst=_scratch.array("rounded", averages.shape))
    return cv2.transpose(rounded.reshape(columns, rows, channels), dst=out)


@functools.lru_cache(maxsize=256)
def area_matrix(old: int, new: int) -> "sparse.csr_array":
    """Return the sparse matrix (new, old), float32, of each old pixel's weight in each new one."""
    from scipy import sparse  # importing it takes a sixth of a second, which every command would pay

    begins = np.arange(new) * old  # of the new pixels, in units of 1 / new of an old pixel
    first = begins // new
    counts = -(-(begins + old) // new) - first
    starts = np.append(0, np.cumsum(counts))
    rows = np.repeat(np.arange(new), counts)
    columns = np.arange(len(rows)) + np.repeat(first - starts[:-1], counts)
    parts = np.minimum(begins[rows] + old, (columns + 1) * new) - np.maximum(begins[rows], columns * new)
    return sparse.csr_array((np.float32(parts / old), np.int32(columns), np.int32(starts)), shape=(new, old))


def _halved(image: np.ndarray, size: int) -> np.ndarray:
    """Average an image down by the largest power of two that leaves both sides at least ``size``."""
    times = (min(image.shape[:2]) // size).bit_length() - 1
    if times < 1:
        return image
    shape = image.shape[0] >> times, image.shape[1] >> times
    return _rounded(cv2.resize(image.astype(np.float32), shape[::-1], interpolation=cv2.INTER_AREA))


def _interpolated(image: np.ndarray, size: int, method: str, out: np.ndarray | None) -> np.ndarray:
    """Interpolate between pixels at the centers of the new pixels."""
    if method == "bilinear" and _has_ties(image.shape[0], size):
        return _rounded(cv2.resize(image.astype(np.float32), (size, size), interpolation=cv2.INTER_LINEAR))
    return cv2.resize(image, (size, size), dst=out, interpolation=_INTERPOLATIONS[method])


def _enlarged(image: np.ndarray, size: int) -> np.ndarray:
    """Resize by Pillow's bicubic filter, rounded to nearest."""
    bicubic = Image.Resampling.BICUBIC
    if image.shape[0] != image.shape[1] or not _has_ties(image.shape[0], size):
        return np.asarray(Image.fromarray(image).resize((size, size), bicubic))
    planes = [Image.fromarray(np.float32(plane)).resize((size, size), bicubic) for plane in cv2.split(image)]
    return _rounded(cv2.merge([np.asarray(plane) for plane in planes]))


def _has_ties(side: int, size: int) -> bool:
    """Whether the factor is so simple that many results are exact halves.

    Integer arithmetic rounds all of them up, a bias of 0.03 to 0.5 gray levels.
    """
    return size // math.gcd(side, size) <= 4


def _rounded(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)
