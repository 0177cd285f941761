"""Exact thresholds of single tags (columns are read in chunks and sorted), shrunk towards their category's.

The best threshold of a tag with few true images is mostly luck. It is shrunk toward the threshold of its
category, on the scale of logits and by how few true images there are:

    w = min(1, positives / enough),   logit(t) = w logit(t of the tag) + (1 - w) logit(t of the category)

so a tag with ``enough`` positives keeps its own threshold to the last bit and one without any has its
category's. ``enough`` is found by two-fold cross-validation (ENOUGH are its candidates): thresholds chosen on
every other image are scored on the images between them.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from Utils.evaluation import average_precision, chunked_matrix, thresholds
from Utils.evaluation.chunked_matrix import Matrix
from Utils.evaluation.logits import SMALLEST, logit, sigmoid
from Utils.evaluation.precision_recall_curve import PrecisionRecallCurve
from Utils.evaluation.thresholds import OperatingPoint, Rule

CHUNK_BYTES = 128 << 20  # of keys and labels at a time
ENOUGH = (0, 2, 3, 5, 8, 12, 20, 40, 80, 160, 320, 640, 1280)  # that cross-validation tries


@dataclasses.dataclass(frozen=True)
class TagPredictions:
    """The predictions of one tag: sorted keys of all images and of those where it is true."""

    keys: np.ndarray  # (N,) rising
    positive_keys: np.ndarray  # (P,) rising
    dtype: np.dtype

    @classmethod
    def from_keys(cls, keys: np.ndarray, labels: np.ndarray, dtype: Any) -> "TagPredictions":
        """Return the predictions from unsorted keys (N,) and boolean labels (N,)."""
        return cls(chunked_matrix.sort_keys(keys), chunked_matrix.sort_keys(keys[labels]), np.dtype(dtype))

    def curve(self, depth: int) -> PrecisionRecallCurve:
        """Return the curve over the greatest ``depth`` values and those equal to the last of them."""
        size = len(self.keys)
        if depth < size:
            depth = size - int(np.searchsorted(self.keys, self.keys[size - depth], "left"))
        top = self.keys[max(0, size - depth) :]
        is_start = np.ones(len(top), bool)
        np.not_equal(top[1:], top[:-1], out=is_start[1:])
        starts = np.flatnonzero(is_start)[::-1]
        distinct = top[starts]
        tp = len(self.positive_keys) - np.searchsorted(self.positive_keys, distinct, "left")
        values = chunked_matrix.keys_to_floats(distinct.astype(np.uint64), self.dtype)
        complete = len(top) == size
        return PrecisionRecallCurve(values, tp, len(top) - starts, len(self.positive_keys), size, complete)

    def select_point(self, rule: Rule) -> OperatingPoint:
        """Return the OperatingPoint of a rule."""
        point = thresholds.select_point(self.curve(8 * len(self.positive_keys) + 64), rule)
        point = point or thresholds.select_point(self.curve(len(self.keys)), rule)
        if point is None:
            raise ValueError("a tag without images has no threshold")
        return point

    def tp_and_predicted(self, cutoffs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return TP and the number predicted at thresholds: two int64 arrays of their shape."""
        cutoffs = np.atleast_1d(chunked_matrix.as_stored(cutoffs, self.dtype))
        keys = chunked_matrix.float_keys(cutoffs)
        tp = len(self.positive_keys) - np.searchsorted(self.positive_keys, keys, "right")
        return tp, len(self.keys) - np.searchsorted(self.keys, keys, "right")

    def average_precision(self) -> float:
        """Return the tag's average precision, NaN where nothing is true."""
        return average_precision.from_keys(
            self.positive_keys, lambda keys: len(self.keys) - np.searchsorted(self.keys, keys, "left")
        )


