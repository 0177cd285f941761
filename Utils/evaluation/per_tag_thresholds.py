"""Thresholds of every tag by itself: columns are read in chunks and sorted, so that each is exact.

The best threshold of a tag with few true images is mostly luck. It is shrunk toward the threshold of its
category, on the scale of logits and by how few true images there are:

    w = min(1, positives / enough),   logit(t) = w logit(t of the tag) + (1 - w) logit(t of the category)

so a tag with ``enough`` positives keeps its own threshold to the last bit and one without any has its
category's. ``enough`` is found by two-fold cross-validation (`best_enough`): thresholds chosen on every other
image are judged on the images between them.
"""

import dataclasses

import numpy as np

from Utils.evaluation import average_precision, chunked_matrix, thresholds
from Utils.evaluation.precision_recall_curve import Levels

CHUNK_BYTES = 128 << 20  # of keys and labels at a time
ENOUGH = (0, 2, 3, 5, 8, 12, 20, 40, 80, 160, 320, 640, 1280)  # that cross-validation tries
EDGE = 1e-7  # logits of thresholds at or beyond 0 and 1


@dataclasses.dataclass(frozen=True)
class Column:
    """The predictions of one tag: sorted keys of all images and of those where it is true."""

    keys: np.ndarray  # (N,) rising
    hits: np.ndarray  # (P,) rising
    dtype: np.dtype

    @classmethod
    def of(cls, keys, true, dtype):
        """Make a column of unsorted keys (N,) and labels (N,)."""
        return cls(chunked_matrix.rising(keys), chunked_matrix.rising(keys[true]), np.dtype(dtype))

    def levels(self, depth):
        """Return the `Levels` of the greatest ``depth`` values and those equal to the last of them."""
        size = len(self.keys)
        if depth < size:
            depth = size - int(np.searchsorted(self.keys, self.keys[size - depth], "left"))
        top = self.keys[max(0, size - depth) :]
        starts = np.flatnonzero(np.r_[True, top[1:] != top[:-1]][: len(top)])[::-1]
        distinct = top[starts]
        tp = len(self.hits) - np.searchsorted(self.hits, distinct, "left")
        values = chunked_matrix.from_keys(distinct.astype(np.uint64), self.dtype)
        return Levels(values, tp, len(top) - starts, len(self.hits), size, len(top) == size)

    def choose(self, by):
        """Return the Cut of a rule."""
        cut = thresholds.choose(self.levels(8 * len(self.hits) + 64), by)
        return cut if cut is not None else thresholds.choose(self.levels(len(self.keys)), by)

    def count(self, cuts):
        """Return TP and the number predicted at thresholds: two int64 arrays of their shape."""
        cuts = np.atleast_1d(chunked_matrix.stored(cuts, self.dtype))
        keys = chunked_matrix.keys(cuts)
        return tuple(len(part) - np.searchsorted(part, keys, "right") for part in (self.hits, self.keys))

    def average_precision(self):
        """Return the tag's average precision, NaN where nothing is true."""
        return average_precision.area(
            self.hits, lambda keys: len(self.keys) - np.searchsorted(self.keys, keys, "left")
        )


