"""Whether two sketches show one picture: the small pictures are laid over one another and compared.

Near-duplicates are cropped, padded, rescaled and recompressed; so one picture is stretched and moved along
both axes until it fits the other best (Baker and Matthews, Lucas-Kanade 20 Years On, 2004, section 3.2), and
then both are compared where they overlap. Two drawings of one character in one pose differ in details, or in
where they lie: the edges of one image, seen in the other, must be near the edges of that one.
"""

import numpy as np

from Utils.duplicates.fingerprints import FRAME, SIDE

SHIFT = 0.04  # how far an edge may lie from the other's, in sides: crops of up to 4% on each side
MEAN = 0.08  # mean difference, in contrasts of the two pictures, at which the distance is 1
LOCAL = 22.0  # largest mean difference, in levels of 255, of a block of 6 x 6 pixels, at which it is 1

_BATCH = 128  # pairs at a time: what the caches hold
_HALF = SIDE // 2  # pictures are aligned at half their size, in gray
_STEPS = 8
_ALIGNED = 16.0  # levels: gray pictures that differ by more after alignment are not compared in color
_GRAY = np.array([0.114, 0.587, 0.299], np.float32)  # of BGR
_BLOCK = 6
_FAR = 1.25  # how much more a difference counts where more than SHIFT was needed
_FILLED = 0.9  # of both sides of an image, from which on its content fills it
_FLAT = 6.0  # levels: the least contrast that a difference is measured in


def distances(first, second, shift=SHIFT, plain=SHIFT):
    """Return how much pairs of sketches differ: float32 (N,), at most 1 for near-duplicates, inf for others.

    Args:
        first, second: (N,) records of `Utils.duplicates.fingerprints.FIELDS`, row against row.
        shift: how far an edge of one image may lie from that of the other, in sides.
        plain: the same where a ground of one color surrounds the content of one of them: content that is
            drawn anew lies elsewhere, and nothing else tells it from a crop.
    """
    found = np.full(len(first), np.inf, np.float32)
    for at in range(0, len(first), _BATCH):
        part = slice(at, at + _BATCH)
        found[part] = _distances(first[part], second[part], shift, plain)
    return found


def _distances(first, second, shift, plain):
    found = np.full(len(first), np.inf, np.float32)
    gray = [_half(_gray(rows["picture"])) for rows in (first, second)]
    frames = [_frames(rows["box"]) for rows in (first, second)]
    maps, difference = _aligned(*gray, _starts(*frames))
    filled = np.min([sizes[..., 1] for sizes in frames], axis=(0, 2)) >= _FILLED
    moved = _shift(maps, *frames)
    near = moved <= np.where(filled, shift, plain)
    close = np.flatnonzero(near & (difference <= _ALIGNED))
    if len(close):
        pictures = [rows["picture"][close].astype(np.float32) for rows in (first, second)]
        found[close] = _difference(*pictures, maps[close]) * np.where(moved[close] > SHIFT, _FAR, 1)
    return found


def _gray(pictures):
    return pictures.astype(np.float32) @ _GRAY


def _half(pictures):
    return pictures.reshape(-1, _HALF, 2, _HALF, 2).mean((2, 4))


# A map is (N, 2 axes, scale and shift): where in the second picture each point of the first one lies, both
# counted from the middle in sides: v = scale * u + shift.


def _frames(boxes):
    """Return middles and sizes of boxes, in sides of the image: (N, 2 axes, 2)."""
    boxes = boxes.reshape(-1, 2, 2).astype(np.float32) / FRAME
    return np.stack([boxes.mean(axis=2), boxes[..., 1] - boxes[..., 0]], axis=2)


def _starts(first, second):
    """Return the two maps to begin with: contents lie on one another, or the whole images do."""
    contents = np.zeros_like(first)
    contents[..., 0] = 1
    wholes = np.stack([first[..., 1], first[..., 0] - second[..., 0]], axis=2) / second[..., 1:]
    return contents, wholes


def _shift(maps, first, second):
    """Return how far the edges of the first image lie from those of the second, in sides: the farthest."""
    found = []
    for edge in (0.0, 1.0):
        inside = (edge - first[..., 0]) / first[..., 1] * maps[..., 0] + maps[..., 1]
        found.append(np.abs(second[..., 0] + second[..., 1] * inside - edge))
    return np.max(found, axis=(0, 2))


