"""Thresholds of a dump, exact for every input: P = R, the best F, the most recall at some precision.

A rule chooses among the stored values, on levels (`Utils.evaluation.precision_recall_curve`) that one pass
collects: a sample of images
says between which values the answer must lie, the pass keeps what lies there and counts what lies above, and
the levels prove that nothing outside can be the answer. Where a sample misled, which ties and adversaries
bring about, a histogram of all values says it exactly and a second pass collects. So it always ends.
"""

import dataclasses
import math

import numpy as np

from Utils.command.cli import UserError
from Utils.evaluation import chunked_matrix, precision_recall_curve, scores
from Utils.evaluation.precision_recall_curve import Range

SAMPLE = 1 << 20  # values of the sample: 190 images of 5,500 tags
MOST_ROWS = 1 << 14  # each is read by itself
LIMIT = 1 << 23  # distinct values kept on the word of a sample
DEVIATIONS = 6.0  # of the sample's sum, on both sides
BUCKETS = 1 << 16


@dataclasses.dataclass(frozen=True)
class Cut:
    """A threshold and how it cuts: ``predicted`` values lie above it, ``tp`` of them true.

    ``ties`` counts, where P = R, the equal values that would have to be split to predict exactly ``wanted``;
    for another rule the other cuts that are exactly as good. 0 where the choice is unique.
    """

    threshold: np.floating
    tp: int
    predicted: int
    wanted: int  # the number true, or that was asked for
    ties: int


@dataclasses.dataclass(frozen=True)
class Rule:
    """How a threshold is chosen: ``kind`` is "p-equals-r", "max-f" (value: beta) or "precision" (its floor).

    For p-equals-r a value is the number to predict in place of the number true.
    """

    kind: str
    value: float | None = None


P_EQUALS_R = Rule("p-equals-r")
NAMES = "p-equals-r, max-f1, max-f2, max-f0.5 or any other max-fBETA, precision=0.75 or any other floor"


def rule(text):
    """Return the Rule of a name as the command line has it. Raises UserError for any other."""
    kind, _, number = text.partition("=") if text.startswith("precision") else ("max-f", "", text[5:])
    if text == "p-equals-r":
        return P_EQUALS_R
    try:
        value = float(number)
    except ValueError:
        value = math.nan
    if kind == "precision" and 0 < value <= 1:
        return Rule("precision", value)
    if text.startswith("max-f") and 0 < value < math.inf:
        return Rule("max-f", value)
    raise UserError(f"a rule is {NAMES} (floors above 0 up to 1); got {text!r}")


# Rules over levels


def choose(found, by, proven=False):
    """Return the Cut of a Rule over `Levels`; None where values that were not kept may decide it.

    ``proven`` says that the answer is known to lie within the levels.
    """
    if by.kind == "p-equals-r":
        return _p_equals_r(found, found.positives if by.value is None else int(by.value))
    if found.positives == 0 or not len(found.values):
        return _nothing(found)
    return (_max_f if by.kind == "max-f" else _precision)(found, by.value, proven or found.whole)


def _p_equals_r(found, wanted):
    beyond = int(np.searchsorted(found.predicted, wanted, "right"))  # the first level that is too much
    few = int(found.predicted[beyond - 1]) if beyond else found.skipped
    if few > wanted or (beyond == len(found.values) and not found.whole):
        return None
    if beyond == len(found.values):  # all of it is asked for
        return _cut(found, beyond - 1, wanted, 0)
    many = int(found.predicted[beyond])
    ties = many - few if few < wanted else 0
    return _cut(found, beyond - 1 if wanted - few <= many - wanted else beyond, wanted, ties)


def _cut(found, index, wanted, ties):
    """Return the Cut below level ``index`` (-1: above the first); None where its threshold is not known."""
    if index < 0:
        if not len(found.values):
            return None
        return Cut(found.values[0], found.skipped_tp, found.skipped, wanted, ties)
    threshold = found.threshold(index)
    if threshold is None:
        return None
    return Cut(threshold, int(found.tp[index]), int(found.predicted[index]), wanted, ties)


def _nothing(found):
    """Predict nothing: the threshold is the greatest value; None where it was not kept."""
    if found.skipped or not len(found.values):
        return None
    return Cut(found.values[0], 0, 0, found.positives, 0)


def _max_f(found, beta, proven):
    weight = beta * beta
    score = (1 + weight) * found.tp / (weight * found.positives + found.predicted)
    best = int(np.argmax(score))  # of equally good ones the one that predicts fewest
    ties = int(np.count_nonzero(score == score[best])) - 1
    least = (
        weight * found.positives + found.predicted[-1] + 1
    )  # below, at the best all others are found at once
    if not proven and (1 + weight) * found.positives / least >= score[best]:
        return None
    return _cut(found, best, found.positives, ties)