def columns(probabilities, labels):
    """Yield ``(tag, keys (N,), labels (N,) bool)`` for every tag; valid until the next one is asked for.

    Chunks of columns are read together and transposed. Raises UserError on NaN.
    """
    total, width = probabilities.shape
    dtype = np.dtype(f"u{probabilities.dtype.itemsize}")
    step = max(1, min(width, CHUNK_BYTES // max(1, total * (dtype.itemsize + 1))))
    keys, true = np.empty((step, total), dtype), np.empty((step, total), bool)
    for start in range(0, width, step):
        part, at = slice(start, min(start + step, width)), 0
        for block, label in chunked_matrix.blocks(probabilities, labels):
            rows = slice(at, at + len(block))
            keys[: part.stop - start, rows] = chunked_matrix.keys(block[:, part]).T
            true[: part.stop - start, rows] = (label[:, part] != 0).T
            at = rows.stop
        for place in range(part.stop - start):
            yield start + place, keys[place], true[place]


def average_precisions(probabilities, labels):
    """Return the average precision of every tag: float64 (L,), NaN where nothing is true."""
    found = np.empty(probabilities.shape[1])
    for tag, keys, true in columns(probabilities, labels):
        found[tag] = Column.of(keys, true, probabilities.dtype).average_precision()
    return found


# Shrinking


def shrunk(own, common, positives, enough):
    """Return thresholds between a tag's own and its category's (see the module): all broadcast together."""
    own, common = np.asarray(own, np.float64), np.asarray(common, np.float64)
    weight = np.minimum(1.0, np.asarray(positives) / np.maximum(enough, EDGE))
    logits = weight * _logit(own) + (1 - weight) * _logit(common)
    return np.where(weight == 1, own, np.where(weight == 0, common, 1 / (1 + np.exp(-logits))))


def _logit(share):
    share = np.clip(share, EDGE, 1 - EDGE)
    return np.log(share / (1 - share))


@dataclasses.dataclass(frozen=True)
class Choice:
    """Thresholds of every tag by itself, and what cross-validation said of each of ENOUGH."""

    own: np.ndarray  # (L,) float64
    ties: np.ndarray  # (L,) int64
    positives: np.ndarray  # (L,) int64
    judged: np.ndarray  # (len(ENOUGH),) mean F over the tags, on images that chose nothing
    enough: float

    def thresholds(self, common, dtype):
        """Return the shrunk thresholds as stored; common: (L,) those of the tags' categories."""
        return chunked_matrix.stored(shrunk(self.own, common, self.positives, self.enough), dtype)


def choose(probabilities, labels, by, common, enough=None):
    """Choose a threshold for every tag by itself, and how far to shrink: a `Choice`.

    by: the Rule; common: (L,) thresholds of the tags' categories; enough: given, or None for
    cross-validation, which takes twice the time.
    """
    width = probabilities.shape[1]
    own, ties, positives = np.empty(width), np.empty(width, np.int64), np.empty(width, np.int64)
    sums, judges = np.zeros(len(ENOUGH)), 0
    for tag, keys, true in columns(probabilities, labels):
        cut = Column.of(keys, true, probabilities.dtype).choose(by)
        own[tag], ties[tag], positives[tag] = cut.threshold, cut.ties, np.count_nonzero(true)
        if enough is None:
            for judged in _cross_validated(keys, true, probabilities.dtype, by, common[tag]):
                sums += judged
                judges += 1
    judged = sums / judges if judges else np.full(len(ENOUGH), np.nan)
    if enough is None:  # of equally good ones the one that shrinks most
        enough = ENOUGH[-1 - int(np.argmax(judged[::-1]))] if judges else ENOUGH[-1]
    return Choice(own, ties, positives, judged, enough)


def _cross_validated(keys, true, dtype, by, common):
    """Yield for either half of the images, where something is true, how well each of ENOUGH does there."""
    halves = [Column.of(keys[side::2], true[side::2], dtype) for side in (0, 1)]
    for chosen, judge in (halves, halves[::-1]):
        if len(judge.hits):
            found = len(chosen.hits)
            own = chosen.choose(by).threshold if found else common
            yield _judged(judge, shrunk(own, common, found, np.array(ENOUGH)), by)


def _judged(column, cuts, by):
    """Return how well thresholds keep what a rule promises: F, or minus the error of the precision."""
    tp, predicted = column.count(cuts)
    if by.kind == "precision":
        return -np.abs(np.where(predicted > 0, tp / np.maximum(1, predicted), 1.0) - by.value)
    weight = by.value**2 if by.kind == "max-f" else 1.0
    return (1 + weight) * tp / (weight * len(column.hits) + predicted)
