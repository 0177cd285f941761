"""Pictures that clients treat differently, made of ordinary ones: small, not square, transparent."""

import numpy as np
from PIL import Image

SMALL = 0.6  # of the model's side
BAND = 0.5  # of a picture's height
WHITE = 255.0
SOFTNESS = 4  # what is farther from white than a quarter of the range is opaque


def stored(picture, size):
    """Return the picture as it is."""
    return picture


def small(picture, size):
    """Return it so small that it must be enlarged: its longer side is 0.6 of the model's."""
    shrunk = max(1, round(SMALL * size)) / max(picture.size)
    shape = [max(1, round(side * shrunk)) for side in picture.size]
    return picture.convert(_mode(picture)).resize(shape, Image.Resampling.BOX)


def wide(picture, size):
    """Return the middle half of its height."""
    width, height = picture.size
    cut = round(height * (1 - BAND) / 2)
    return picture.crop((0, cut, width, height - cut))


def transparent(picture, size):
    """Return it with its near white turned into transparency over black: on white it looks as before."""
    rgb = np.asarray(picture.convert("RGB"), np.float32)
    alpha = np.minimum(SOFTNESS * (WHITE - rgb.min(axis=2, keepdims=True)), WHITE)
    color = WHITE - (WHITE - rgb) * WHITE / np.maximum(alpha, 1)
    rgba = np.concatenate([np.where(alpha > 0, np.clip(color, 0, WHITE), 0), alpha], axis=2)
    return Image.fromarray(np.rint(rgba).astype(np.uint8))


def _mode(picture):
    return "RGBA" if picture.has_transparency_data else "RGB"


CASES = {"stored": stored, "small": small, "wide": wide, "transparent": transparent}
