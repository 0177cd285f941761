"""Levels: the stored values of a selection of tags from the top down, and how many are true or not at each.

Every threshold and score that depends on a threshold is a formula over levels. They are collected in one pass
over matrices far larger than memory: of the values, few (those in a range of keys) are kept, and those above
the range are only counted. Equal values are one level, however many there are.
"""

import dataclasses

import numpy as np

from Utils.evaluation import chunked_matrix
from Utils.evaluation.scores import Counts

FLUSH = 1 << 22  # values kept before equal ones are merged


@dataclasses.dataclass(frozen=True)
class Levels:
    """Distinct stored values, falling, with what is predicted when all down to each of them are.

    Where ``whole`` is false smaller values exist that were not kept; ``tp`` and ``predicted`` count greater
    ones that were not kept in any case, ``skipped`` and ``skipped_tp`` are those counts alone.
    """

    values: np.ndarray  # (K,) in the stored dtype
    tp: np.ndarray  # (K,) int64: true among all values from this one up
    predicted: np.ndarray  # (K,) int64: all values from this one up
    positives: int
    size: int
    whole: bool
    skipped: int = 0
    skipped_tp: int = 0

    def threshold(self, index):
        """Return the t that cuts below level ``index``: the next smaller stored value; None if unknown.

        Below the last of all values it is the next float, so that ``p > t`` holds for it too.
        """
        if index + 1 < len(self.values):
            return self.values[index + 1]
        if not self.whole or index < 0:
            return None
        return np.nextafter(self.values[index], self.values.dtype.type(-np.inf))

    def counts(self, threshold):
        """Return the Counts at ``threshold``, which must lie in the range that was kept."""
        above = int(np.searchsorted(-self.values, -threshold, "left"))  # levels greater than it
        tp = int(self.tp[above - 1]) if above else self.skipped_tp
        predicted = int(self.predicted[above - 1]) if above else self.skipped
        return self.counts_of(tp, predicted)

    def counts_of(self, tp, predicted):
        """Return the Counts where so many are predicted and so many of them true."""
        missed = self.positives - tp
        return Counts(tp, predicted - tp, missed, self.size - predicted - missed)


@dataclasses.dataclass(frozen=True)
class Range:
    """Keys that are kept, both ends included."""

    low: int
    high: int


def everything(dtype):
    """Return the range of all keys."""
    return Range(0, (1 << chunked_matrix.bits(dtype)) - 1)


def collect(probabilities, labels, selections, ranges, limit=None):
    """Return Levels of every selection of columns, kept in its range of keys, all in one pass.

    probabilities: (N, L); labels: (N, L), or None where nothing is true; selections: boolean arrays (L,);
    ranges: a `Range` each. Returns None where more than ``limit`` distinct values would have to be kept.
    Raises UserError on NaN.
    """
    dtype = probabilities.dtype
    members = np.stack(selections)
    kinds, atom_of = np.unique(members, axis=1, return_inverse=True)  # columns of the same selections
    atom_of = atom_of.reshape(-1)
    lows, highs = _ranges_of_atoms(kinds, ranges, dtype)
    store = _Store(2 * kinds.shape[1], dtype)
    true = np.zeros(members.shape[1], np.int64)
    for block, label in _pairs(probabilities, labels):
        if label is not None:
            label = label != 0
            true += chunked_matrix.column_sums(label)
        keys, places = _kept(block, lows if len(lows) == 1 else lows[atom_of])
        hit = np.zeros(len(places), bool) if label is None else label.ravel()[places]
        store.add(keys, _groups(hit, places, atom_of, len(lows)), highs)
        if limit is not None and store.distinct > limit:
            return None
    store.flush()
    if limit is not None and store.distinct > limit:
        return None
    return [
        _levels(store, np.flatnonzero(kinds[i]), true[member], kept, len(probabilities), dtype)
        for i, (member, kept) in enumerate(zip(members, ranges, strict=True))
    ]


def _groups(hit, places, atom_of, atoms):
    """Number every value by its atom and whether it is true: twice the atom, plus one where true."""
    if atoms == 1:
        return hit.view(np.uint8)
    return (2 * atom_of[places % len(atom_of)] + hit).astype(np.uint16)


def _pairs(probabilities, labels):
    if labels is None:
        return ((block, None) for (block,) in chunked_matrix.blocks(probabilities))
    return chunked_matrix.blocks(probabilities, labels)


