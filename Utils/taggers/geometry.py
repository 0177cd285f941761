"""How programs for taggers make a square of a picture: functions ((H, W, 3) uint8 BGR, side S) -> (S, S, 3).

Transparency is composited on white and the orientation of EXIF data is applied before, for all of them.
"""

import functools
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image

from Utils.images import codec, resize

Fit = Callable[[np.ndarray, int], np.ndarray]
Color = tuple[int, int, int]  # BGR

WHITE: Color = (255, 255, 255)
BLACK: Color = (0, 0, 0)
FILTERS = {
    name: Image.Resampling[name.upper()]
    for name in ("nearest", "box", "bilinear", "hamming", "bicubic", "lanczos")
}


def by_area(image: np.ndarray, size: int) -> np.ndarray:
    """Pad to a white square, average areas (`Utils.images.codec.fit`), as this project does."""
    return codec.fit(image, size)


def pad_then_resize(image: np.ndarray, size: int, method: str, color: Color = WHITE) -> np.ndarray:
    """Pad to a square of the longer side, then resize by a filter of Pillow."""
    return resized(centered(image, max(image.shape[:2]), color), (size, size), method)


def resize_then_pad(
    image: np.ndarray, size: int, method: str, color: Color, to_int: Callable[[float], int] = int
) -> np.ndarray:
    """Resize the longer side to ``size`` by a filter of Pillow, then pad to a square.

    ``to_int``: how the shorter side becomes a whole number, `int` or `round`.
    """
    height, width = image.shape[:2]
    longer = max(height, width)
    shape = tuple(
        size if side == longer else max(1, to_int(side * size / longer)) for side in (height, width)
    )
    return centered(resized(image, shape, method), size, color)


def area_with_edges(image: np.ndarray, size: int) -> np.ndarray:
    """Resize the longer side to ``size`` by averaging areas, then repeat the edges, as DeepDanbooru does.

    Returns float32, which is not rounded; a shift by half a pixel is a mean of two.
    """
    height, width = image.shape[:2]
    scale = min(size / height, size / width)
    rows, columns = (max(1, round(side * scale)) for side in (height, width))
    lines = resize.area_matrix(height, rows) @ image.astype(np.float32).reshape(height, -1)
    across = lines.reshape(rows, width, 3).transpose(1, 0, 2).reshape(width, -1)
    small = (resize.area_matrix(width, columns) @ across).reshape(columns, rows, 3).transpose(1, 0, 2)
    return _shifted(_shifted(small, size, 0), size, 1)


def _shifted(image: np.ndarray, size: int, axis: int) -> np.ndarray:
    """Center an axis in ``size`` pixels, edges repeated."""
    missing = size - image.shape[axis]
    before = missing // 2
    padding = [(0, 0)] * 3
    padding[axis] = (before, missing - before)
    padded = np.pad(image, padding, mode="edge")
    if missing % 2 == 0:
        return padded
    padding[axis] = (1, 0)  # half a pixel further: the mean of two neighbors
    further = np.pad(padded, padding, mode="edge")
    return (padded + further.take(range(size), axis)) / 2


def centered(image: np.ndarray, side: int, color: Color = WHITE) -> np.ndarray:
    """Center (H, W, 3) on a square of a color; of an odd margin the larger half is below or to the right."""
    height, width = image.shape[:2]
    if (height, width) == (side, side):
        return image
    top, left = (side - height) // 2, (side - width) // 2
    return cv2.copyMakeBorder(
        image, top, side - height - top, left, side - width - left, cv2.BORDER_CONSTANT, value=color
    )


def resized(image: np.ndarray, shape: tuple[int, ...], method: str) -> np.ndarray:
    """Resize (H, W, 3) uint8 to ``shape`` (height, width) by a filter of Pillow."""
    if image.shape[:2] == shape:
        return image
    return np.asarray(Image.fromarray(image).resize((shape[1], shape[0]), FILTERS[method]))


def fit(function: Callable[..., np.ndarray], **options: object) -> Fit:
    """Return a `Fit` of a function with its options."""
    return functools.partial(function, **options)
