"""Scores of multi-label predictions: confusion counts, then precision, recall, F, MCC and accuracy.

A tag is predicted where ``p > t``, strictly, compared in the dtype in which p is stored. Matrices are
``(N, L)``: N images, L tags; probabilities float16, float32 or float64, labels bool or 0/1. They may be far
larger than memory: every pass reads blocks of rows and forgets them. A score with an empty denominator is NaN
here; who prints it decides what to show.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from Utils.evaluation import chunked_matrix
from Utils.evaluation.chunked_matrix import Matrix

# Counts and the formulas over them


@dataclasses.dataclass(frozen=True)
class Counts:
    """Confusion counts: integers, or int64 arrays ``(L,)`` with one entry a tag."""

    tp: Any
    fp: Any
    fn: Any
    tn: Any

    def select(self, columns: Any) -> "Counts":
        """Return the counts of these tags only."""
        return Counts(*(np.asarray(part)[columns] for part in self._parts()))

    def total(self) -> "Counts":
        """Sum over tags (micro averaging): Python integers, which do not overflow."""
        return Counts(*(int(np.sum(part)) for part in self._parts()))

    def _parts(self) -> tuple[Any, ...]:
        return self.tp, self.fp, self.fn, self.tn  # dataclasses.astuple would copy the arrays

    @property
    def positives(self) -> Any:
        """How many are true (the support): TP + FN."""
        return self.tp + self.fn

    @property
    def predicted(self) -> Any:
        """How many are predicted: TP + FP."""
        return self.tp + self.fp


def _ratio(numerator: Any, denominator: Any) -> Any:
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    empty = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.divide(numerator, denominator, out=empty, where=denominator != 0)[()]


def precision(counts: Counts) -> Any:
    """P = TP / (TP + FP); NaN where nothing is predicted."""
    return _ratio(counts.tp, counts.predicted)


def recall(counts: Counts) -> Any:
    """R = TP / (TP + FN); NaN where nothing is true."""
    return _ratio(counts.tp, counts.positives)


def f_beta(counts: Counts, beta: float = 1.0) -> Any:
    """F = (1 + b²) TP / ((1 + b²) TP + b² FN + FP): recall weighs b times as much as precision.

    NaN where nothing is true and nothing predicted. Van Rijsbergen, Information Retrieval, 1979.
    """
    weight = beta * beta
    numerator = (1 + weight) * counts.tp
    return _ratio(numerator, numerator + weight * counts.fn + counts.fp)


def mcc(counts: Counts) -> Any:
    """Matthews correlation (TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)), -1 to 1.

    NaN where a factor is 0. doi:10.1016/0005-2795(75)90109-9
    """
    factors = counts.predicted, counts.positives, counts.tn + counts.fn, counts.tn + counts.fp
    # The product of the four may exceed an int64, that of their roots stays in range.
    scale = np.prod([np.sqrt(np.asarray(factor, np.float64)) for factor in factors], axis=0)
    ratio = _ratio(counts.tp * counts.tn - counts.fp * counts.fn, scale)
    return np.clip(ratio, -1.0, 1.0)  # the product of rounded roots may be less than the difference


def accuracy(counts: Counts) -> Any:
    """A = (TP + TN) / all."""
    correct = counts.tp + counts.tn
    return _ratio(correct, correct + counts.fp + counts.fn)


def summary(counts: Counts, threshold: Any) -> dict[str, float]:
    """Return the scores that tables show, under their usual short names; micro counts give floats."""
    return {
        "thres": float(threshold),
        "F1": float(f_beta(counts, 1)),
        "F2": float(f_beta(counts, 2)),
        "MCC": float(mcc(counts)),
        "A": float(accuracy(counts)),
        "R": float(recall(counts)),
        "P": float(precision(counts)),
    }


def macro(counts: Counts, score: Callable[[Counts], Any]) -> float:
    """Mean of a score over the tags that are true somewhere.

    An absent tag has no score and is left out, not 0 or 1; one that is never predicted has a precision of 0.
    """
    present = counts.select(np.asarray(counts.positives) > 0)
    return float(np.mean(np.nan_to_num(score(present)))) if np.size(present.tp) else float("nan")


def macro_f1(counts: Counts) -> float:
    """Mean F1 over the tags that are true somewhere."""
    return macro(counts, f_beta)


# One pass each

BUCKETS = 1 << 16  # of `histograms`


def positives(labels: Matrix) -> np.ndarray:
    """Count the true labels of every tag: int64 ``(L,)``."""
    total = np.zeros(labels.shape[1], np.int64)
    for (block,) in chunked_matrix.row_blocks(labels):
        total += chunked_matrix.column_sums(block != 0)
    return total


def rarest_third(counts: np.ndarray) -> np.ndarray:
    """Return the columns of the rarest third of tags, by their counts (L,)."""
    return np.sort(np.argsort(counts, kind="stable")[: len(counts) // 3])


def count(probabilities: Matrix, labels: Matrix, threshold: Any) -> Counts:
    """Count per tag at ``threshold`` (one, or one a tag); returns Counts of int64 ``(L,)``.

    Raises UserError where a probability is NaN or the shapes differ.
    """
    threshold = chunked_matrix.as_stored(threshold, probabilities.dtype)
    rows, columns = probabilities.shape
    tp, predicted, true = (np.zeros(columns, np.int64) for _ in range(3))
    for block, label_block in chunked_matrix.row_blocks(probabilities, labels):
        chunked_matrix.refuse_nan(block)
        above, label = chunked_matrix.is_above(block, threshold), label_block != 0
        predicted += chunked_matrix.column_sums(above)
        true += chunked_matrix.column_sums(label)
        tp += chunked_matrix.column_sums(np.logical_and(above, label, out=above))
    return Counts(tp, predicted - tp, true - tp, rows - predicted - true + tp)


def count_per_image(
    probabilities: Matrix, labels: Matrix, threshold: Any, columns: np.ndarray | None = None
) -> np.ndarray:
    """Count per image over the tags ``columns`` (None: all): int64 ``(N, 3)`` with TP, FP, FN."""
    threshold = chunked_matrix.as_stored(threshold, probabilities.dtype)
    rows = []
    for block, label_block in chunked_matrix.row_blocks(probabilities, labels):
        above = chunked_matrix.is_above(chunked_matrix.select_columns(block, columns), threshold)
        label = chunked_matrix.select_columns(label_block, columns) != 0
        predicted, true = np.count_nonzero(above, axis=1), np.count_nonzero(label, axis=1)
        tp = np.count_nonzero(above & label, axis=1)
        rows.append(np.stack([tp, predicted - tp, true - tp], axis=1))
    return np.concatenate(rows) if rows else np.zeros((0, 3), np.int64)


def histograms(probabilities: Matrix, labels: Matrix, columns: np.ndarray | None = None) -> np.ndarray:
    """Histogram values by their upper 16 bits, false and true labels apart: int64 ``(2, 65536)``.

    The buckets are ordered like the values; `bucket_values` gives their lower edges. Between 0.25 and 0.5 a
    bucket is 0.002 wide: enough for curves (`Utils.evaluation.thresholds` selects exactly).

    Args:
        probabilities: (N, L).
        labels: (N, L).
        columns: None for all.
    """
    table = np.zeros((2, BUCKETS), np.int64)
    shift = chunked_matrix.bit_width(probabilities.dtype) - 16
    for block, label in chunked_matrix.row_blocks(probabilities, labels):
        buckets = chunked_matrix.float_keys(chunked_matrix.select_columns(block, columns)) >> shift
        buckets = buckets.astype(np.intp) + (chunked_matrix.select_columns(label, columns) != 0) * BUCKETS
        table += np.bincount(buckets.ravel(), minlength=2 * BUCKETS).reshape(2, BUCKETS)
    return table


def bucket_values(dtype: Any) -> np.ndarray:
    """Return the lower edge of every bucket of `histograms`: ``(65536,)``; infinite where only NaN lies."""
    shift = chunked_matrix.bit_width(dtype) - 16
    edges = chunked_matrix.keys_to_floats(
        np.arange(BUCKETS, dtype=np.uint64) << np.uint64(shift), np.dtype(dtype)
    )
    beyond = np.where(np.arange(BUCKETS) < BUCKETS // 2, -np.inf, np.inf)
    return np.where(np.isnan(edges), beyond, np.nan_to_num(edges, nan=0.0, posinf=np.inf, neginf=-np.inf))


# Uncertainty


def bootstrap_f1(
    per_image: np.ndarray, resamples: int = 1000, seed: int = 0, confidence: float = 0.95
) -> tuple[Any, Any]:
    """Return the ``(low, high)`` percentile interval of micro F1 over bootstrap resamples of the images.

    Images are resampled with replacement; tags of one image stay together, as they are not independent. The
    threshold stays where the whole set put it. NaN if no resample has an F1. Efron and Tibshirani, An
    Introduction to the Bootstrap, 1993, chapter 13.

    Args:
        per_image: (N, ..., 3) TP, FP, FN from `count_per_image`; axes between give arrays of intervals, all
            from the same resamples.
        resamples: how many.
        seed: of the resamples.
        confidence: share of the resamples that lie in the interval.
    """
    per_image = np.asarray(per_image)
    total, shape = len(per_image), per_image.shape[1:]
    if total == 0:
        return np.full(shape[:-1], np.nan)[()], np.full(shape[:-1], np.nan)[()]
    flat = per_image.reshape(total, -1).astype(np.float64)
    rng = np.random.default_rng(seed)
    draws = (np.bincount(rng.integers(0, total, total), minlength=total) for _ in range(resamples))
    sums = np.stack([weights @ flat for weights in draws]).reshape(resamples, *shape)
    f1 = f_beta(Counts(sums[..., 0], sums[..., 1], sums[..., 2], 0))
    return _quantile(f1, (1 - confidence) / 2), _quantile(f1, (1 + confidence) / 2)


def _quantile(values: np.ndarray, share: float) -> Any:
    """Quantile over the first axis without NaN; NaN, and no warning, where there is nothing else."""
    empty = np.isnan(values).all(axis=0)
    return np.where(empty, np.nan, np.nanquantile(np.where(empty, 0.0, values), share, axis=0))[()]
