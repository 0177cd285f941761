"""How sure a score is: images drawn anew, with replacement, a thousand times.

Tags of one image stay together, as they are not independent. The same seed gives the same resamples, so that
two models on the same images are compared in pairs: what is hard in a resample is hard for both.
Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
"""

import dataclasses

import numpy as np

from Utils.evaluation import chunked_matrix

LEVEL = 0.95


def weights(images, resamples=1000, seed=0):
    """Return how often each image is drawn in each resample: uint8 (images, resamples).

    A count beyond 255 is as likely as a coin that shows heads 1,600 times in a row.
    """
    random = np.random.default_rng(seed)
    drawn = np.empty((images, resamples), np.uint8)
    for resample in range(resamples):
        drawn[:, resample] = np.bincount(random.integers(0, max(1, images), images), minlength=images)
    return drawn


@dataclasses.dataclass(frozen=True)
class Marks:
    """Where something holds in a matrix (N, L), tag after tag: rows[starts[j]:starts[j + 1]] are tag j's."""

    rows: np.ndarray  # int32
    starts: np.ndarray  # (L + 1,) int64

    def of(self, tag):
        """Return the rows of one tag."""
        return self.rows[self.starts[tag] : self.starts[tag + 1]]


def confusion_marks(probabilities, labels, threshold):
    """Return `Marks` of the true labels, of what is predicted, and of what is both, in one pass."""
    threshold = chunked_matrix.stored(threshold, probabilities.dtype)
    found, start = ([], [], []), 0
    for block, label_block in chunked_matrix.blocks(probabilities, labels):
        chunked_matrix.require_numbers(block)
        above, true = chunked_matrix.is_above(block, threshold), label_block != 0
        for part, mask in zip(found, (true, above, above & true), strict=True):
            rows, tags = np.nonzero(mask)
            part.append((tags << 32) + rows + start)
        start += len(block)
    return tuple(_sorted_marks(parts, probabilities.shape[1]) for parts in found)


def _sorted_marks(parts, num_labels):
    pairs = np.sort(np.concatenate([np.empty(0, np.int64), *parts]))
    starts = np.searchsorted(pairs, np.arange(num_labels + 1) << 32)
    return Marks((pairs & 0xFFFFFFFF).astype(np.int32), starts)


def resampled_f1(marks, drawn):
    """Return micro and macro F1 of every resample: float64 (2, resamples), NaN where nothing is true.

    Args:
        marks: true labels, predicted and hit, from `confusion_marks`.
        drawn: (N, resamples) from `weights`.

    Macro F1 is over the tags that are true in the resample.
    """
    true, predicted, hit = marks
    micro, macro, present = (np.zeros((n, drawn.shape[1])) for n in (2, 1, 1))
    for tag in range(len(true.starts) - 1):
        labels, hits = _drawn(true.of(tag), drawn), 2.0 * _drawn(hit.of(tag), drawn)
        both = labels + _drawn(predicted.of(tag), drawn)
        micro += hits, both
        macro += np.divide(hits, both, out=np.zeros(len(hits)), where=labels > 0)
        present += labels > 0
    sums = np.stack([micro[0], macro[0]]), np.stack([micro[1], present[0]])
    empty = np.full_like(sums[0], np.nan)
    return np.divide(sums[0], sums[1], out=empty, where=present > 0)


def _drawn(rows, drawn, step=255):
    """How often the rows were drawn in every resample; 255 counts of at most 255 sum within uint16."""
    total = np.zeros(drawn.shape[1], np.float64)
    for at in range(0, len(rows), step):
        total += np.add.reduce(drawn[rows[at : at + step]], axis=0, dtype=np.uint16)
    return total


def interval(values, level=LEVEL):
    """Return ``(low, high)``, between which the share ``level`` of the values lies; NaN where none is."""
    values = np.asarray(values)[~np.isnan(values)]
    if not len(values):
        return float("nan"), float("nan")
    return tuple(np.quantile(values, [(1 - level) / 2, (1 + level) / 2]).tolist())
