"""Images that clients treat differently, made from ordinary ones: small, not square, transparent.

Each function takes a Pillow image and the side of the model's input in pixels, and returns a Pillow image.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

SMALL_SIDE = 0.6  # longer side of a small image, as a share of the model's
BAND_HEIGHT = 0.5  # of a wide image, as a share of the height it is cut from
WHITE = 255.0
OPACITY_SLOPE = 4  # a pixel that is a quarter of the range away from white is opaque


def stored(image: Image.Image, size: int) -> Image.Image:
    """Return the image as it is."""
    return image


def small(image: Image.Image, size: int) -> Image.Image:
    """Shrink so far that clients must enlarge: the longer side is 0.6 of the model's."""
    scale = max(1, round(SMALL_SIDE * size)) / max(image.size)
    shape = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image.convert(mode).resize(shape, Image.Resampling.BOX)


def wide(image: Image.Image, size: int) -> Image.Image:
    """Cut out the middle half of the height."""
    margin = round(image.height * (1 - BAND_HEIGHT) / 2)
    return image.crop((0, margin, image.width, image.height - margin))


def transparent(image: Image.Image, size: int) -> Image.Image:
    """Make pixels near white transparent, with black under them; on a white page nothing changes.

    alpha is 4 times the distance from white, and the color solves
    ``alpha * color + (1 - alpha) * white = original``.
    """
    rgb = np.asarray(image.convert("RGB"), np.float32)
    alpha = np.minimum(OPACITY_SLOPE * (WHITE - rgb.min(axis=2, keepdims=True)), WHITE)
    color = WHITE - (WHITE - rgb) * WHITE / np.maximum(alpha, 1)
    rgba = np.concatenate([np.where(alpha > 0, np.clip(color, 0, WHITE), 0), alpha], axis=2)
    return Image.fromarray(np.rint(rgba).astype(np.uint8))


CASES: dict[str, Callable[[Image.Image, int], Image.Image]] = {
    "stored": stored,
    "small": small,
    "wide": wide,
    "transparent": transparent,
}
