"""Decides whether two fingerprints are of the same image, by aligning and comparing their thumbnails.

Near-duplicates are cropped, padded, rescaled and recompressed. So one thumbnail is stretched and moved along
both axes until it fits the other best (Baker and Matthews, Lucas-Kanade 20 Years On, 2004, section 3.2), and
the two are compared where they overlap. Two drawings of one character in one pose are told apart by their
details, and by where they lie: the edges of one image, seen in the other, must be near the edges of that one.
What lies outside the content of the other image is compared with the ground of that one: a thing is another
picture than the same thing with something beside it.
"""

import numpy as np

from Utils.duplicates.fingerprints import FRAME, SIDE

MAX_SHIFT = 0.04  # of an edge from the other image's, in sides: crops of up to 4% on each side

# A distance is the largest of three quotients, so that 1 is the limit of each.
_MEAN_LIMIT = 0.08  # mean difference, in contrasts of the two thumbnails
_BLOCK_LIMIT = 22.0  # largest mean difference of a block, in levels of 255

# The same of a small block: the hands of a clock are thin. Between the 180 copies planted in drawn boorus
# (up to 29.2) and the clock faces, gestures and stars of emoji (from 30.7): the margin is narrow.
_SMALL_BLOCK_LIMIT = 30.0

_BATCH = 128  # pairs at a time: they fit into the processor's caches
_HALF = SIDE // 2  # thumbnails are aligned at half their size, in gray
_STEPS = 8  # of the alignment
_MAX_ALIGNED = 16.0  # levels: gray thumbnails that differ by more after alignment are not compared in color
_GRAY = np.array([0.114, 0.587, 0.299], np.float32)  # weights of blue, green, red
_BLOCK = 6  # side of a block, in pixels
_SMALL_BLOCK = 3
_BESIDE_MARGIN = MAX_SHIFT  # around a content, in sides: what a crop may have cut off there
_FAR_FACTOR = 1.25  # for the distance of images whose edges lie further apart than MAX_SHIFT
_FILLED = 0.9  # share of both sides of an image from which on its content fills it
_MIN_CONTRAST = 6.0  # levels: differences are measured in contrasts of at least this


def distances(
    first: np.ndarray, second: np.ndarray, max_shift: float = MAX_SHIFT, plain_max_shift: float = MAX_SHIFT
) -> np.ndarray:
    """Return how much pairs of images differ: float32 (N,), up to 1 for near-duplicates, inf if far apart.

    Args:
        first, second: (N,) FINGERPRINT, row against row.
        max_shift: how far an edge of one image may lie from that of the other, in sides.
        plain_max_shift: the same where a ground of one color surrounds the content of one of them. There only
            the place of the content tells a crop from a second drawing of the same thing.
    """
    result = np.full(len(first), np.inf, np.float32)
    for start in range(0, len(first), _BATCH):
        part = slice(start, start + _BATCH)
        result[part] = _distances(first[part], second[part], max_shift, plain_max_shift)
    return result


def _distances(first: np.ndarray, second: np.ndarray, max_shift: float, plain_max_shift: float) -> np.ndarray:
    result = np.full(len(first), np.inf, np.float32)
    gray1, gray2 = (_half(_gray(rows["picture"])) for rows in (first, second))
    frames1, frames2 = (_frames(rows["box"]) for rows in (first, second))
    maps, difference = _align(gray1, gray2, _initial_maps(frames1, frames2))
    is_filled = np.min([frames1[..., 1], frames2[..., 1]], axis=(0, 2)) >= _FILLED
    shift = _edge_shift(maps, frames1, frames2)
    is_near = shift <= np.where(is_filled, max_shift, plain_max_shift)
    # Comparing in color costs most: only pairs that may be near-duplicates.
    rows = np.flatnonzero(is_near & (difference <= _MAX_ALIGNED))
    if len(rows):
        thumbnails1, thumbnails2 = (part["picture"][rows].astype(np.float32) for part in (first, second))
        factor = np.where(shift[rows] > MAX_SHIFT, _FAR_FACTOR, 1)
        color = _color_distance(thumbnails1, thumbnails2, maps[rows]) * factor
        beside2 = _distance_beside(thumbnails2, maps[rows], frames1[rows], first["ground"][rows])
        inverse = np.stack([1 / maps[..., 0], -maps[..., 1] / maps[..., 0]], axis=2)
        beside1 = _distance_beside(thumbnails1, inverse[rows], frames2[rows], second["ground"][rows])
        result[rows] = np.max([color, beside1, beside2], axis=0)
    return result


