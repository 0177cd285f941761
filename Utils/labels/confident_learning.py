"""Confident learning on yes/no labels (arXiv:1911.00068), for many tags at once, streamed.

It finds what `cleanlab.filter.find_label_issues` finds for one tag with its defaults
(``prune_by_noise_rate``, one example kept a class), but for a block of tags in two passes over its rows. For
one tag, with p the probability of the tag and q = 1 - p that of its absence:

- a post is confidently of a class if its probability of it reaches the mean over the posts labeled so
- the confident joint counts posts by label and confident class, scaled to the counts of the labels
- of each label as many posts are doubted as its joint has off the diagonal: those with the largest margin
- of these, the posts whose probability contradicts their label are the issues

With thresholds that a user chose nothing is counted: every post whose probability, shifted so that its tag's
threshold becomes 0.5, contradicts its label is an issue (cleanlab's ``predicted_neq_given``).

Label 0 is the absence of a tag, label 1 its presence, wherever an array or a pair has an axis of labels.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

TOLERANCE = 1e-6  # cleanlab's, in comparisons of probabilities
LOWEST_THRESHOLD = 2e-6  # cleanlab's, for the mean that makes a post confident
NO_SUCH_CLASS = 2.0  # a threshold that no probability reaches
BLOCK = 1 << 20  # values of a matrix that are looked at together

Contradictions = tuple[np.ndarray, np.ndarray]  # rows of one tag and label, rising, and their p


def shift_thresholds_to_half(probabilities: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Shift probabilities on the logit scale so that each tag's threshold becomes 0.5.

    Args:
        probabilities: (N, T) float64; 0 and 1 stay.
        thresholds: (T,) within (0, 1).

    Returns (N, T) float64.
    """
    # sigmoid(logit p - logit t), written without logarithms so that 0 and 1 need no care.
    thresholds = np.clip(thresholds, 1e-6, 1 - 1e-6)
    present = probabilities * (1 - thresholds)
    return present / (present + (1 - probabilities) * thresholds)


