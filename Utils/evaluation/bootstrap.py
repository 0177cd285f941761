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
MIN_RESAMPLES = 20  # of which an interval of 95% leaves one out; fewer have no such interval


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


def confusion_columns(
    probabilities: Matrix, labels: Matrix, threshold: Any, columns: np.ndarray | None = None
) -> tuple[SparseColumns, ...]:
    """Return the true labels, the predicted ones and those that are both (TP), in one pass.

    Args:
        probabilities: (N, L).
        labels: (N, L).
        threshold: one, or one a tag.
        columns: of the tags that are looked at, all by default.
    """
    columns = np.arange(probabilities.shape[1]) if columns is None else columns
    threshold = chunked_matrix.as_stored(threshold, probabilities.dtype)
    cells, start = ([], [], []), 0
    for block, label_block in chunked_matrix.row_blocks(probabilities, labels):
        chunked_matrix.refuse_nan(block)
        above, true = chunked_matrix.is_above(block, threshold), label_block != 0
        for parts, mask in zip(cells, (true, above, above & true), strict=True):
            rows, tags = np.nonzero(mask[:, columns])
            parts.append((tags << 32) + rows + start)  # one integer, so that they sort by tag and then by row
        start += len(block)
    return tuple(_sparse_columns(parts, len(columns)) for parts in cells)


def _sparse_columns(parts: list[np.ndarray], num_labels: int) -> SparseColumns:
    cells = np.sort(np.concatenate([np.empty(0, np.int64), *parts]))
    indptr = np.searchsorted(cells, np.arange(num_labels + 1) << 32)
    return SparseColumns((cells & 0xFFFFFFFF).astype(np.int32), indptr)


def resampled_f1(confusion: tuple[SparseColumns, ...], resamples: np.ndarray) -> np.ndarray:
    """Return the micro F1 of every resample: float64 (R,), NaN where nothing is true.

    Macro F1 is not resampled, as a resample is too unlike the images for rare tags; see `jackknife`.

    Args:
        confusion: true, predicted and TP, from `confusion_columns`.
        resamples: (N, R) from `resample_counts`.
    """
    positives, predicted_cells, hits = (_cells_by_image(cells, len(resamples)) for cells in confusion)
    per_image = np.stack([2.0 * hits, positives + predicted_cells, positives], axis=1)
    numerator, denominator, positive = _weighted_sums(per_image, resamples)
    # F1 = 2 TP / (true + predicted)
    return np.divide(numerator, denominator, out=np.full_like(numerator, np.nan), where=positive > 0)


def _cells_by_image(cells: SparseColumns, num_images: int) -> np.ndarray:
    return np.bincount(cells.indices, minlength=num_images)


def _weighted_sums(per_image: np.ndarray, resamples: np.ndarray, step: int = 4096) -> np.ndarray:
    """Return (K, R) sums of (N, K) numbers of images over each resample, an image as often as drawn."""
    sums = np.zeros((per_image.shape[1], resamples.shape[1]))
    for start in range(0, len(per_image), step):
        rows = slice(start, start + step)
        sums += per_image[rows].T @ resamples[rows].astype(np.float64)
    return sums


def interval(values: Any, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Return ``(low, high)``, between which that share of the values lies; NaN if there are no values.

    NaN among the values is left out.
    """
    values = np.asarray(values)[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)