def _ranges_of_atoms(kinds, ranges, dtype):
    """Return the lowest low and the highest high among the selections of each atom, as keys."""
    width = np.dtype(f"u{np.dtype(dtype).itemsize}")
    nothing = (
        int(chunked_matrix.keys(np.array([np.inf], dtype))[0]) + 1
    )  # only NaN, to be refused, lies there
    lows = [
        min((r.low for r, has in zip(ranges, kind, strict=True) if has), default=nothing) for kind in kinds.T
    ]
    highs = [max((r.high for r, has in zip(ranges, kind, strict=True) if has), default=0) for kind in kinds.T]
    return np.array(lows, width), np.array(highs, width)


def _kept(block, lows):
    """Return the keys from ``lows`` (one, or one a column) up, and their places in the flat block."""
    raw = chunked_matrix.raw(block)
    sign = raw.dtype.type(1 << (8 * raw.itemsize - 1))
    # Negative numbers and NaN, seldom seen, are greater as unsigned integers and come along. With a negative
    # floor everything may lie above it.
    places = np.arange(raw.size) if lows.min() < sign else np.flatnonzero(raw >= lows - sign)
    keys = chunked_matrix.keys(raw.ravel()[places].view(block.dtype))
    if len(keys) and keys.min() < max(lows.max(), sign):
        inside = keys >= (lows[0] if len(lows) == 1 else lows[places % len(lows)])
        keys, places = keys[inside], places[inside]
    return keys, places


class _Store:
    """Distinct keys and their numbers, for every group (twice the atom, plus one where true)."""

    def __init__(self, groups, dtype):
        self.width = np.dtype(f"u{np.dtype(dtype).itemsize}")
        self.keys = [np.zeros(0, self.width) for _ in range(groups)]
        self.numbers = [np.zeros(0, np.int64) for _ in range(groups)]
        self.above = np.zeros(groups, np.int64)  # only counted
        self.pending, self.waiting = [], 0

    @property
    def distinct(self):
        return sum(len(keys) for keys in self.keys)

    def add(self, keys, group, highs):
        over = keys > (highs[0] if len(highs) == 1 else highs[group >> 1])
        self.above += np.bincount(group[over], minlength=len(self.above))
        np.logical_not(over, out=over)
        self.pending.append((keys[over], group[over]))
        self.waiting += len(self.pending[-1][0])
        if self.waiting > FLUSH:
            self.flush()

    def flush(self):
        if not self.pending:
            return
        keys = np.concatenate([keys for keys, _ in self.pending])
        group = np.concatenate([group for _, group in self.pending])
        for g in np.flatnonzero(np.bincount(group, minlength=len(self.keys))):
            new = chunked_matrix.rising(keys[group == g])
            ends = _ends(new)
            number = np.diff(ends, prepend=0)
            self.keys[g], self.numbers[g] = _merged([self.keys[g], new[ends - 1]], [self.numbers[g], number])
        self.pending, self.waiting = [], 0


def _ends(rising):
    """Return where runs of equal values end, exclusive."""
    return (
        np.r_[np.flatnonzero(rising[1:] != rising[:-1]) + 1, len(rising)] if len(rising) else np.zeros(0, int)
    )


def _merged(keys, *numbers):
    """Merge rising distinct keys of several lists; numbers (one list of arrays each) are summed."""
    if sum(len(part) > 0 for part in keys) <= 1:
        return (np.concatenate(keys), *(np.concatenate(part) for part in numbers))
    joined = np.concatenate(keys)
    order = np.argsort(joined, kind="stable")
    joined = joined[order]
    starts = np.r_[0, _ends(joined)[:-1]]
    return (joined[starts], *(np.add.reduceat(np.concatenate(part)[order], starts) for part in numbers))


def _levels(store, atoms, true, kept, rows, dtype):
    groups = [2 * atom + is_true for atom in atoms for is_true in (0, 1)]
    keys = [store.keys[g] for g in groups]
    every = [store.numbers[g] for g in groups]
    hits = [number if g % 2 else np.zeros_like(number) for g, number in zip(groups, every, strict=True)]
    none = np.zeros(0, np.int64)
    keys, every, hits = _merged([none.astype(store.width), *keys], [none, *every], [none, *hits])
    low, high = (store.width.type(end) for end in (kept.low, kept.high))  # else compared as floats
    first, last = np.searchsorted(keys, low, "left"), np.searchsorted(keys, high, "right")
    skipped = int(every[last:].sum()) + int(store.above[groups].sum())
    skipped_tp = int(hits[last:].sum()) + int(store.above[[g for g in groups if g % 2]].sum())
    predicted = skipped + np.cumsum(every[first:last][::-1])
    tp = skipped_tp + np.cumsum(hits[first:last][::-1])
    size = rows * len(true)
    seen = int(predicted[-1]) if len(predicted) else skipped
    values = chunked_matrix.from_keys(keys[first:last][::-1].astype(np.uint64), dtype)
    return Levels(values, tp, predicted, int(true.sum()), size, seen == size, skipped, skipped_tp)