def find_label_issues(
    probabilities: np.ndarray,
    labels: np.ndarray,
    columns: Sequence[int] | np.ndarray | None = None,
    thresholds: np.ndarray | None = None,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return ``(missing, wrong)``: for each column the rows that lack the tag, and that have it, wrongly.

    Args:
        probabilities: (N, L), may be a mapped file: it is read in blocks of rows.
        labels: (N, L), anything but 0 is true; may be a mapped file too.
        columns: (T,) the tags to look at, all if None.
        thresholds: (T,) the threshold of each of these tags; None finds issues as cleanlab does.

    Rows are int64, the likeliest to be wrong first. A tag that all posts have, or none, has no issues:
    there is nothing to learn from.
    """
    columns = np.arange(probabilities.shape[1]) if columns is None else np.asarray(columns)
    tags = _Columns(probabilities, labels, columns, thresholds)
    if thresholds is None:
        counts, limits = _confidence_limits(tags)
        joint, contradictions = _confident_joint(tags, limits)
        num_doubted = _num_doubted(joint, counts)
    else:
        counts, contradictions = _all_contradictions(tags)
        num_doubted = np.where(counts.min(axis=0) > 0, counts, 0).astype(np.int64)
    missing, wrong = (
        [
            _issues(tags, place, label, contradictions[label][place], num_doubted[label, place])
            for place in range(len(columns))
        ]
        for label in (0, 1)
    )
    return missing, wrong


@dataclasses.dataclass(frozen=True)
class _Columns:
    """Some columns of a dump, read a block of rows at a time."""

    probabilities: np.ndarray
    labels: np.ndarray
    columns: np.ndarray
    thresholds: np.ndarray | None

    def blocks(self, place: int | None = None) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Yield ``(first row, p (R, T) float64, labels (R, T) bool)``; ``place`` takes one of the columns."""
        columns = self.columns if place is None else self.columns[[place]]
        thresholds = self.thresholds
        if thresholds is not None and place is not None:
            thresholds = thresholds[[place]]
        # Neighboring columns are read as a slice, which copies nothing that is not wanted.
        part = slice(columns[0], columns[-1] + 1) if (np.diff(columns) == 1).all() else columns
        num_rows = max(1, BLOCK // max(1, len(columns)))
        for first in range(0, len(self.probabilities), num_rows):
            p = self.probabilities[first : first + num_rows, part].astype(np.float64)
            if thresholds is not None:
                p = shift_thresholds_to_half(p, thresholds)
            yield first, p, self.labels[first : first + num_rows, part] != 0


def _confidence_limits(tags: _Columns) -> tuple[np.ndarray, np.ndarray]:
    """Return counts (label, T) and the probabilities from which a post is confidently a class (label, T)."""
    counts, sums = np.zeros((2, 2, len(tags.columns)))
    for _, p, labels in tags.blocks():
        num_present = np.count_nonzero(labels, axis=0)
        counts += np.stack([len(labels) - num_present, num_present])
        sums += np.stack([np.sum(1 - p, axis=0, where=~labels), np.sum(p, axis=0, where=labels)])
    means = np.divide(sums, counts, out=np.full(sums.shape, NO_SUCH_CLASS), where=counts > 0)
    return counts, np.maximum(means, LOWEST_THRESHOLD) - TOLERANCE


def _confident_joint(
    tags: _Columns, limits: np.ndarray
) -> tuple[np.ndarray, tuple[list[Contradictions], list[Contradictions]]]:
    """Return the confident joint (label, class, T); for each label and tag, the posts that contradict it."""
    joint = np.zeros((2, 2, len(tags.columns)))
    contradictions = _ContradictionCollector(len(tags.columns))
    for first, p, labels in tags.blocks():
        q = 1 - p
        is_absent, is_present = q >= limits[0], p >= limits[1]
        # A post that is confidently both counts for the likelier class, at equality for absence.
        is_present &= (p > q) | ~is_absent
        is_absent &= ~is_present
        for label, has_label in enumerate((~labels, labels)):
            for of_class, is_class in enumerate((is_absent, is_present)):
                joint[label, of_class] += np.count_nonzero(has_label & is_class, axis=0)
        contradictions.add(first, p, labels)
    for label in (0, 1):
        # At least one on the diagonal: cleanlab's way to keep a class from vanishing.
        joint[label, label] = np.maximum(joint[label, label], 1)
    return joint, contradictions.by_tag()


def _all_contradictions(
    tags: _Columns,
) -> tuple[np.ndarray, tuple[list[Contradictions], list[Contradictions]]]:
    """Return counts (label, T); for each label and tag, the posts that contradict it."""
    num_present = np.zeros(len(tags.columns), np.int64)
    contradictions = _ContradictionCollector(len(tags.columns))
    for first, p, labels in tags.blocks():
        num_present += np.count_nonzero(labels, axis=0)
        contradictions.add(first, p, labels)
    counts = np.stack([len(tags.probabilities) - num_present, num_present])
    return counts, contradictions.by_tag()


class _ContradictionCollector:
    """Posts whose probability contradicts their label, gathered block by block."""

    def __init__(self, num_tags: int) -> None:
        self._num_tags = num_tags
        self._parts: tuple[list, list] = ([], [])  # for each label: (place of the tag, row, p) of a block

    def add(self, first: int, p: np.ndarray, labels: np.ndarray) -> None:
        """Add a block: p (R, T) and labels (R, T) bool of the rows from ``first`` on."""
        # cleanlab adds its tolerance to the label's side; of what is then equal, absence wins.
        q = 1 - p
        for label, contradicts in enumerate((~labels & (p > q + TOLERANCE), labels & (q >= p + TOLERANCE))):
            rows, places = np.nonzero(contradicts)
            self._parts[label].append((places, rows + first, p[rows, places]))

    def by_tag(self) -> tuple[list[Contradictions], list[Contradictions]]:
        """Return for each label one ``(rows, p)`` a tag, rows rising."""
        absent, present = (self._sorted(parts) for parts in self._parts)
        return absent, present

    def _sorted(self, parts: list) -> list[Contradictions]:
        places, rows, p = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(places, kind="stable")
        bounds = np.searchsorted(places[order], np.arange(1, self._num_tags))
        return list(zip(np.split(rows[order], bounds), np.split(p[order], bounds), strict=True))


def _num_doubted(joint: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return how many posts of each label and tag are doubted, (label, T)."""
    joint = joint / joint.sum(axis=1, keepdims=True) * counts[:, None]
    # Added in cleanlab's order: the last bit of the sum decides how halves are rounded.
    total = joint[0, 0] + joint[1, 0] + joint[0, 1] + joint[1, 1]
    joint = _round_rows(joint / total * counts.sum(axis=0))
    diagonal = np.stack([joint[0, 0], joint[1, 1]])
    added = np.maximum(diagonal, 1) - diagonal  # so that one example a class is kept
    num_off_diagonal = np.maximum(np.count_nonzero(joint, axis=1) - 1, 1)
    doubted = np.maximum(np.stack([joint[0, 1], joint[1, 0]]) - added / num_off_diagonal, 0)
    return np.where((counts > 1) & (counts[::-1] > 0), doubted, 0).astype(np.int64)


def _round_rows(joint: np.ndarray) -> np.ndarray:
    """Round (label, class, T) to integers so that the two classes of a label keep their rounded sum."""
    rounded = np.round(joint)
    error = joint - rounded
    excess = np.round(joint.sum(axis=1)) - rounded.sum(axis=1)  # (label, T): -1, 0 or 1
    # The class that was rounded furthest in the wrong direction gets the difference.
    is_present = np.where(excess > 0, error[:, 1] >= error[:, 0], error[:, 1] < error[:, 0])
    rounded[:, 1] += excess * is_present
    rounded[:, 0] += excess * ~is_present
    return rounded


def _issues(
    tags: _Columns, place: int, label: int, contradictions: Contradictions, num_doubted: int
) -> np.ndarray:
    """Return the contradicting posts that are among the ``num_doubted`` posts of the largest margin."""
    rows, p = contradictions
    if num_doubted < len(rows):
        largest = _largest(_margin(p, label), num_doubted)
        if len(largest) != num_doubted:  # ties straddle the end
            largest = np.isin(rows, _as_cleanlab_sorts(tags, place, label, num_doubted))
        rows, p = rows[largest], p[largest]
    order = np.lexsort((rows, -_margin(p, label)))
    return rows[order]


def _margin(p: np.ndarray, label: int) -> np.ndarray:
    """Return the probability of the other class less that of the label."""
    return (1 - p) - p if label else p - (1 - p)


def _largest(margin: np.ndarray, number: int) -> np.ndarray:
    """Return the places of the ``number`` largest margins, and of all that equal the least of them."""
    if number == 0:
        return np.arange(0)
    return np.flatnonzero(margin >= np.partition(margin, len(margin) - number)[len(margin) - number])


def _as_cleanlab_sorts(tags: _Columns, place: int, label: int, number: int) -> np.ndarray:
    """Return the first rows of a label in the order of cleanlab's sort, which decides among ties.

    That sort is not stable and goes over all posts of the label, so it has to be done again to the letter.
    """
    rows, values = [], []
    for first, p, labels in tags.blocks(place):
        of_label = np.flatnonzero(labels[:, 0] == label)
        rows.append(first + of_label)
        values.append(p[of_label, 0])
    rows, p = np.concatenate(rows), np.concatenate(values)
    return rows[np.argsort(-_margin(p, label))[:number]]
