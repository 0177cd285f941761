"""Precision-recall curves: TP and number predicted at each of the highest probabilities of selected tags.

Every threshold, and every score that depends on one, is a formula over such a curve. `collect` makes the
curves of many selections in one pass over matrices far larger than memory, and keeps only what it is asked
for: the ``depth`` highest values of each. Equal values are one point, however many there are.
"""

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from Utils.evaluation import chunked_matrix
from Utils.evaluation.chunked_matrix import Matrix
from Utils.evaluation.scores import Counts

MERGE_AT = 1 << 22  # values collected before equal ones are merged and those too low are dropped


@dataclasses.dataclass(frozen=True)
class PrecisionRecallCurve:
    """Distinct stored values in falling order; point i predicts every value at or above ``values[i]``.

    Where ``complete`` is false, smaller values exist that were not kept. All greater ones are here.
    """

    values: np.ndarray  # (K,) in the stored dtype
    tp: np.ndarray  # (K,) int64
    predicted: np.ndarray  # (K,) int64: TP + FP
    positives: int  # support: how many are true in the whole selection
    size: int  # values of the whole selection
    complete: bool

    def threshold(self, index: int) -> np.floating | None:
        """Return the t with which ``p > t`` predicts point ``index``: the next smaller stored value.

        Below the least of all values it is the next smaller float. None where the next value was not kept.
        """
        if index + 1 < len(self.values):
            return self.values[index + 1]
        if not self.complete or index < 0:
            return None
        return np.nextafter(self.values[index], self.values.dtype.type(-np.inf))

    def counts_at(self, threshold: np.floating) -> Counts:
        """Return the Counts of ``p > threshold``, which must not lie below the values that were kept."""
        # Negated, because searchsorted needs rising values; "left" leaves values equal to the threshold out.
        index = int(np.searchsorted(-self.values, -threshold, "left")) - 1
        return self.counts(index)

    def counts(self, index: int) -> Counts:
        """Return the Counts of point ``index``; -1 predicts nothing."""
        tp, predicted = (0, 0) if index < 0 else (int(self.tp[index]), int(self.predicted[index]))
        missed = self.positives - tp
        return Counts(tp, predicted - tp, missed, self.size - predicted - missed)


def collect(
    probabilities: Matrix,
    labels: Matrix | None,
    support: np.ndarray,
    selections: Sequence[np.ndarray],
    depths: Sequence[int | None],
    floors: Sequence[int] | None = None,
) -> list[PrecisionRecallCurve]:
    """Return the curve of every selection of columns, all in one pass.

    A curve holds the ``depth`` highest values, those equal to the last of them, and one value below. Memory
    holds as many, merged where equal. Raises UserError on NaN.

    Args:
        probabilities: (N, L).
        labels: (N, L); None where nothing is true.
        support: (L,) how often each tag is true.
        selections: boolean arrays (L,).
        depths: of every selection; None for a part of another selection, which reaches as deep as that.
        floors: keys below which values are not kept at all, one for each selection. A curve that is shorter
            than its depth and not complete says that its floor was too high.
    """
    rows = len(probabilities)
    store = _TopValues(np.stack(selections), depths, floors or [0] * len(depths), probabilities.dtype)
    for block, label in _blocks(probabilities, labels):
        keys, places = _from_floors_up(block, store.column_floors())
        true = np.zeros(len(places), bool) if label is None else label.ravel()[places] != 0
        store.add(keys, true, places)
    store.merge()
    return [
        store.curve(number, int(support[mask].sum()), rows * int(mask.sum()))
        for number, mask in enumerate(selections)
    ]


def _blocks(probabilities: Matrix, labels: Matrix | None) -> Iterator[tuple[np.ndarray, np.ndarray | None]]:
    if labels is None:
        return ((block, None) for (block,) in chunked_matrix.row_blocks(probabilities))
    return ((block, label) for block, label in chunked_matrix.row_blocks(probabilities, labels))


