"""Thresholds: P = R exactly, as a selection over the stored probabilities."""

import dataclasses

import numpy as np

from Utils import blocks
from Utils.commands import UserError

DIGIT = 16  # bits a radix pass resolves
BUCKETS = 1 << DIGIT


@dataclasses.dataclass(frozen=True)
class Cut:
    """A threshold and how it cuts: ``predicted`` values lie above it, ``wanted`` were asked for.

    ``ties`` counts the equal values that would have to be split to predict exactly ``wanted``; 0 where none.
    """

    threshold: np.floating
    predicted: int
    wanted: int
    ties: int


def p_equals_r(probabilities, wanted, columns=None):
    """Return the Cut whose number predicted is as near as it can be to ``wanted``, the number true.

    Precision is TP / predicted and recall TP / true, so they are equal exactly where as many are predicted as
    are true: the threshold is the next smaller stored value after the ``wanted`` largest, a selection. Where
    equal values straddle the cut all of them go to the nearer side, or up (fewer predicted) when both are
    equally near. Exact for every input: a radix selection over the bits of the floats, 16 bits a pass.

    probabilities: (N, L) float16, float32 or float64; wanted: 0 to N * len(columns); columns: None for all.
    Raises UserError on an empty selection, NaN, or another dtype.
    """
    return p_equals_r_of(probabilities, [(wanted, columns)])[0]


def p_equals_r_of(probabilities, selections):
    """Return one Cut for every ``(wanted, columns)``, all of them in the same passes; see `p_equals_r`."""
    dtype, total = probabilities.dtype, probabilities.shape[1]
    if dtype not in (np.float16, np.float32, np.float64):
        raise UserError(f"probabilities must be float16, float32 or float64; got {dtype}")
    searches = []
    for wanted, columns in selections:
        columns = None if columns is None else blocks.as_slice(columns, total)
        width = total if columns is None else len(np.arange(total)[columns])
        searches.append(_Search(dtype, int(wanted), columns, len(probabilities) * width))
    for _ in range(blocks.bits(dtype) // DIGIT):
        for (block,) in blocks.blocks(probabilities):
            keys = blocks.keys(block)
            for search in searches:
                search.add(keys)
        for search in searches:
            search.descend()
    return [search.cut(probabilities) for search in searches]


class _Search:
    """Finds the value with ``wanted`` values before it in falling order, 16 bits a pass from the top."""

    def __init__(self, dtype, wanted, columns, size):
        if size == 0:
            raise UserError("no probabilities to choose a threshold from: no images or no tags are selected")
        if not 0 <= wanted <= size:
            raise UserError(f"0 to {size} predictions can be asked for; got {wanted}")
        self.dtype, self.columns, self.wanted = np.dtype(dtype), columns, wanted
        self.rank = min(wanted + 1, size)  # of the value sought, counted from 1
        self.above = 0  # values known to be greater than everything in the bucket
        self.low, self.high = 0, (1 << blocks.bits(dtype)) - 1  # keys of the bucket's ends, inclusive
        self.shift = blocks.bits(dtype) - DIGIT
        self._start()

    def _start(self):
        self.histogram = np.zeros(BUCKETS, np.int64)
        self.floor = self.low  # rises while values come in: below it no answer can be

    def add(self, keys):
        keys = blocks.take(keys, self.columns).ravel()
        if self.floor > 0:  # soon few are left: positions first is faster than a mask
            inside = (keys - self.floor) <= self.high - self.floor  # below the floor it wraps around
            keys = keys[np.flatnonzero(inside)]
        digits = (keys - self.low) >> self.shift
        self.histogram += np.bincount(digits.astype(np.intp), minlength=BUCKETS)
        self.floor = max(self.floor, self.low + (self._digit() << self.shift))

    def _digit(self):
        """The bucket that holds the sought rank among the values seen so far; 0 where too few were seen."""
        from_top = np.cumsum(self.histogram[::-1])
        place = int(np.searchsorted(from_top, self.rank - self.above))
        return BUCKETS - 1 - place if place < BUCKETS else 0

    def descend(self):
        """Enter the bucket of the sought value."""
        digit = self._digit()
        self.above += int(self.histogram[digit + 1 :].sum())
        self.equal = int(self.histogram[digit])
        self.low += digit << self.shift
        self.high = self.low + (1 << self.shift) - 1
        if self.shift:
            self.shift -= DIGIT
            self._start()

    def cut(self, probabilities):
        value = blocks.from_keys(np.array([self.low], np.uint64), self.dtype)[0]
        below, beyond = self.wanted - self.above, self.above + self.equal - self.wanted
        if below <= beyond:
            return Cut(value, self.above, self.wanted, self.equal if below else 0)
        ties = self.equal if beyond else 0
        value = _next_smaller(probabilities, value, self.columns)
        return Cut(value, self.above + self.equal, self.wanted, ties)


def _next_smaller(probabilities, value, columns):
    """The greatest stored value below ``value``; where there is none, the next float below it."""
    best = -np.inf
    for (block,) in blocks.blocks(probabilities):
        block = blocks.take(block, columns)
        best = max(best, float(np.max(block, where=block < value, initial=-np.inf)))
    return value.dtype.type(best) if best > -np.inf else np.nextafter(value, value.dtype.type(-np.inf))
