"""The pointing game (arXiv:1608.00507): how often a map's highest point lies in a box of its tag."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from Utils.evaluation.bootstrap import resample_counts

SMALL = 0.25  # boxes that cover less of the picture than this are worth pointing at


@dataclasses.dataclass(frozen=True)
class Share:
    """A mean over maps with its 95% interval over pictures."""

    maps: int
    value: float
    low: float
    high: float


def is_hit(boxes: np.ndarray, x: float, y: float) -> bool:
    """Whether the pixel (x, y) lies in one of the boxes (K, 4): x0, y0 inclusive, x1, y1 exclusive."""
    return bool(((boxes[:, 0] <= x) & (x < boxes[:, 2]) & (boxes[:, 1] <= y) & (y < boxes[:, 3])).any())


def covered(boxes: np.ndarray, width: int, height: int) -> float:
    """Return the share of a picture's pixels that lie in a box: the chance of a hit by a random point.

    ``boxes`` (N, 4) are left, top, right and bottom in pixels, the last two exclusive.
    """
    mask = np.zeros((height, width), bool)
    for left, top, right, bottom in boxes.astype(int):
        mask[max(0, top) : max(0, bottom), max(0, left) : max(0, right)] = True
    return float(mask.mean())


def share(values: Sequence[float], pictures: Sequence[int], resamples: int = 1000) -> Share:
    """Return the mean of values, each of a map of one of ``pictures``, with its interval over pictures.

    Maps of one picture stay together in a resample. NaN for no map.
    """
    if not len(values):
        return Share(0, float("nan"), float("nan"), float("nan"))
    _, rows = np.unique(np.asarray(pictures), return_inverse=True)
    sums = np.bincount(rows, weights=np.asarray(values, np.float64))
    sizes = np.bincount(rows).astype(np.float64)
    counts = resample_counts(len(sums), resamples).astype(np.float64)
    means = (sums @ counts) / np.maximum(sizes @ counts, 1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Share(len(values), float(sums.sum() / sizes.sum()), float(low), float(high))
