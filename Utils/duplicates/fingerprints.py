"""What is kept of an image to find its near-duplicates: where its content lies, two hashes, a small picture.

An image is padded to a white square, as everywhere, so that a padded and an unpadded copy are alike. Borders
of one color are trimmed, again where another lies inside: what is left is the content, and what color the
padding had does not matter. A hash has the signs of the lowest 8 x 8 cosine coefficients of lightness and of
both color differences; one is of the whole square, one of its content. The small picture is of the content.
Zauner, Implementation and Benchmarking of Perceptual Image Hash Functions, 2010 (of lightness alone).
"""

import pathlib

import cv2
import numpy as np

from Utils.images import codec, image_reader

SIDE = 48  # of the small picture
BITS = 192
KINDS = ("whole", "content")  # what the hashes are of
FOUND, BLANK, BROKEN = range(3)
FIELDS = np.dtype(
    [
        ("state", np.uint8),  # FOUND, BLANK (one color: nothing to compare), BROKEN
        ("reason", "S48"),  # why an image is BROKEN
        ("box", np.uint16, (4,)),  # top, end, left, end of the content, in parts of FRAME
        ("hashes", np.uint8, (len(KINDS), BITS // 8)),
        ("picture", np.uint8, (SIDE, SIDE, 3)),
    ]
)
FRAME = 256  # side at which borders are looked for

_TOLERANCE = 16  # by how much a color of a border may differ, of 255: what JPEG makes of one color
_STRAY = 0.02  # share of a line that may differ by more
_EDGE = 2  # lines after a border that resizing has mixed with it
_ROUNDS = 4
_LEAST = 16  # lines of content
_DCT = 32
_LOWEST = 8
_NOISE = 4.0  # coefficients up to this are 0: that of a flat picture has no sign
# Neighbors in frequency flip together; an index that looks at runs of bits finds more where these are apart.
_ORDER = 37 * np.arange(BITS) % BITS


def of_files(job):
    """Return ``(number, sketches)`` of a job ``(folder, paths in it, number)``; in any process."""
    root, paths, number = job
    cv2.setNumThreads(1)  # the processes are the parallelism
    found = np.zeros(len(paths), FIELDS)
    for row, path in enumerate(paths):
        try:
            found[row] = sketch(image_reader.read_bytes(pathlib.Path(root, path)))
        except codec.ImageError as error:
            found[row] = broken(str(error))
        except OSError as error:
            found[row] = broken(f"cannot be read: {error.strerror}")
    return number, found


def sketch(data):
    """Return the sketch of an encoded image, one row of FIELDS; BROKEN where it cannot be decoded."""
    row = np.zeros((), FIELDS)
    try:
        frame = codec.fit(codec.decode(data, min_side=FRAME), FRAME)
    except codec.ImageError as error:
        return broken(str(error))
    box = content(frame)
    if box is None:
        row["state"] = BLANK
        return row
    top, end, left, right = box
    part = frame[top:end, left:right]
    row["box"] = box
    row["hashes"] = [signs(frame), signs(part)]
    row["picture"] = cv2.resize(part, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return row


def broken(reason):
    """Return the sketch of what is no image."""
    row = np.zeros((), FIELDS)
    row["state"], row["reason"] = BROKEN, reason.encode("ascii", "replace")[:48]
    return row


def content(frame):
    """Return (top, end, left, end) of what borders of one color leave of (H, W, 3); None for nothing."""
    frame = frame.astype(np.int16)
    box = [0, frame.shape[0], 0, frame.shape[1]]
    for _ in range(_ROUNDS):
        before = list(box)
        for side in range(4):
            if not _trim(frame, box, side):
                return None
        if box == before:
            break
    return tuple(box)


def _trim(frame, box, side):
    """Move one side of the box past its border, in place; False where too little is left."""
    lines = frame[box[0] : box[1], box[2] : box[3]]
    if side >= 2:
        lines = lines.swapaxes(0, 1)
    if side % 2:
        lines = lines[::-1]
    border = _border(lines)
    if border:
        border += _EDGE
        box[side] += -border if side % 2 else border
    return len(lines) - border >= _LEAST


def _border(lines):
    """Return how many of the first lines (N, M, 3) have one color."""
    color = np.median(lines[0], axis=0).astype(np.int16)
    at, step = 0, 2
    while at < len(lines):
        differs = np.abs(lines[at : at + step] - color).max(axis=2) > _TOLERANCE
        other = np.flatnonzero(differs.mean(axis=1) > _STRAY)
        if len(other):
            return at + int(other[0])
        at, step = at + step, 2 * step
    return len(lines)


def signs(image):
    """Return the hash (BITS / 8,) uint8 of (H, W, 3) uint8."""
    small = cv2.resize(image, (_DCT, _DCT), interpolation=cv2.INTER_AREA)
    planes = cv2.cvtColor(small, cv2.COLOR_BGR2YCrCb).astype(np.float32) - 128
    found = [cv2.dct(np.ascontiguousarray(planes[..., plane]))[:_LOWEST, :_LOWEST] for plane in range(3)]
    return np.packbits((np.stack(found).ravel() > _NOISE)[_ORDER])
