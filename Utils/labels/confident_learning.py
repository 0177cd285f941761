"""Confident learning on yes/no labels (arXiv:1911.00068), for many tags at once, streamed.

What `cleanlab.filter.find_label_issues` finds for one tag with its defaults (``prune_by_noise_rate``, one
example kept a class), found for a block of tags in two passes over its rows. For one tag, with p the
probability of the tag and q = 1 - p that of its absence:

- a post is confidently a class where its probability reaches the mean that the posts labeled so have
- the confident joint counts posts by label and confident class, scaled to the counts of the labels
- of each label as many posts are doubted as its joint has off the diagonal: those with the largest margin
- of these, the posts whose probability speaks against their label are the findings

At operating points, which a user chose, nothing is counted: every post whose probability, shifted so that its
tag's threshold is 0.5, speaks against its label is a finding (cleanlab's ``predicted_neq_given``).
"""

import dataclasses

import numpy as np

TOLERANCE = 1e-6  # cleanlab's, in comparisons of probabilities
LOWEST_THRESHOLD = 2e-6  # cleanlab's, for the mean that makes a post confident
NO_SUCH_CLASS = 2.0  # a threshold that no probability reaches
BLOCK = 1 << 20  # values of a matrix that are looked at together


def shift_thresholds_to_half(probabilities, thresholds):
    """Shift probabilities on the logit scale so that each tag's threshold becomes 0.5.

    probabilities (N, T) float64, thresholds (T,) within (0, 1); returns (N, T) float64. 0 and 1 stay.
    """
    thresholds = np.clip(thresholds, 1e-6, 1 - 1e-6)
    present = probabilities * (1 - thresholds)
    return present / (present + (1 - probabilities) * thresholds)


def find_label_issues(probabilities, labels, columns=None, thresholds=None):
    """Return ``(missing, wrong)``: for each column the rows that lack the tag, and that have it, wrongly.

    probabilities (N, L) and labels (N, L), anything but 0 is true, may be mapped files: they are read in
    blocks of rows. columns: which tags (all); thresholds (T,): their operating points. Rows are int64, the
    likeliest to be wrong first. A tag that all posts have, or none, has no findings: there is nothing to
    learn from.
    """
    columns = np.arange(probabilities.shape[1]) if columns is None else np.asarray(columns)
    tags = _Columns(probabilities, labels, columns, thresholds)
    if thresholds is None:
        counts, limits = _limits(tags)
        joint, against = _count(tags, limits)
        doubted = _doubted(joint, counts)
    else:
        counts, against = _all_against(tags)
        doubted = np.where(counts.min(axis=0) > 0, counts, 0).astype(np.int64)
    return tuple(
        [_finding(tags, at, label, against[label][at], doubted[label, at]) for at in range(len(columns))]
        for label in (0, 1)
    )


