"""Scores of multi-label predictions: counts first, every score and threshold is a formula over them.

A tag is predicted where ``p > t``, strictly, compared in the dtype in which p is stored. Matrices are
``(N, L)``: N images, L tags; probabilities float16, float32 or float64, labels bool or 0/1. They may be far
larger than memory: every pass reads blocks of rows and forgets them. A score with an empty denominator is NaN
here; who prints decides what to show.
"""

import dataclasses

import numpy as np

from Utils.evaluation import chunked_matrix

# Counts and the formulas over them


@dataclasses.dataclass(frozen=True)
class Counts:
    """Confusion counts: integers, or int64 arrays ``(L,)`` with one entry a tag."""

    tp: np.ndarray
    fp: np.ndarray
    fn: np.ndarray
    tn: np.ndarray

    def select(self, columns):
        """Return the counts of these tags only."""
        return Counts(*(np.asarray(part)[columns] for part in dataclasses.astuple(self)))

    def total(self):
        """Sum over tags (micro averaging): Python integers, which do not overflow."""
        return Counts(*(int(np.sum(part)) for part in dataclasses.astuple(self)))

    @property
    def positives(self):
        """How many are true: TP + FN."""
        return self.tp + self.fn

    @property
    def predicted(self):
        """How many are predicted: TP + FP."""
        return self.tp + self.fp


def _ratio(numerator, denominator):
    numerator, denominator = np.asarray(numerator, np.float64), np.asarray(denominator, np.float64)
    empty = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.divide(numerator, denominator, out=empty, where=denominator != 0)[()]


def precision(counts):
    """P = TP / (TP + FP); NaN where nothing is predicted."""
    return _ratio(counts.tp, counts.predicted)


def recall(counts):
    """R = TP / (TP + FN); NaN where nothing is true."""
    return _ratio(counts.tp, counts.positives)


def f_beta(counts, beta=1.0):
    """F = (1 + b²) TP / ((1 + b²) TP + b² FN + FP): recall weighs b times as much as precision.

    NaN where nothing is true and nothing predicted. Van Rijsbergen, Information Retrieval, 1979.
    """
    weight = beta * beta
    hit = (1 + weight) * counts.tp
    return _ratio(hit, hit + weight * counts.fn + counts.fp)


def mcc(counts):
    """Matthews correlation (TP TN - FP FN) / sqrt((TP+FP)(TP+FN)(TN+FP)(TN+FN)), -1 to 1.

    NaN where a factor is 0. doi:10.1016/0005-2795(75)90109-9
    """
    wrong, absent = counts.tn + counts.fn, counts.tn + counts.fp
    roots = (np.sqrt(np.asarray(part, np.float64)) for part in (counts.predicted, counts.positives, wrong))
    scale = np.prod([*roots, np.sqrt(np.asarray(absent, np.float64))], axis=0)
    return _ratio(counts.tp * counts.tn - counts.fp * counts.fn, scale)


def accuracy(counts):
    """A = (TP + TN) / all."""
    right = counts.tp + counts.tn
    return _ratio(right, right + counts.fp + counts.fn)


def summary(counts, threshold):
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


def macro(counts, score):
    """Mean of a score over the tags that are true somewhere.

    An absent tag has no score and is left out, not 0 or 1; one that is never predicted has a precision of 0.
    """
    present = counts.select(np.asarray(counts.positives) > 0)
    return float(np.mean(np.nan_to_num(score(present)))) if np.size(present.tp) else float("nan")


def macro_f1(counts):
    """Mean F1 over the tags that are true somewhere."""
    return macro(counts, f_beta)


BUCKETS = 1 << 16  # of `histograms`


# One pass each


def positives(labels):
    """Count the true labels of every tag: int64 ``(L,)``."""
    total = np.zeros(labels.shape[1], np.int64)
    for (block,) in chunked_matrix.blocks(labels):
        total += chunked_matrix.column_sums(block != 0)
    return total


