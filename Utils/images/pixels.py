"""Transparency and EXIF orientation, applied to decoded pixels."""

import numpy as np

WHITE = 255
_PIXELS_AT_ONCE = 2**22  # of a band in which alpha is composited: integers of 16 bits take much memory


def on_white(color: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Composite (H, W, 3) uint8 on white by alpha (H, W, 1), 0..255, rounded to nearest."""
    image = np.empty(color.shape, np.uint8)
    rows = max(1, _PIXELS_AT_ONCE // color.shape[1])
    for start in range(0, len(image), rows):
        band = slice(start, start + rows)
        share = alpha[band].astype(np.uint16)
        image[band] = (color[band] * share + (255 - share) * WHITE + 127) // 255
    return image


def turned(image: np.ndarray, orientation: int) -> np.ndarray:
    """Return pixels (H, W, 3) with an EXIF orientation, 1 to 8, undone; anything else is 1."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)