def iterate_tags(probabilities: Matrix, labels: Matrix) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield ``(tag, keys (N,), labels (N,) bool)`` for every tag; valid until the next one is asked for.

    A file has rows of images, so that one column alone would read all of it. Chunks of columns are read
    together and transposed. Raises UserError on NaN.
    """
    total, width = probabilities.shape
    dtype = chunked_matrix.key_dtype(probabilities.dtype)
    step = max(1, min(width, CHUNK_BYTES // max(1, total * (dtype.itemsize + 1))))
    keys, true = np.empty((step, total), dtype), np.empty((step, total), bool)
    for start in range(0, width, step):
        columns, row = slice(start, min(start + step, width)), 0
        count = columns.stop - start
        for block, label in chunked_matrix.row_blocks(probabilities, labels):
            rows = slice(row, row + len(block))
            keys[:count, rows] = chunked_matrix.float_keys(block[:, columns]).T
            true[:count, rows] = (label[:, columns] != 0).T
            row = rows.stop
        for place in range(count):
            yield start + place, keys[place], true[place]


def average_precisions(probabilities: Matrix, labels: Matrix) -> np.ndarray:
    """Return the average precision of every tag: float64 (L,), NaN where nothing is true."""
    precisions = np.empty(probabilities.shape[1])
    for tag, keys, true in iterate_tags(probabilities, labels):
        precisions[tag] = TagPredictions.from_keys(keys, true, probabilities.dtype).average_precision()
    return precisions


# Shrinking


def shrink(tag_threshold: Any, category_threshold: Any, positives: Any, enough: Any) -> np.ndarray:
    """Return thresholds between a tag's own and its category's (see the module): all broadcast together."""
    of_tag = np.asarray(tag_threshold, np.float64)
    of_category = np.asarray(category_threshold, np.float64)
    weight = np.minimum(1.0, np.asarray(positives) / np.maximum(enough, SMALLEST))
    logits = weight * logit(of_tag) + (1 - weight) * logit(of_category)
    # Both ends are taken as they are: through the logit and back they would lose their last bit.
    return np.where(weight == 1, of_tag, np.where(weight == 0, of_category, sigmoid(logits)))


@dataclasses.dataclass(frozen=True)
class TagThresholds:
    """Thresholds of every tag by itself, and the cross-validation that says how far to shrink them."""

    unshrunk: np.ndarray  # (L,) float64
    ties: np.ndarray  # (L,) int64
    positives: np.ndarray  # (L,) int64
    held_out_scores: np.ndarray  # (len(ENOUGH),) mean over the tags, on the images that chose nothing
    enough: float

    def shrunk(self, category_thresholds: np.ndarray, dtype: Any) -> np.ndarray:
        """Return the shrunk thresholds in the dtype of the probabilities; category_thresholds: (L,)."""
        shrunk = shrink(self.unshrunk, category_thresholds, self.positives, self.enough)
        return chunked_matrix.as_stored(shrunk, dtype)


def choose(
    probabilities: Matrix,
    labels: Matrix,
    rule: Rule,
    category_thresholds: np.ndarray,
    enough: float | None = None,
) -> TagThresholds:
    """Choose a threshold for every tag by itself, and how far to shrink it.

    Args:
        probabilities: (N, L).
        labels: (N, L).
        rule: what the thresholds maximize or equalize.
        category_thresholds: (L,) of the tags' categories.
        enough: None finds it by cross-validation, which takes twice the time.
    """
    width = probabilities.shape[1]
    unshrunk, ties, positives = np.empty(width), np.empty(width, np.int64), np.empty(width, np.int64)
    fold_scores = []
    for tag, keys, true in iterate_tags(probabilities, labels):
        positives[tag] = np.count_nonzero(true)
        if not positives[tag] and not rule.target(0):  # most tags of a long list: nothing is predicted
            greatest = keys.max(keepdims=True).astype(np.uint64)
            unshrunk[tag], ties[tag] = chunked_matrix.keys_to_floats(greatest, probabilities.dtype)[0], 0
            continue
        point = TagPredictions.from_keys(keys, true, probabilities.dtype).select_point(rule)
        unshrunk[tag], ties[tag] = point.threshold, point.ties
        if enough is None:
            fold_scores += _cross_validate(keys, true, probabilities.dtype, rule, category_thresholds[tag])
    mean = (
        sum(fold_scores, np.zeros(len(ENOUGH))) / len(fold_scores)
        if fold_scores
        else np.full(len(ENOUGH), np.nan)
    )
    if enough is None:  # of equally good ones the one that shrinks most
        enough = ENOUGH[-1 - int(np.argmax(mean[::-1]))] if fold_scores else ENOUGH[-1]
    return TagThresholds(unshrunk, ties, positives, mean, enough)


def _cross_validate(
    keys: np.ndarray, true: np.ndarray, dtype: Any, rule: Rule, category_threshold: float
) -> Iterator[np.ndarray]:
    """Yield the scores (len(ENOUGH),) of either half of the images, where it has anything true."""
    halves = [TagPredictions.from_keys(keys[first::2], true[first::2], dtype) for first in (0, 1)]
    for chooser, held_out in (halves, halves[::-1]):
        if len(held_out.positive_keys):
            positives = len(chooser.positive_keys)
            unshrunk = chooser.select_point(rule).threshold if positives else category_threshold
            cutoffs = shrink(unshrunk, category_threshold, positives, np.array(ENOUGH))
            yield _held_out_score(held_out, cutoffs, rule)


def _held_out_score(held_out: TagPredictions, cutoffs: np.ndarray, rule: Rule) -> np.ndarray:
    """Return how well thresholds do by their rule on other images: F, or minus the error of the precision."""
    tp, predicted = held_out.tp_and_predicted(cutoffs)
    if rule.kind == "precision":
        return -np.abs(np.where(predicted > 0, tp / np.maximum(1, predicted), 1.0) - rule.floor)
    weight = rule.beta**2
    return (1 + weight) * tp / (weight * len(held_out.positive_keys) + predicted)
