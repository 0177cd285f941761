"""Exact thresholds: where precision equals recall, at the best F, or at the best recall of a given precision.

A rule selects a point of the precision-recall curve, never a value that a search happened to try. The whole
curve would be as large as the matrix, but no rule can select a point that predicts very many values: beyond
some depth even with every true label found the precision is too low (`depth_needed`). So one pass keeps the
highest values down to that depth. Then the selection, which knows the scores, says whether a deeper point
could have been better (`select_point` returns None). Then a second pass goes deeper.

A sample of images makes the first pass fast: from it follows a floor above which all needed values very
likely lie. If the floor was too high, the curve is too short, and the second pass does without it. So the
result is exact for every input, with any number of equal values and in any order.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from Utils.command.cli import UserError
from Utils.evaluation import chunked_matrix, precision_recall_curve, scores
from Utils.evaluation.chunked_matrix import Matrix
from Utils.evaluation.precision_recall_curve import PrecisionRecallCurve
from Utils.evaluation.scores import Counts

SAMPLE_VALUES = 1 << 20  # 190 images of 5,500 tags
MOST_SAMPLE_ROWS = 1 << 14  # each is read by itself
# How much deeper than needed the sample's floor lies. The second covers selections with few true labels,
# where the sampled rank varies most.
MARGIN, MARGIN_VALUES = 1.25, 64
PASSES = 3  # with the sample's floor, without it, and as deep as the best F so far demands
LIKELY_F = 0.5  # the F that the first pass expects of the best threshold; a lower one takes a second pass


@dataclasses.dataclass(frozen=True)
class OperatingPoint:
    """A threshold and the Counts of ``p > threshold``, of the whole selection and of its parts.

    ``ties`` counts, where P = R, the equal values that would have to be split to predict exactly ``target``
    values; for the best F the other thresholds that are exactly as good. 0 where the choice is unique.
    """

    threshold: np.floating
    counts: Counts
    target: int  # how many are true, or were asked for
    ties: int
    parts: tuple[Counts, ...] = ()


@dataclasses.dataclass(frozen=True)
class Rule:
    """How to choose a threshold: ``kind`` is "p-equals-r", "max-f" (value: beta) or "precision" (minimum).

    For p-equals-r a value is the number to predict in place of the number true.
    """

    kind: str
    value: float | None = None

    @property
    def beta(self) -> float:
        """The beta of the F that the rule maximizes; 1 for the other rules."""
        return self.value if self.kind == "max-f" and self.value is not None else 1.0

    @property
    def floor(self) -> float:
        """The precision that the rule demands; 0 for the other rules."""
        return self.value if self.kind == "precision" and self.value is not None else 0.0

    def target(self, positives: int) -> int:
        """Return how many values P = R predicts where so many are true."""
        return positives if self.kind != "p-equals-r" or self.value is None else int(self.value)


P_EQUALS_R = Rule("p-equals-r")
RULES = "p-equals-r, max-f1, max-f2, max-f0.5 or any other max-fBETA, precision=0.75 or any other floor"


def parse_rule(text: str) -> Rule:
    """Return the Rule for the text of a command-line option. Raises UserError for an unknown one."""
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
    raise UserError(f"a rule is {RULES} (floors above 0 up to 1); got {text!r}")


# Rules over a precision-recall curve


def depth_needed(rule: Rule, positives: int, best_f: float = LIKELY_F) -> float:
    """Return how many of the highest values decide a rule, if the best F is at least ``best_f``.

    With n values predicted, at most ``positives`` of them are true, so that

        P <= positives / n              F <= (1 + b²) positives / (b² positives + n)

    and n cannot be the answer where that is below the precision's floor, or below an F that is reached.
    """
    if rule.kind == "p-equals-r":
        return rule.target(positives)
    if rule.kind == "precision":
        return positives / rule.floor + 2
    weight = rule.beta**2
    return ((1 + weight) / best_f - weight) * positives + 2 if best_f > 0 else math.inf


def select_point(curve: PrecisionRecallCurve, rule: Rule) -> OperatingPoint | None:
    """Return the point of a curve that a rule selects; None where values that were not kept may decide it."""
    if rule.kind == "p-equals-r":
        return _p_equals_r(curve, rule.target(curve.positives))
    if curve.positives == 0 or not len(curve.values):
        return _point(curve, -1, curve.positives)
    return _max_f(curve, rule.beta) if rule.kind == "max-f" else _precision(curve, rule.floor)


def _p_equals_r(curve: PrecisionRecallCurve, target: int) -> OperatingPoint | None:
    """Predict as near to ``target`` values as equal values allow; fewer where both sides are equally near."""
    beyond = int(np.searchsorted(curve.predicted, target, "right"))  # the first point that predicts too many
    if beyond == len(curve.values):  # no point predicts too many, or the first that does was not kept
        return _point(curve, beyond - 1, target) if curve.complete else None
    few = int(curve.predicted[beyond - 1]) if beyond else 0
    many = int(curve.predicted[beyond])
    ties = many - few if few < target else 0
    return _point(curve, beyond - 1 if target - few <= many - target else beyond, target, ties)


def _max_f(curve: PrecisionRecallCurve, beta: float) -> OperatingPoint | None:
    best_f = _f_scores(curve, beta)
    best = int(np.argmax(best_f))  # of equally good ones the one that predicts fewest
    # The next point predicts at least one value more. If it found all that is true, would it be as good?
    weight = beta * beta
    bound = (1 + weight) * curve.positives / (weight * curve.positives + curve.predicted[-1] + 1)
    if not curve.complete and bound >= best_f[best]:
        return None
    ties = int(np.count_nonzero(best_f == best_f[best])) - 1
    return _point(curve, best, curve.positives, ties)


def _f_scores(curve: PrecisionRecallCurve, beta: float) -> np.ndarray:
    weight = beta * beta
    return (1 + weight) * curve.tp / (weight * curve.positives + curve.predicted)


def _precision(curve: PrecisionRecallCurve, floor: float) -> OperatingPoint | None:
    if not curve.complete and curve.positives / (curve.predicted[-1] + 1) >= floor:
        return None  # if the next point found all that is true, it would be precise enough
    precise = np.flatnonzero((curve.tp / curve.predicted >= floor) & (curve.tp > 0))
    if not len(precise):
        return _point(curve, -1, curve.positives)
    best = int(precise[np.argmax(curve.tp[precise])])  # most recall, then fewest predicted
    return _point(curve, best, curve.positives)


def _point(curve: PrecisionRecallCurve, index: int, target: int, ties: int = 0) -> OperatingPoint | None:
    """Return the OperatingPoint that predicts point ``index`` of a curve, -1: nothing; None if not known."""
    greatest = curve.values[0] if len(curve.values) else None  # above it nothing is predicted
    threshold = greatest if index < 0 else curve.threshold(index)
    return None if threshold is None else OperatingPoint(threshold, curve.counts(index), target, ties)


# Passes over predictions


@dataclasses.dataclass(frozen=True)
class Query:
    """A request for the threshold of some columns (None: all) by a rule, and the Counts of ``parts`` at it.

    columns and every part: indices or a mask; a part lies within the columns.
    """

    columns: np.ndarray | None = None
    rule: Rule = P_EQUALS_R
    parts: tuple[np.ndarray, ...] = ()


def find(probabilities: Matrix, labels: Matrix | None, queries: Sequence[Query]) -> list[OperatingPoint]:
    """Return the `OperatingPoint` of every `Query`, all from the same pass; exact for every input.

    Memory holds the values that may be selected: where P = R as many as are true.

    Args:
        probabilities: (N, L) float16, float32 or float64.
        labels: (N, L), or None where rules say how many to predict.

    Raises:
        UserError: on an empty selection, NaN, or another dtype.
    """
    width = _checked_width(probabilities)
    masks = [_mask(query.columns, width) for query in queries]
    for query, mask in zip(queries, masks, strict=True):
        _check_query(query, int(mask.sum()) * len(probabilities))
    if labels is not None:
        chunked_matrix.require_one_shape(probabilities, labels)
    support = np.zeros(width, np.int64) if labels is None else scores.positives(labels)
    depths = [
        depth_needed(query.rule, int(support[mask].sum())) for query, mask in zip(queries, masks, strict=True)
    ]
    floors = _sampled_floors(probabilities, masks, depths)
    points: list[Any] = [None] * len(queries)
    for _ in range(PASSES):
        missing = [number for number, point in enumerate(points) if point is None]
        if not missing:
            break
        curves = _collect(
            probabilities, labels, support, [(queries[i], masks[i], depths[i], floors[i]) for i in missing]
        )
        for number, (curve, *parts) in zip(missing, curves, strict=True):
            rule = queries[number].rule
            points[number] = _with_parts(select_point(curve, rule), parts)
            # The next pass trusts no sample, and goes as deep as the best F so far leaves a doubt.
            floors[number] = 0
            if rule.kind == "max-f" and len(curve.values):
                best_f = float(_f_scores(curve, rule.beta).max())
                depths[number] = depth_needed(rule, curve.positives, best_f)
    return points


def _checked_width(probabilities: Matrix) -> int:
    if probabilities.dtype not in (np.float16, np.float32, np.float64):
        raise UserError(f"probabilities must be float16, float32 or float64; got {probabilities.dtype}")
    if probabilities.ndim != 2:
        raise UserError(f"probabilities must have the shape (images, tags); got {probabilities.shape}")
    return probabilities.shape[1]


def _mask(columns: np.ndarray | None, width: int) -> np.ndarray:
    mask = np.zeros(width, bool)
    columns = np.arange(width) if columns is None else np.asarray(columns)
    mask[columns if columns.dtype == bool else columns.astype(np.intp)] = True
    return mask


def _check_query(query: Query, size: int) -> None:
    if size == 0:
        raise UserError("no probabilities to choose a threshold from: no images or no tags are selected")
    rule = query.rule
    if rule.kind == "p-equals-r" and rule.value is not None and not 0 <= rule.value <= size:
        raise UserError(f"the number to predict must be from 0 to {size}; got {rule.value}")


def _sampled_floors(probabilities: Matrix, masks: list[np.ndarray], depths: list[float]) -> list[int]:
    """Return for every selection a key that its ``depth`` highest values very likely lie above.

    A wrong guess costs a second pass, nothing else.
    """
    total, width = probabilities.shape
    rows = min(max(16, SAMPLE_VALUES // width), MOST_SAMPLE_ROWS)
    if total <= 2 * rows:
        return [0] * len(masks)
    sampled_rows = np.linspace(0, total - 1, rows).astype(np.intp)
    keys = chunked_matrix.float_keys(chunked_matrix.read_rows(probabilities, sampled_rows))
    floors = []
    for mask, depth in zip(masks, depths, strict=True):
        values = keys[:, mask].ravel()
        rank = min(MARGIN * depth * rows / total + MARGIN_VALUES, len(values))
        place = len(values) - 1 - int(rank)
        floors.append(int(np.partition(values, place)[place]) if place >= 0 else 0)
    return floors


def _collect(
    probabilities: Matrix, labels: Matrix | None, support: np.ndarray, requests: list[tuple]
) -> list[list[PrecisionRecallCurve]]:
    """Return for every (query, mask, depth, floor) its curve and those of its parts, all from one pass."""
    selections, depths, floors = [], [], []
    for query, mask, depth, floor in requests:
        size = len(probabilities) * int(mask.sum())
        selections += [mask, *(_mask(part, len(mask)) for part in query.parts)]
        depths += [int(min(depth, size)), *[None] * len(query.parts)]
        floors += [floor, *[0] * len(query.parts)]
    curves = iter(precision_recall_curve.collect(probabilities, labels, support, selections, depths, floors))
    return [[next(curves) for _ in range(1 + len(query.parts))] for query, *_ in requests]


def _with_parts(point: OperatingPoint | None, parts: list[PrecisionRecallCurve]) -> OperatingPoint | None:
    if point is None:
        return None
    return dataclasses.replace(point, parts=tuple(part.counts_at(point.threshold) for part in parts))


# P = R alone


def p_equals_r(probabilities: Matrix, target: int, columns: np.ndarray | None = None) -> OperatingPoint:
    """Return the OperatingPoint that predicts as near to ``target`` values, the number true, as it can.

    Precision is TP / predicted and recall TP / true, so they are equal exactly where as many are predicted as
    are true: the threshold is the next smaller stored value after the ``target`` largest, a selection. Where
    equal values straddle it all of them go to the nearer side, or up (fewer predicted) when both are equally
    near. Labels are not looked at (`find` does, and counts), so that TP is 0.

    Args:
        probabilities: (N, L) float16, float32 or float64.
        target: 0 to N * len(columns).
        columns: None for all.

    Raises:
        UserError: on an empty selection, NaN, or another dtype.
    """
    return p_equals_r_points(probabilities, [(target, columns)])[0]


def p_equals_r_points(
    probabilities: Matrix, selections: Sequence[tuple[int, np.ndarray | None]]
) -> list[OperatingPoint]:
    """Return one OperatingPoint for every ``(target, columns)``, all from the same pass; see `p_equals_r`."""
    queries = [Query(columns, Rule("p-equals-r", int(target))) for target, columns in selections]
    return find(probabilities, None, queries)