def count(probabilities, labels, threshold):
    """Count per tag at ``threshold`` (one, or one a tag); returns Counts of int64 ``(L,)``.

    Raises UserError where a probability is NaN or the shapes differ.
    """
    threshold = chunked_matrix.stored(threshold, probabilities.dtype)
    rows, columns = probabilities.shape
    tp, predicted, true = (np.zeros(columns, np.int64) for _ in range(3))
    for block, label_block in chunked_matrix.blocks(probabilities, labels):
        chunked_matrix.require_numbers(block)
        above, label = chunked_matrix.is_above(block, threshold), label_block != 0
        predicted += chunked_matrix.column_sums(above)
        true += chunked_matrix.column_sums(label)
        tp += chunked_matrix.column_sums(np.logical_and(above, label, out=above))
    return Counts(tp, predicted - tp, true - tp, rows - predicted - true + tp)


def count_per_image(probabilities, labels, threshold, columns=None):
    """Count per image over the tags ``columns``: int64 ``(N, 3)`` with TP, FP, FN."""
    threshold = chunked_matrix.stored(threshold, probabilities.dtype)
    rows = []
    for block, label_block in chunked_matrix.blocks(probabilities, labels):
        above = chunked_matrix.is_above(chunked_matrix.take(block, columns), threshold)
        label = chunked_matrix.take(label_block, columns) != 0
        predicted, true = np.count_nonzero(above, axis=1), np.count_nonzero(label, axis=1)
        hit = np.count_nonzero(above & label, axis=1)
        rows.append(np.stack([hit, predicted - hit, true - hit], axis=1))
    return np.concatenate(rows) if rows else np.zeros((0, 3), np.int64)


def histograms(probabilities, labels, columns=None):
    """Histogram values by their upper 16 bits, false and true labels apart: int64 ``(2, 65536)``.

    Without labels (None) nothing is true.

    The buckets are ordered like the values; `bucket_values` gives their lower edges. Between 0.25 and 0.5 a
    bucket is 0.002 wide: enough for curves (a threshold needs `Utils.evaluation.thresholds`, which is exact).
    """
    table = np.zeros((2, BUCKETS), np.int64)
    matrices = (probabilities,) if labels is None else (probabilities, labels)
    for block, *label_block in chunked_matrix.blocks(*matrices):
        keys = chunked_matrix.keys(chunked_matrix.take(block, columns)) >> (
            chunked_matrix.bits(block.dtype) - 16
        )
        keys = keys.astype(np.intp)
        for label in label_block:
            keys += (chunked_matrix.take(label, columns) != 0) * BUCKETS
        table += np.bincount(keys.ravel(), minlength=2 * BUCKETS).reshape(2, BUCKETS)
    return table


def bucket_values(dtype):
    """Return the lower edge of every bucket of `histograms`: ``(65536,)``; past the numbers infinite."""
    shift = chunked_matrix.bits(dtype) - 16
    edges = chunked_matrix.from_keys(np.arange(BUCKETS, dtype=np.uint64) << np.uint64(shift), np.dtype(dtype))
    beyond = np.where(np.arange(BUCKETS) < BUCKETS // 2, -np.inf, np.inf)
    return np.where(np.isnan(edges), beyond, np.nan_to_num(edges, nan=0.0, posinf=np.inf, neginf=-np.inf))


# Uncertainty


def bootstrap_f1(per_image, resamples=1000, seed=0, level=0.95):
    """Return the ``(low, high)`` percentile interval of micro F1 when images are drawn anew.

    Images are resampled with replacement; tags of one image stay together, as they are not independent. The
    threshold stays where the whole set put it. per_image: (N, ..., 3) TP, FP, FN from `count_per_image`; axes
    between give arrays of intervals, from the same resamples. NaN where no resample has an F1.
    Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    per_image = np.asarray(per_image)
    total, shape = len(per_image), per_image.shape[1:]
    if total == 0:
        return np.full(shape[:-1], np.nan)[()], np.full(shape[:-1], np.nan)[()]
    flat = per_image.reshape(total, -1).astype(np.float64)
    rng = np.random.default_rng(seed)
    draws = (np.bincount(rng.integers(0, total, total), minlength=total) for _ in range(resamples))
    sums = np.stack([weights @ flat for weights in draws]).reshape(resamples, *shape)
    found = f_beta(Counts(sums[..., 0], sums[..., 1], sums[..., 2], 0))
    return tuple(_quantile(found, (1 + side * level) / 2) for side in (-1, 1))


def _quantile(values, share):
    """Quantile over the first axis without NaN; NaN where nothing is left (and no warning about it)."""
    empty = np.isnan(values).all(axis=0)
    return np.where(empty, np.nan, np.nanquantile(np.where(empty, 0.0, values), share, axis=0))[()]
