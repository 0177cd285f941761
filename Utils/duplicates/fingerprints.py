"""Image fingerprints for near-duplicate search: content box, two perceptual hashes, a thumbnail.

An image is padded to a white square, as everywhere, so that a padded and an unpadded copy are alike. Borders
of one color are trimmed, again if there is another inside: the rest is the content, and the color of the
padding does not matter. A hash has the signs of the lowest 8 x 8 cosine coefficients of lightness and of both
color differences; one is of the whole square, one of its content. The thumbnail is of the content.

Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010 (of lightness alone).
"""

from collections.abc import Sequence

import cv2
import numpy as np

from Utils.images import codec, image_limits
from Utils.images.places import Place

SIDE = 48  # of the thumbnail, in pixels
FRAME = 256  # side of the square in which borders are searched, in pixels
BITS = 192  # of a hash: 8 x 8 coefficients of 3 planes
HASHED_PARTS = ("whole", "content")
OK, BLANK, BROKEN = range(3)  # BLANK: of one color, nothing to compare
FINGERPRINT = np.dtype(
    [
        ("state", np.uint8),  # OK, BLANK or BROKEN
        ("reason", "S48"),  # why an image is BROKEN
        ("box", np.uint16, (4,)),  # top, end, left, end of the content, in pixels of FRAME
        ("hashes", np.uint8, (len(HASHED_PARTS), BITS // 8)),
        ("ground", np.uint8, (4, 3)),  # color next to the content on each side of the box; 0 without a border
        ("picture", np.uint8, (SIDE, SIDE, 3)),
    ]
)

Box = tuple[int, int, int, int]

_MAX_DEVIATION = 16  # of a border from its color, of 255: what JPEG makes of one color
_STRAY_SHARE = 0.02  # of the pixels of a line that may deviate by more
_MIXED_LINES = 2  # next to a border, which resizing has mixed with it
_MAX_ROUNDS = 4  # of trimming, for borders inside borders
_MIN_LINES = 16  # of content
_DCT_SIDE = 32
_LOWEST = 8  # coefficients along each axis
_NOISE = 4.0  # coefficients up to this count as 0: for a flat image their sign is chance

# Neighbors in frequency flip together. The index of many hashes compares runs of bits: it finds more if such
# bits are far apart. 37 is coprime to 192.
_BIT_ORDER = 37 * np.arange(BITS) % BITS


def fingerprint_files(
    job: tuple[Place, Sequence[str], int], max_pixels: int = image_limits.MAX_PIXELS
) -> tuple[int, np.ndarray]:
    """Return ``(number, fingerprints (N,))`` of a job ``(place, N paths in it, number)``."""
    image_limits.allow_pixels(max_pixels)
    place, paths, number = job
    cv2.setNumThreads(1)  # the processes are the parallelism
    fingerprints = np.zeros(len(paths), FINGERPRINT)
    for row, path in enumerate(paths):
        try:
            fingerprints[row] = fingerprint(place.open(path))
        except codec.ImageError as error:
            fingerprints[row] = _broken(str(error))
        except OSError as error:
            fingerprints[row] = _broken(f"cannot be read: {error.strerror}")
    return number, fingerprints


def fingerprint(data: bytes) -> np.ndarray:
    """Return the fingerprint of an encoded image, () FINGERPRINT; BROKEN if it cannot be decoded."""
    row = np.zeros((), FINGERPRINT)
    try:
        frame = codec.fit(codec.decode(data, min_side=FRAME), FRAME)
    except codec.ImageError as error:
        return _broken(str(error))
    box = content_box(frame)
    if box is None:
        row["state"] = BLANK
        return row
    top, bottom, left, right = box
    content = frame[top:bottom, left:right]
    row["box"], row["ground"] = box, _ground_colors(frame, box)
    row["hashes"] = [dct_hash(frame), dct_hash(content)]
    row["picture"] = cv2.resize(content, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return row


def _broken(reason: str) -> np.ndarray:
    row = np.zeros((), FINGERPRINT)
    row["state"], row["reason"] = BROKEN, reason.encode("ascii", "replace")[:48]
    return row


def content_box(frame: np.ndarray) -> Box | None:
    """Return (top, end, left, end) of a (H, W, 3) image without borders of one color; None for no content."""
    frame = frame.astype(np.int16)  # differences of uint8 would wrap around
    box = [0, frame.shape[0], 0, frame.shape[1]]
    for _ in range(_MAX_ROUNDS):
        before = list(box)
        for side in range(4):
            if not _trim(frame, box, side):
                return None
        if box == before:
            break
    top, bottom, left, right = box
    return top, bottom, left, right


def _ground_colors(frame: np.ndarray, box: Box) -> np.ndarray:
    """Return the color of the border next to each side of the content: uint8 (4, 3), 0 without a border."""
    top, bottom, left, right = box
    colors = np.zeros((4, 3), np.uint8)
    for side, (line, end) in enumerate(((top, 0), (bottom, FRAME), (left, 0), (right, FRAME))):
        if line == end:
            continue
        at = line + _MIXED_LINES if side % 2 else line - _MIXED_LINES - 1
        at = min(max(at, 0), FRAME - 1)
        colors[side] = np.median(frame[at, left:right] if side < 2 else frame[top:bottom, at], axis=0)
    return colors


def _trim(frame: np.ndarray, box: list[int], side: int) -> bool:
    """Move one side of the box past its border, in place; False if too little is left."""
    lines = frame[box[0] : box[1], box[2] : box[3]]
    if side >= 2:
        lines = lines.swapaxes(0, 1)
    if side % 2:
        lines = lines[::-1]
    border = _count_border_lines(lines)
    if border:
        border += _MIXED_LINES
        box[side] += -border if side % 2 else border
    return len(lines) - border >= _MIN_LINES


def _count_border_lines(lines: np.ndarray) -> int:
    """Return how many of the first lines (N, M, 3) have one color."""
    color = np.median(lines[0], axis=0).astype(np.int16)
    # Steps that double: most images have no border, and two lines are enough to see that.
    start, step = 0, 2
    while start < len(lines):
        deviates = np.abs(lines[start : start + step] - color).max(axis=2) > _MAX_DEVIATION
        content = np.flatnonzero(deviates.mean(axis=1) > _STRAY_SHARE)
        if len(content):
            return start + int(content[0])
        start, step = start + step, 2 * step
    return len(lines)


def dct_hash(image: np.ndarray) -> np.ndarray:
    """Return the hash (BITS / 8,) uint8 of (H, W, 3) uint8."""
    small = cv2.resize(image, (_DCT_SIDE, _DCT_SIDE), interpolation=cv2.INTER_AREA)
    planes = cv2.cvtColor(small, cv2.COLOR_BGR2YCrCb).astype(np.float32) - 128
    coefficients = [
        cv2.dct(np.ascontiguousarray(planes[..., plane]))[:_LOWEST, :_LOWEST] for plane in range(3)
    ]
    return np.packbits((np.stack(coefficients).ravel() > _NOISE)[_BIT_ORDER])
