"""Average precision: how well predictions are ranked, over all thresholds; exact, streamed.

AP = sum over thresholds of (R of this - R of the one before) P of this, equal values at one threshold: the
area under the steps of precision over recall, as scikit-learn has it.
`Utils.evaluation.per_tag_thresholds` has it for every tag.
"""

import numpy as np

from Utils.evaluation import chunked_matrix

SORTED = 1 << 23  # values sorted at a time


def area(hits, at_least):
    """Return the average precision of the rising keys of what is true; NaN where nothing is.

    at_least: says of distinct rising keys how many of all values are as great or greater.
    """
    if not len(hits):
        return float("nan")
    first = np.flatnonzero(np.r_[True, hits[1:] != hits[:-1]])
    tp = len(hits) - first
    gained = tp - np.r_[tp[1:], 0]
    return float(np.sum(gained * (tp / at_least(hits[first]))) / len(hits))


def average_precision(probabilities, labels, columns=None):
    """Return the average precision of all pairs of image and tag together (micro), in two passes.

    columns: of the selection, None for all. Memory holds the true values. Raises UserError on NaN.
    """
    found = [np.zeros(0, f"u{probabilities.dtype.itemsize}")]
    for block, label in chunked_matrix.blocks(probabilities, labels):
        found.append(
            chunked_matrix.keys(chunked_matrix.take(block, columns)[chunked_matrix.take(label, columns) != 0])
        )
    return area(
        chunked_matrix.rising(np.concatenate(found)), lambda keys: _at_least(keys, probabilities, columns)
    )


def _at_least(keys, probabilities, columns):
    """Count the values as great as each key or greater; keys are distinct and rise."""
    total, waiting = np.zeros(len(keys), np.int64), []
    for (block,) in chunked_matrix.blocks(probabilities):
        part = chunked_matrix.keys(chunked_matrix.take(block, columns)).ravel()
        waiting.append(part[part >= keys[0]])
        if sum(map(len, waiting)) >= SORTED:
            total += _count(keys, waiting)
            waiting = []
    return total + _count(keys, waiting) if waiting else total


def _count(keys, parts):
    values = chunked_matrix.rising(np.concatenate(parts))
    return len(values) - np.searchsorted(values, keys, "left")