def _distance_beside(
    thumbnails: np.ndarray, maps: np.ndarray, frames: np.ndarray, grounds: np.ndarray
) -> np.ndarray:
    """Return the distance of what lies beside the content of the other image from its ground: (N,).

    Args:
        thumbnails: (N, S, S, 3) of one image.
        maps: where the content of the other image lies in them.
        frames: of the other image's content.
        grounds: (N, 4, 3) the colors around it: above, below, left, right.
    """
    places = (_points(SIDE) - maps[..., 1:]) / maps[..., :1]  # (N, 2, S), in sides of the other content
    size = frames[..., 1:]
    is_beside = (np.abs(places) - 0.5) * size > _BESIDE_MARGIN
    is_in_image = np.abs(frames[..., :1] + size * places - 0.5) <= 0.5
    mask = is_beside[:, 0, :, None] | is_beside[:, 1, None, :]
    mask &= is_in_image[:, 0, :, None] & is_in_image[:, 1, None, :]
    result = np.zeros(len(thumbnails), np.float32)
    rows = np.flatnonzero(mask.any((1, 2)))
    if not len(rows):
        return result
    colors = grounds[rows].astype(np.float32)
    is_second = places[rows] > 0  # below, right
    above_or_below = np.where(is_second[:, 0, :, None], colors[:, 1:2], colors[:, :1])[:, :, None]
    left_or_right = np.where(is_second[:, 1, :, None], colors[:, 3:], colors[:, 2:3])[:, None]
    ground = np.where(is_beside[rows, 0, :, None, None], above_or_below, left_or_right)
    difference = np.abs(_blur(thumbnails[rows]) - ground).max(axis=3) * mask[rows]
    result[rows] = _blocks(difference).max((1, 2)) / _BLOCK_LIMIT
    return result


