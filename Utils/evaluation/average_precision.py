"""Average precision over all pairs of image and tag (micro): exact, streamed from disk.

AP = sum over thresholds of (R of this - R of the one before) P of this, equal values at one threshold: the
area under the steps of precision over recall, as in scikit-learn's ``average_precision_score``.
`Utils.evaluation.per_tag_thresholds` has it for every tag.
"""

from collections.abc import Callable

import numpy as np

from Utils.evaluation import chunked_matrix
from Utils.evaluation.chunked_matrix import Matrix

SORTED = 1 << 23  # values sorted at a time


def from_keys(positive_keys: np.ndarray, count_at_least: Callable[[np.ndarray], np.ndarray]) -> float:
    """Return the average precision, given the rising keys of the true labels; NaN without any.

    Recall only changes at true values, so precision is needed at these alone.

    Args:
        positive_keys: (P,) from `Utils.evaluation.chunked_matrix.float_keys`, rising.
        count_at_least: says of distinct rising keys how many of all values are as great or greater.
    """
    if not len(positive_keys):
        return float("nan")
    first = np.flatnonzero(np.r_[True, positive_keys[1:] != positive_keys[:-1]])
    tp = len(positive_keys) - first
    gained = tp - np.r_[tp[1:], 0]
    return float(np.sum(gained * (tp / count_at_least(positive_keys[first]))) / len(positive_keys))


def average_precision(probabilities: Matrix, labels: Matrix, columns: np.ndarray | None = None) -> float:
    """Return the average precision of all pairs of image and tag together (micro), in two passes.

    Memory holds the probabilities of the true labels. Raises UserError on NaN.

    Args:
        probabilities: (N, L).
        labels: (N, L).
        columns: of the selection, None for all.
    """
    parts = [np.zeros(0, chunked_matrix.key_dtype(probabilities.dtype))]
    for block, label in chunked_matrix.row_blocks(probabilities, labels):
        true = chunked_matrix.select_columns(label, columns) != 0
        parts.append(chunked_matrix.float_keys(chunked_matrix.select_columns(block, columns)[true]))
    positive_keys = chunked_matrix.sort_keys(np.concatenate(parts))
    return from_keys(positive_keys, lambda keys: _count_at_least(keys, probabilities, columns))


def _count_at_least(keys: np.ndarray, probabilities: Matrix, columns: np.ndarray | None) -> np.ndarray:
    """Count the values as great as each key or greater; keys are distinct and rise."""
    total, waiting = np.zeros(len(keys), np.int64), []
    for (block,) in chunked_matrix.row_blocks(probabilities):
        values = chunked_matrix.float_keys(chunked_matrix.select_columns(block, columns)).ravel()
        waiting.append(values[values >= keys[0]])
        if sum(map(len, waiting)) >= SORTED:
            total += _count_sorted(keys, waiting)
            waiting = []
    return total + _count_sorted(keys, waiting) if waiting else total


def _count_sorted(keys: np.ndarray, parts: list[np.ndarray]) -> np.ndarray:
    values = chunked_matrix.sort_keys(np.concatenate(parts))
    return len(values) - np.searchsorted(values, keys, "left")