def _precision(found, floor, proven):
    if not proven and found.positives / (found.predicted[-1] + 1) >= floor:
        return None
    enough = np.flatnonzero((found.tp / found.predicted >= floor) & (found.tp > 0))
    if not len(enough):
        return _nothing(found)
    best = int(enough[np.argmax(found.tp[enough])])  # most recall, then fewest predicted
    return _cut(found, best, found.positives, 0)


# One pass over a dump


@dataclasses.dataclass(frozen=True)
class Ask:
    """A threshold that is wanted: of these columns (None: all), by this rule; counts of ``parts`` come along.

    columns and every part: indices or a mask; a part lies within the columns.
    """

    columns: np.ndarray | None = None
    rule: Rule = P_EQUALS_R
    parts: tuple = ()


@dataclasses.dataclass(frozen=True)
class Found:
    """A cut with the Counts of the whole selection and of its parts there."""

    cut: Cut
    counts: scores.Counts
    parts: tuple


def find(probabilities, labels, asks):
    """Return one `Found` for every `Ask`, all from the same pass; exact for every input.

    probabilities: (N, L) float16, float32 or float64; labels: (N, L), or None where rules say how many to
    predict. Raises UserError on an empty selection, NaN, or another dtype.
    """
    width = _checked(probabilities)
    masks = [_mask(ask.columns, width) for ask in asks]
    for ask, mask in zip(asks, masks, strict=True):
        _check_ask(ask, int(mask.sum()) * len(probabilities))
    ranges = _sampled_ranges(probabilities, labels, asks, masks)
    selections, kept, of = [], [], []
    for number, ask in enumerate(asks):
        for part in (masks[number], *(_mask(part, width) for part in ask.parts)):
            selections.append(part)
            kept.append(ranges[number])
            of.append(number)
    collected = precision_recall_curve.collect(probabilities, labels, selections, kept, LIMIT)
    found = []
    for number, ask in enumerate(asks):
        own = [collected[i] for i in range(len(of)) if of[i] == number] if collected else []
        cut = choose(own[0], ask.rule) if own else None
        if cut is None:
            found.append(_found_by_histogram(probabilities, labels, ask, masks[number]))
            continue
        parts = tuple(part.counts(cut.threshold) for part in own[1:])
        found.append(Found(cut, own[0].counts_of(cut.tp, cut.predicted), parts))
    return found


def _checked(probabilities):
    if probabilities.dtype not in (np.float16, np.float32, np.float64):
        raise UserError(f"probabilities must be float16, float32 or float64; got {probabilities.dtype}")
    if probabilities.ndim != 2:
        raise UserError(f"probabilities must have the shape (images, tags); got {probabilities.shape}")
    return probabilities.shape[1]


def _mask(columns, width):
    mask = np.zeros(width, bool)
    columns = np.arange(width) if columns is None else np.asarray(columns)
    mask[columns if columns.dtype == bool else columns.astype(np.intp)] = True
    return mask


def _check_ask(ask, size):
    if size == 0:
        raise UserError("no probabilities to choose a threshold from: no images or no tags are selected")
    if ask.rule.kind == "p-equals-r" and ask.rule.value is not None and not 0 <= ask.rule.value <= size:
        raise UserError(f"0 to {size} predictions can be asked for; got {ask.rule.value}")