def _from_floors_up(block: np.ndarray, floors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the keys at or above ``floors`` (1,) or (L,), and their places in the flat block."""
    raw = chunked_matrix.raw_bits(block)
    sign = raw.dtype.type(1 << (chunked_matrix.bit_width(raw.dtype) - 1))
    # One comparison of raw bits discards most values. Negative numbers and NaN, both rare, compare as greater
    # unsigned integers, so they pass here and are sorted out below. Above a negative floor anything may lie.
    places = np.arange(raw.size) if floors.min() < sign else np.flatnonzero(raw >= floors - sign)
    keys = chunked_matrix.float_keys(raw.ravel()[places].view(block.dtype))
    if len(keys) and keys.min() < max(floors.max(), sign):
        inside = keys >= (floors[0] if len(floors) == 1 else floors[places % len(floors)])
        keys, places = keys[inside], places[inside]
    return keys, places


class _TopValues:
    """The highest values of every selection, merged where equal.

    Columns that belong to the same selections form one group, so that a value of several selections is kept
    once. A group keeps what the deepest of its selections needs.
    """

    def __init__(
        self, selections: np.ndarray, depths: Sequence[int | None], floors: Sequence[int], dtype: np.dtype
    ):
        members, group_of = np.unique(selections, axis=1, return_inverse=True)
        self.members = members  # (selections, groups)
        self.group_of = group_of.reshape(-1)  # (L,)
        self.depths, self.floors, self.dtype = depths, list(floors), dtype
        self.width = chunked_matrix.key_dtype(dtype)
        # Columns of no selection get a floor above infinity: only their NaN passes, and raises an error.
        self.nothing = int(chunked_matrix.float_keys(np.array([np.inf], dtype))[0]) + 1
        self.keys = [np.zeros(0, self.width) for _ in members.T]  # rising and distinct
        self.predicted = [np.zeros(0, np.int64) for _ in members.T]  # equal values a key
        self.tp = [np.zeros(0, np.int64) for _ in members.T]
        self.waiting, self.waiting_values = [], 0
        self._set_group_floors()

    def _set_group_floors(self) -> None:
        floors = [
            min((floor for floor, depth, has in zip(self.floors, self.depths, member, strict=True)
                 if has and depth is not None), default=self.nothing)
            for member in self.members.T
        ]  # fmt: skip
        self.group_floors = np.array(floors, self.width)

    def column_floors(self) -> np.ndarray:
        """Return the least key that is kept: (1,) where all columns have one, else (L,)."""
        return self.group_floors if len(self.group_floors) == 1 else self.group_floors[self.group_of]

    def add(self, keys: np.ndarray, true: np.ndarray, places: np.ndarray) -> None:
        """Add keys, whether they are true, and their places in a flat block of rows."""
        one_group = len(self.keys) == 1
        group = [] if one_group else self.group_of[places % len(self.group_of)]
        self.waiting.append((keys, true, group))
        self.waiting_values += len(keys)
        if self.waiting_values > MERGE_AT:
            self.merge()

    def merge(self) -> None:
        """Merge equal values, and drop those that the depths no longer need."""
        if not self.waiting:
            return
        keys, true, group = map(np.concatenate, zip(*self.waiting, strict=True))
        self.waiting, self.waiting_values = [], 0
        for g in range(len(self.keys)):
            in_group = slice(None) if len(self.keys) == 1 else group == g
            self._merge_group(g, chunked_matrix.sort_keys(keys[in_group]), keys[in_group][true[in_group]])
        self._raise_floors()

    def _merge_group(self, group: int, rising: np.ndarray, hits: np.ndarray) -> None:
        ends = _run_ends(rising)
        distinct = rising[ends - 1]
        hits_until = np.searchsorted(chunked_matrix.sort_keys(hits), distinct, "right")
        self.keys[group], self.predicted[group], self.tp[group] = _merged(
            [self.keys[group], distinct],
            [self.predicted[group], np.diff(ends, prepend=0)],
            [self.tp[group], np.diff(hits_until, prepend=0)],
        )

    def _raise_floors(self) -> None:
        """Drop values below the depths: the ``depth`` highest so far only rise, so these are never needed."""
        for number, depth in enumerate(self.depths):
            if depth is not None:
                keys, predicted, _ = self._joined(number)
                enough = int(np.searchsorted(np.cumsum(predicted[::-1]), depth))  # points above the last
                # One point more than the depth is kept: its value is the threshold of the point above it.
                if enough + 2 <= len(keys):
                    self.floors[number] = max(self.floors[number], int(keys[-enough - 2]))
        self._set_group_floors()
        for group, floor in enumerate(self.group_floors):
            first = int(np.searchsorted(self.keys[group], floor))
            for arrays in (self.keys, self.predicted, self.tp):
                arrays[group] = arrays[group][first:]

    def _joined(self, number: int) -> tuple[np.ndarray, ...]:
        groups = np.flatnonzero(self.members[number])
        none = np.zeros(0, np.int64)
        return _merged(
            [none.astype(self.width), *(self.keys[group] for group in groups)],
            [none, *(self.predicted[group] for group in groups)],
            [none, *(self.tp[group] for group in groups)],
        )

    def curve(self, number: int, positives: int, size: int) -> PrecisionRecallCurve:
        """Return the curve of a selection, down to where all of its groups were kept."""
        keys, predicted, tp = self._joined(number)
        floors = self.group_floors[self.members[number]]
        # Below the highest floor of its groups the curve would lack some group's values.
        first = int(np.searchsorted(keys, floors.max(initial=0)))
        predicted, tp = (np.cumsum(part[first:][::-1]) for part in (predicted, tp))
        values = chunked_matrix.keys_to_floats(keys[first:][::-1].astype(np.uint64), self.dtype)
        total = int(predicted[-1]) if len(predicted) else 0
        return PrecisionRecallCurve(values, tp, predicted, positives, size, total == size)


def _run_ends(rising: np.ndarray) -> np.ndarray:
    """Return where runs of equal values end, exclusive."""
    if not len(rising):
        return np.zeros(0, np.int64)
    return np.append(np.flatnonzero(rising[1:] != rising[:-1]) + 1, len(rising))


def _merged(keys: list[np.ndarray], *numbers: list[np.ndarray]) -> tuple[np.ndarray, ...]:
    """Merge lists of rising, distinct keys; the ``numbers`` of equal keys are summed."""
    if sum(len(part) > 0 for part in keys) <= 1:
        return (np.concatenate(keys), *(np.concatenate(part) for part in numbers))
    joined = np.concatenate(keys)
    order = np.argsort(joined, kind="stable")
    joined = joined[order]
    starts = np.append(0, _run_ends(joined)[:-1])
    return (joined[starts], *(np.add.reduceat(np.concatenate(part)[order], starts) for part in numbers))