def _aligned(first, second, starts):
    """Return the better of the maps found from the starts, and the mean difference that it leaves."""
    best, least = None, None
    solver = _solver(first)
    for start in starts:
        maps, difference = _refined(first, second, start, solver)
        if best is None:
            best, least = maps, difference
        else:
            better = difference < least
            best = np.where(better[:, None, None], maps, best)
            least = np.where(better, difference, least)
    return best, least


def _solver(pictures):
    """Return (N, 4, pixels): what a difference of every pixel says of scale and shift of both axes."""
    points = _points(_HALF)
    down, across = (np.gradient(pictures, axis=axis) * _HALF for axis in (1, 2))
    slopes = np.stack([down * points[:, None], down, across * points, across], axis=1)
    slopes = slopes.reshape(len(pictures), 4, -1)
    normal = slopes @ slopes.transpose(0, 2, 1)
    ridge = 1e-3 * np.trace(normal, axis1=1, axis2=2) + 1
    return np.linalg.inv(normal + ridge[:, None, None] * np.eye(4, dtype=np.float32)) @ slopes


def _refined(first, second, maps, solver):
    for _ in range(_STEPS):
        moved, overlap = _moved(second, maps)
        wrong = ((moved - first) * overlap).reshape(len(first), -1, 1)
        change = (solver @ wrong).reshape(maps.shape)
        scale = maps[..., 0] / (1 + np.clip(change[..., 0], -0.2, 0.2))
        place = maps[..., 1] - scale * change[..., 1]
        maps = np.stack([np.clip(scale, 0.7, 1.4), np.clip(place, -0.3, 0.3)], axis=2)
    moved, overlap = _moved(second, maps)
    area = overlap.sum((1, 2))
    difference = (np.abs(moved - first) * overlap).sum((1, 2)) / np.maximum(area, 1)
    return maps, np.where(area > 0.5 * _HALF * _HALF, difference, np.inf)


def _points(side):
    return ((np.arange(side) + 0.5) / side - 0.5).astype(np.float32)


def _moved(pictures, maps):
    """Return pictures (N, S, S[, 3]) as the first ones see them, and where these lie on them: (N, S, S)."""
    side = pictures.shape[1]
    places = (maps[..., :1] * _points(side) + maps[..., 1:] + 0.5) * side - 0.5  # (N, 2, S)
    inside = np.abs(places - (side - 1) / 2) <= side / 2
    places = np.clip(places, 0, side - 1)
    before = np.minimum(places.astype(np.intp), side - 2)
    weight = (places - before).astype(np.float32)
    for axis in (0, 1):  # rows, then columns as rows
        pictures = _between(pictures, before[:, axis], weight[:, axis]).swapaxes(1, 2)
    return pictures, (inside[:, 0, :, None] & inside[:, 1, None, :]).astype(np.float32)


def _between(pictures, before, weight):
    """Return rows of pictures (N, S, ...) between two each, by weights (N, S) of the second one."""
    each = np.arange(len(pictures))[:, None]
    weight = weight.reshape(*weight.shape, *[1] * (pictures.ndim - 2))
    return pictures[each, before] * (1 - weight) + pictures[each, before + 1] * weight


def _difference(first, second, maps):
    """Return the distance of aligned color pictures (N, S, S, 3): on the whole or in a block."""
    moved, overlap = _moved(second, maps)
    first, moved = _blurred(first), _blurred(moved)  # what is drawn finely differs by where pixels begin
    area = overlap.sum((1, 2))
    wrong = np.abs(first - moved).max(axis=3) * overlap
    contrast = (_contrast(first, overlap, area) + _contrast(moved, overlap, area)) / 2
    blocks = wrong.reshape(-1, SIDE // _BLOCK, _BLOCK, SIDE // _BLOCK, _BLOCK).mean((2, 4))
    mean = wrong.sum((1, 2)) / area / np.maximum(contrast, _FLAT)
    return np.maximum(mean / MEAN, blocks.max((1, 2)) / LOCAL)


def _contrast(pictures, overlap, area):
    """Return the mean distance of colors from the mean color, over the overlap."""
    overlap = overlap[..., None]
    mean = (pictures * overlap).sum((1, 2)) / area[:, None]
    return (np.abs(pictures - mean[:, None, None]) * overlap).max(axis=3).sum((1, 2)) / area


def _blurred(pictures):
    for _ in (0, 1):
        padded = np.concatenate([pictures[:, :1], pictures, pictures[:, -1:]], axis=1)
        pictures = ((padded[:, :-2] + 2 * pictures + padded[:, 2:]) / 4).swapaxes(1, 2)
    return pictures