@dataclasses.dataclass(frozen=True)
class _Columns:
    """Some columns of a dump, read a block of rows at a time."""

    probabilities: np.ndarray
    labels: np.ndarray
    columns: np.ndarray
    thresholds: np.ndarray | None

    def blocks(self, at=None):
        """Yield ``(first row, p (R, T) float64, labels (R, T) bool)``; ``at`` takes one of the columns."""
        chosen = self.columns if at is None else self.columns[[at]]
        thresholds = self.thresholds if at is None or self.thresholds is None else self.thresholds[[at]]
        chosen = slice(chosen[0], chosen[-1] + 1) if (np.diff(chosen) == 1).all() else chosen
        rows = max(1, BLOCK // max(1, len(self.columns) if at is None else 1))
        for first in range(0, len(self.probabilities), rows):
            p = self.probabilities[first : first + rows, chosen].astype(np.float64)
            if thresholds is not None:
                p = shift_thresholds_to_half(p, thresholds)
            yield first, p, self.labels[first : first + rows, chosen] != 0


def _limits(tags):
    """Return counts (label, T) and the probabilities from which a post is confidently a class (label, T)."""
    counts, sums = np.zeros((2, 2, len(tags.columns)))
    for _, p, labels in tags.blocks():
        true = np.count_nonzero(labels, axis=0)
        counts += np.stack([len(labels) - true, true])
        sums += np.stack([np.sum(1 - p, axis=0, where=~labels), np.sum(p, axis=0, where=labels)])
    means = np.divide(sums, counts, out=np.full(sums.shape, NO_SUCH_CLASS), where=counts > 0)
    return counts, np.maximum(means, LOWEST_THRESHOLD) - TOLERANCE


def _count(tags, limits):
    """Return the confident joint (label, class, T); for each label and tag, the posts that contradict it."""
    joint = np.zeros((2, 2, len(tags.columns)))
    found = [[], []]  # for each label: (tag, row, p) of a block
    for first, p, labels in tags.blocks():
        q = 1 - p
        absent, present = q >= limits[0], p >= limits[1]
        present &= (p > q) | ~absent
        absent &= ~present
        for label, of in enumerate((~labels, labels)):
            joint[label] += [np.count_nonzero(of & to, axis=0) for to in (absent, present)]
        _add_against(found, first, p, labels)
    for label in (0, 1):
        joint[label, label] = np.maximum(joint[label, label], 1)
    return joint, [_by_tag(parts, len(tags.columns)) for parts in found]


def _all_against(tags):
    """Return counts (label, T); for each label and tag, the posts that contradict it."""
    true = np.zeros(len(tags.columns), np.int64)
    found = [[], []]
    for first, p, labels in tags.blocks():
        true += np.count_nonzero(labels, axis=0)
        _add_against(found, first, p, labels)
    counts = np.stack([len(tags.probabilities) - true, true])
    return counts, [_by_tag(parts, len(tags.columns)) for parts in found]


def _add_against(found, first, p, labels):
    """Add ``(tag, row, p)`` of a block's posts that contradict their label, to the list of each label."""
    # cleanlab adds its tolerance to the label's side; of what is then equal, absence wins.
    absent = 1 - p
    for label, against in enumerate((~labels & (p > absent + TOLERANCE), labels & (absent >= p + TOLERANCE))):
        rows, at = np.nonzero(against)
        found[label].append((at, rows + first, p[rows, at]))


def _by_tag(parts, num_tags):
    """Sort ``(tag, row, p)`` of all blocks into one ``(rows, p)`` for each tag, rows rising."""
    at, rows, p = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(at, kind="stable")
    bounds = np.searchsorted(at[order], np.arange(1, num_tags))
    return list(zip(np.split(rows[order], bounds), np.split(p[order], bounds), strict=True))


def _doubted(joint, counts):
    """Return how many posts of each label and tag are doubted, (label, T)."""
    joint = joint / joint.sum(axis=1, keepdims=True) * counts[:, None]
    total = joint[0, 0] + joint[1, 0] + joint[0, 1] + joint[1, 1]  # in cleanlab's order: halves decide
    joint = _round_rows(joint / total * counts.sum(axis=0))
    diagonal = np.stack([joint[0, 0], joint[1, 1]])
    added = np.maximum(diagonal, 1) - diagonal
    others = np.maximum(np.count_nonzero(joint, axis=1) - 1, 1)
    doubted = np.maximum(np.stack([joint[0, 1], joint[1, 0]]) - added / others, 0)
    return np.where((counts > 1) & (counts[::-1] > 0), doubted, 0).astype(np.int64)


def _round_rows(joint):
    """Round (label, class, T) to integers so that the two classes of a label keep their rounded sum."""
    rounded = np.round(joint)
    error = joint - rounded
    excess = np.round(joint.sum(axis=1)) - rounded.sum(axis=1)  # (label, T): -1, 0 or 1
    present = np.where(excess > 0, error[:, 1] >= error[:, 0], error[:, 1] < error[:, 0])
    rounded[:, 1] += excess * present
    rounded[:, 0] += excess * ~present
    return rounded


def _finding(tags, at, label, against, number):
    """Return the ``number`` posts of the largest margin among those that contradict their label."""
    rows, p = against
    if number < len(rows):
        chosen = _largest(_margin(p, label), number)
        if len(chosen) != number:  # ties straddle the end
            chosen = np.isin(rows, _as_cleanlab_sorts(tags, at, label, number))
        rows, p = rows[chosen], p[chosen]
    order = np.lexsort((rows, -_margin(p, label)))
    return rows[order]


def _margin(p, label):
    return (1 - p) - p if label else p - (1 - p)


def _largest(margin, number):
    """Return the places of the ``number`` largest margins, and of all that equal the least of them."""
    if number == 0:
        return np.arange(0)
    return np.flatnonzero(margin >= np.partition(margin, len(margin) - number)[len(margin) - number])


def _as_cleanlab_sorts(tags, at, label, number):
    """Return the first rows of a label in the order that cleanlab's sort gives, which decides among ties."""
    rows, values = [], []
    for first, p, labels in tags.blocks(at):
        chosen = np.flatnonzero(labels[:, 0] == label)
        rows.append(first + chosen)
        values.append(p[chosen, 0])
    rows, p = np.concatenate(rows), np.concatenate(values)
    return rows[np.argsort(-_margin(p, label))[:number]]