def _blocks(difference: np.ndarray, block: int = _BLOCK) -> np.ndarray:
    """Return the means of the blocks of (N, S, S)."""
    return difference.reshape(-1, SIDE // block, block, SIDE // block, block).mean((2, 4))


def _gray(thumbnails: np.ndarray) -> np.ndarray:
    return thumbnails.astype(np.float32) @ _GRAY


def _half(thumbnails: np.ndarray) -> np.ndarray:
    return thumbnails.reshape(-1, _HALF, 2, _HALF, 2).mean((2, 4))


# A map is (N, 2 axes, scale and shift): where in the second thumbnail each point of the first one lies, both
# counted from the middle in sides: v = scale * u + shift.


def _frames(boxes: np.ndarray) -> np.ndarray:
    """Return middle and size of boxes, in sides of the image: (N, 2 axes, 2)."""
    boxes = boxes.reshape(-1, 2, 2).astype(np.float32) / FRAME
    return np.stack([boxes.mean(axis=2), boxes[..., 1] - boxes[..., 0]], axis=2)


def _initial_maps(frames1: np.ndarray, frames2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return two maps to start from: the contents lie on one another, or the whole images do."""
    contents = np.zeros_like(frames1)
    contents[..., 0] = 1
    wholes = np.stack([frames1[..., 1], frames1[..., 0] - frames2[..., 0]], axis=2) / frames2[..., 1:]
    return contents, wholes


def _edge_shift(maps: np.ndarray, frames1: np.ndarray, frames2: np.ndarray) -> np.ndarray:
    """Return how far the edges of the two images lie apart, in sides: the farthest one, (N,)."""
    shifts = []
    for edge in (0.0, 1.0):
        mapped = (edge - frames1[..., 0]) / frames1[..., 1] * maps[..., 0] + maps[..., 1]
        shifts.append(np.abs(frames2[..., 0] + frames2[..., 1] * mapped - edge))
    return np.max(shifts, axis=(0, 2))


def _align(
    gray1: np.ndarray, gray2: np.ndarray, initial_maps: tuple[np.ndarray, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the better of the maps refined from both starts, and the mean difference it leaves, (N,)."""
    solver = _solver(gray1)
    (maps, difference), (maps2, difference2) = (
        _refine(gray1, gray2, initial, solver) for initial in initial_maps
    )
    is_better = difference2 < difference
    return np.where(is_better[:, None, None], maps2, maps), np.where(is_better, difference2, difference)


def _solver(thumbnails: np.ndarray) -> np.ndarray:
    """Return (N, 4, pixels): weights that turn pixel differences into scale and shift of both axes.

    This is the least-squares inverse of Lucas and Kanade. It is built from the first thumbnails, so that it
    stays the same in all steps (the inverse compositional algorithm).
    """
    points = _points(_HALF)
    down, across = (np.gradient(thumbnails, axis=axis) * _HALF for axis in (1, 2))
    slopes = np.stack([down * points[:, None], down, across * points, across], axis=1)
    slopes = slopes.reshape(len(thumbnails), 4, -1)
    normal = slopes @ slopes.transpose(0, 2, 1)
    ridge = 1e-3 * np.trace(normal, axis1=1, axis2=2) + 1  # a thumbnail without slopes has no inverse
    return np.linalg.inv(normal + ridge[:, None, None] * np.eye(4, dtype=np.float32)) @ slopes


def _refine(
    gray1: np.ndarray, gray2: np.ndarray, maps: np.ndarray, solver: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the refined maps and the mean difference each leaves, inf if the thumbnails hardly overlap."""
    for _ in range(_STEPS):
        warped, overlap = _warp(gray2, maps)
        residual = ((warped - gray1) * overlap).reshape(len(gray1), -1, 1)
        change = (solver @ residual).reshape(maps.shape)
        # The change is of the first thumbnail: the map is composed with its inverse. Limits keep a step that
        # goes wrong from leaving the thumbnail for good.
        scale = maps[..., 0] / (1 + np.clip(change[..., 0], -0.2, 0.2))
        shift = maps[..., 1] - scale * change[..., 1]
        maps = np.stack([np.clip(scale, 0.7, 1.4), np.clip(shift, -0.3, 0.3)], axis=2)
    warped, overlap = _warp(gray2, maps)
    area = overlap.sum((1, 2))
    difference = (np.abs(warped - gray1) * overlap).sum((1, 2)) / np.maximum(area, 1)
    return maps, np.where(area > 0.5 * _HALF * _HALF, difference, np.inf)


def _points(side: int) -> np.ndarray:
    """Return the middles of the pixels, from the middle of the thumbnail, in sides."""
    return ((np.arange(side) + 0.5) / side - 0.5).astype(np.float32)


def _warp(thumbnails: np.ndarray, maps: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return second thumbnails (N, S, S[, 3]) warped onto the first, and where both overlap: (N, S, S)."""
    side = thumbnails.shape[1]
    places = (maps[..., :1] * _points(side) + maps[..., 1:] + 0.5) * side - 0.5  # (N, 2, S), in pixels
    is_inside = np.abs(places - (side - 1) / 2) <= side / 2
    places = np.clip(places, 0, side - 1)
    before = np.minimum(places.astype(np.intp), side - 2)
    weight = (places - before).astype(np.float32)
    for axis in (0, 1):  # rows, then columns as rows
        thumbnails = _interpolate(thumbnails, before[:, axis], weight[:, axis]).swapaxes(1, 2)
    return thumbnails, (is_inside[:, 0, :, None] & is_inside[:, 1, None, :]).astype(np.float32)


def _interpolate(thumbnails: np.ndarray, before: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return rows (N, S, ...) between ``before`` and the next one, which has ``weight`` (N, S)."""
    each = np.arange(len(thumbnails))[:, None]
    weight = weight.reshape(*weight.shape, *[1] * (thumbnails.ndim - 2))
    return thumbnails[each, before] * (1 - weight) + thumbnails[each, before + 1] * weight


def _color_distance(first: np.ndarray, second: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """Return the distance of aligned color thumbnails (N, S, S, 3): of the whole or of the worst blocks."""
    warped, overlap = _warp(second, maps)
    first, warped = _blur(first), _blur(warped)  # fine lines differ by where the pixels begin
    area = overlap.sum((1, 2))
    difference = np.abs(first - warped).max(axis=3) * overlap
    contrast = (_contrast(first, overlap, area) + _contrast(warped, overlap, area)) / 2
    mean = difference.sum((1, 2)) / area / np.maximum(contrast, _MIN_CONTRAST)
    block = _blocks(difference).max((1, 2)) / _BLOCK_LIMIT
    small_block = _blocks(difference, _SMALL_BLOCK).max((1, 2)) / _SMALL_BLOCK_LIMIT
    return np.max([mean / _MEAN_LIMIT, block, small_block], axis=0)


def _contrast(thumbnails: np.ndarray, overlap: np.ndarray, area: np.ndarray) -> np.ndarray:
    """Return the mean distance of colors from the mean color, over the overlap: (N,)."""
    overlap = overlap[..., None]
    mean = (thumbnails * overlap).sum((1, 2)) / area[:, None]
    return (np.abs(thumbnails - mean[:, None, None]) * overlap).max(axis=3).sum((1, 2)) / area


def _blur(thumbnails: np.ndarray) -> np.ndarray:
    """Return thumbnails (N, S, S, 3) after a binomial filter (1 2 1) / 4 along both axes."""
    for _ in (0, 1):
        padded = np.concatenate([thumbnails[:, :1], thumbnails, thumbnails[:, -1:]], axis=1)
        thumbnails = ((padded[:, :-2] + 2 * thumbnails + padded[:, 2:]) / 4).swapaxes(1, 2)
    return thumbnails
