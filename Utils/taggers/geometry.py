"""How programs for taggers make a square of a picture: functions ((H, W, 3) uint8 BGR, side S) -> (S, S, 3).

Transparency is composited on white and the orientation of EXIF data is applied before, for all of them.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import TypeVar

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


_GRAY = 128
Coordinates = TypeVar("Coordinates", float, np.ndarray)  # pixels


@dataclasses.dataclass(frozen=True)
class Placement:
    """Where the square that a model sees lies in the picture: ``picture = offset + scale * square``, pixels.

    Both count from the outer edge of the first pixel, so that its middle is at 0.5.
    """

    scale_x: float
    scale_y: float
    left: float
    top: float

    def to_picture(self, x: Coordinates, y: Coordinates) -> tuple[Coordinates, Coordinates]:
        """Return x and y in the picture of points of the square, numbers or arrays."""
        return self.left + self.scale_x * x, self.top + self.scale_y * y


def placement(fit: Fit, width: int, height: int, size: int) -> Placement:
    """Return where ``fit`` puts a picture of ``width`` x ``height`` in a square of ``size``.

    A picture whose pixels tell their place is put there, which holds for any padding, crop and stretch.
    """
    ramps = np.full((height, width, 3), _GRAY, np.uint8)
    ramps[..., 0] = np.round(np.linspace(0, 255, width))
    ramps[..., 1] = np.round(np.linspace(0, 255, height))[:, None]
    square = np.asarray(fit(ramps, size), np.float64)
    across = _line(square[size // 2][:, [0, 2]], width)
    down = _line(square[:, size // 2, 1:], height)
    # A picture as thin as a few pixels of the square says nothing across; it is centered, as large as along.
    scale = (across or down or (max(width, height) / size,))[0]
    scale_x, left = across or (scale, (width - scale * size) / 2)
    scale_y, top = down or (scale, (height - scale * size) / 2)
    return Placement(scale_x, scale_y, left, top)


def _line(pixels: np.ndarray, side: int) -> tuple[float, float] | None:
    """Return (scale, offset) of a ramp from 0 to 255 over ``side`` pixels, None where too little is seen.

    ``pixels``: (S, 2), the ramp and a gray, which padding changes.
    """
    ramp, gray = pixels.T
    # Edges that are repeated lie at the ends of the ramp.
    inside = np.flatnonzero((abs(gray - _GRAY) < 1.5) & (ramp > 12) & (ramp < 243))
    if len(inside) < 4 or np.ptp(ramp[inside]) < 50:  # too few, or one pixel of the picture repeated
        return None
    scale, offset = np.polyfit(inside + 0.5, ramp[inside] / 255 * (side - 1) + 0.5, 1)
    return float(scale), float(offset)