def _sampled_ranges(probabilities, labels, asks, masks):
    """Return for every ask the range of keys in which its answer lies, as a sample of images says."""
    total, width = probabilities.shape
    rows = min(max(16, SAMPLE // width), MOST_ROWS)
    if total <= 2 * rows:
        return [precision_recall_curve.everything(probabilities.dtype)] * len(asks)
    places = np.linspace(0, total - 1, rows).astype(np.intp)
    keys = chunked_matrix.keys(chunked_matrix.rows(probabilities, places))
    true = None if labels is None else chunked_matrix.rows(labels, places) != 0
    return [
        _sampled_range(keys[:, mask], None if true is None else true[:, mask], ask.rule, rows / total)
        for ask, mask in zip(asks, masks, strict=True)
    ]


def _sampled_range(keys, true, by, share):
    """Return the range around the answer in the sample: keys (n, C), its labels, its share of the images."""
    falling = chunked_matrix.rising(keys)[::-1]
    wanted = by.value * share if by.value is not None and by.kind == "p-equals-r" else np.count_nonzero(true)
    reach = wanted if by.kind == "p-equals-r" else _reach(falling, keys[true], by)
    at = falling[min(int(reach), len(falling) - 1)]
    spread = np.count_nonzero(keys >= at, axis=1).astype(np.float64)
    if true is not None and wanted:
        spread -= np.count_nonzero(true, axis=1) * (reach / wanted)
    margin = DEVIATIONS * (np.sqrt(len(keys)) * spread.std() + 1) + 16
    low = _next_smaller(falling, int(reach + margin))
    last = (1 << chunked_matrix.bits(keys.dtype)) - 1
    bounded = by.kind == "p-equals-r" and reach - margin > 0
    return Range(low, int(falling[int(reach - margin)]) if bounded else last)


def _next_smaller(falling, place):
    """Return the key below the one at ``place``, where a cut there would be; 0 where there is none.

    Where very many are equal the key itself: their number would cost more than a second pass.
    """
    if place >= len(falling):
        return 0
    rising = falling[::-1]
    below = int(np.searchsorted(rising, falling[place], "left"))  # how many are smaller
    if below == 0:
        return 0
    equal = below - int(np.searchsorted(rising, rising[below - 1], "left"))
    return int(falling[place] if equal > len(falling) // 4 else rising[below - 1])


def _reach(falling, hits, by):
    """Return how many of the sample's values, from the top, `_max_f` or `_precision` may need."""
    positives = len(hits)
    if positives == 0:
        return 0
    if by.kind == "precision":
        return 1.1 * positives / by.value
    hits = chunked_matrix.rising(hits)[::-1]
    predicted = len(falling) - np.searchsorted(falling[::-1], hits, "left")
    weight = by.value**2
    best = np.max((1 + weight) * np.arange(1, positives + 1) / (weight * positives + predicted))
    return 1.1 * positives * ((1 + weight) / best - weight)


# The exact way round


def _found_by_histogram(probabilities, labels, ask, mask):
    """Return the Found of an ask in two passes: which buckets can hold the answer, then what they hold."""
    tables = scores.histograms(probabilities, labels, np.flatnonzero(mask))  # (2, 65536)
    wanted = tables[1].sum() if ask.rule.value is None or ask.rule.kind != "p-equals-r" else ask.rule.value
    low, high = _buckets(tables[:, ::-1], ask.rule, int(wanted))
    shift = chunked_matrix.bits(probabilities.dtype) - 16
    kept = Range(low << shift, ((high + 1) << shift) - 1)
    own, *parts = precision_recall_curve.collect(
        probabilities,
        labels,
        [mask, *(_mask(part, len(mask)) for part in ask.parts)],
        [kept] * (1 + len(ask.parts)),
    )
    cut = choose(own, ask.rule, proven=True)
    counts = tuple(part.counts(cut.threshold) for part in parts)
    return Found(cut, own.counts_of(cut.tp, cut.predicted), counts)


def _buckets(falling, by, wanted):
    """Return the lowest and the highest bucket that can hold the answer and the value below it.

    falling: (2, 65536) false and true values a bucket, the greatest values first.
    """
    tp, predicted = np.cumsum(falling[1]), np.cumsum(falling.sum(axis=0))
    filled = np.flatnonzero(falling.sum(axis=0))
    before = np.r_[0, predicted[:-1]]  # predicted above the bucket
    if by.kind == "p-equals-r":
        can = predicted[filled] > wanted
        first = last = filled[np.argmax(can)] if can.any() else filled[-1]
    elif by.kind == "max-f":
        weight, positives = by.value**2, max(1, tp[-1])
        reached = (1 + weight) * tp / (weight * positives + predicted)
        most = (1 + weight) * tp / (weight * positives + before + falling[1])  # the true ones first
        can = filled[most[filled] >= reached.max()]
        first, last = can[0], can[-1]
    else:
        hit = filled[tp[filled] > 0]
        can = hit[(tp / np.maximum(1, before + falling[1]))[hit] >= by.value]
        sure = hit[(tp / np.maximum(1, predicted))[hit] >= by.value]
        first = filled[np.argmax(tp[filled] == tp[sure[-1]])] if len(sure) else filled[0]
        last = max(first, can[-1]) if len(can) else first
    last = next(iter(filled[filled > last]), filled[-1])
    return BUCKETS - 1 - int(last), BUCKETS - 1 - int(first)


# P = R alone


def p_equals_r(probabilities, wanted, columns=None):
    """Return the Cut whose number predicted is as near as it can be to ``wanted``, the number true.

    Precision is TP / predicted and recall TP / true, so they are equal exactly where as many are predicted as
    are true: the threshold is the next smaller stored value after the ``wanted`` largest, a selection. Where
    equal values straddle the cut all of them go to the nearer side, or up (fewer predicted) when both are
    equally near. Labels are not looked at (`find` does, and counts).

    probabilities: (N, L) float16, float32 or float64; wanted: 0 to N * len(columns); columns: None for all.
    Raises UserError on an empty selection, NaN, or another dtype.
    """
    return p_equals_r_of(probabilities, [(wanted, columns)])[0]


def p_equals_r_of(probabilities, selections):
    """Return one Cut for every ``(wanted, columns)``, all of them in the same pass; see `p_equals_r`."""
    asks = [Ask(columns, Rule("p-equals-r", int(wanted))) for wanted, columns in selections]
    return [found.cut for found in find(probabilities, None, asks)]
