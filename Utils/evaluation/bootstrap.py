"""Bootstrap intervals of scores: images are resampled with replacement, a thousand times.

Tags of one image stay together, as they are not independent. The same seed gives the same resamples, so that
two models on the same images are compared in pairs: a hard resample is hard for both.
Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
"""

import dataclasses
from typing import Any

import numpy as np

from Utils.evaluation import chunked_matrix
from Utils.evaluation.chunked_matrix import Matrix

CONFIDENCE = 0.95
MIN_RESAMPLES = 100  # fewer say nothing about an interval of 95%


def resample_counts(images: int, resamples: int = 1000, seed: int = 0) -> np.ndarray:
    """Return how often each image is drawn in each resample: uint8 (images, resamples).

    A count beyond 255 is as likely as a coin that shows heads 1,600 times in a row.
    """
    random = np.random.default_rng(seed)
    counts = np.empty((images, resamples), np.uint8)
    for resample in range(resamples):
        counts[:, resample] = np.bincount(random.integers(0, max(1, images), images), minlength=images)
    return counts


@dataclasses.dataclass(frozen=True)
class SparseColumns:
    """The true cells of a mask (N, L), tag after tag, as in ``scipy.sparse.csc_array``."""

    indices: np.ndarray  # int32 rows; indices[indptr[j]:indptr[j + 1]] are those of tag j
    indptr: np.ndarray  # (L + 1,) int64

    def rows(self, tag: int) -> np.ndarray:
        """Return the rows of one tag."""
        return self.indices[self.indptr[tag] : self.indptr[tag + 1]]


def confusion_columns(probabilities: Matrix, labels: Matrix, threshold: Any) -> tuple[SparseColumns, ...]:
    """Return the true labels, the predicted ones and those that are both (TP), in one pass.

    threshold: one, or one a tag.
    """
    threshold = chunked_matrix.as_stored(threshold, probabilities.dtype)
    cells, start = ([], [], []), 0
    for block, label_block in chunked_matrix.row_blocks(probabilities, labels):
        chunked_matrix.refuse_nan(block)
        above, true = chunked_matrix.is_above(block, threshold), label_block != 0
        for parts, mask in zip(cells, (true, above, above & true), strict=True):
            rows, tags = np.nonzero(mask)
            parts.append((tags << 32) + rows + start)  # one integer, so that they sort by tag and then by row
        start += len(block)
    return tuple(_sparse_columns(parts, probabilities.shape[1]) for parts in cells)


def _sparse_columns(parts: list[np.ndarray], num_labels: int) -> SparseColumns:
    cells = np.sort(np.concatenate([np.empty(0, np.int64), *parts]))
    indptr = np.searchsorted(cells, np.arange(num_labels + 1) << 32)
    return SparseColumns((cells & 0xFFFFFFFF).astype(np.int32), indptr)


def resampled_f1(confusion: tuple[SparseColumns, ...], resamples: np.ndarray) -> np.ndarray:
    """Return micro and macro F1 of every resample: float64 (2, R), NaN where nothing is true.

    Macro F1 is over the tags that are true in the resample.

    Args:
        confusion: true, predicted and TP, from `confusion_columns`.
        resamples: (N, R) from `resample_counts`.
    """
    true, predicted, tp = confusion
    numerators, denominators = (np.zeros((2, resamples.shape[1])) for _ in range(2))  # micro, macro
    for tag in range(len(true.indptr) - 1):
        positives = _sum_of_rows(true.rows(tag), resamples)
        hits = 2.0 * _sum_of_rows(tp.rows(tag), resamples)
        total = positives + _sum_of_rows(predicted.rows(tag), resamples)  # F1 = 2 TP / (true + predicted)
        f1 = np.divide(hits, total, out=np.zeros(len(hits)), where=positives > 0)
        numerators += hits, f1
        denominators += total, positives > 0
    empty = np.full_like(numerators, np.nan)
    return np.divide(numerators, denominators, out=empty, where=denominators[1] > 0)


def _sum_of_rows(rows: np.ndarray, resamples: np.ndarray, step: int = 255) -> np.ndarray:
    """Sum how often these rows are drawn in each resample; 255 counts of at most 255 sum within uint16."""
    total = np.zeros(resamples.shape[1], np.float64)
    for start in range(0, len(rows), step):
        total += np.add.reduce(resamples[rows[start : start + step]], axis=0, dtype=np.uint16)
    return total


def interval(values: Any, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return ``(low, high)``, between which that share of the values lies; NaN if there are no values.

    NaN among the values is left out.
    """
    values = np.asarray(values)[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
