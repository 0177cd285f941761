"""Thresholds by every rule, equal to brute force, in one pass or two."""

import dataclasses

import numpy as np
import pytest
from helpers.score_cases import CASES, EVERY, RULES, TALL, select_by_brute_force

from Utils.command.cli import UserError
from Utils.evaluation import chunked_matrix, precision_recall_curve, scores, thresholds


def assert_same(point, expected):
    assert (point.threshold, point.counts.tp, point.counts.predicted) == expected


@EVERY
@pytest.mark.parametrize("name", RULES)
def test_a_rule_finds_what_brute_force_finds(p, y, name):
    rule, y = thresholds.parse_rule(name), y != 0
    (point,) = thresholds.find(p, y, [thresholds.Query(rule=rule)])
    assert_same(point, select_by_brute_force(p, y, rule))
    assert dataclasses.astuple(point.counts) == dataclasses.astuple(
        scores.count(p, y, point.threshold).total()
    )


@pytest.mark.parametrize("kind", TALL)
@pytest.mark.parametrize("name", RULES)
def test_a_sample_saves_a_pass_and_changes_nothing(kind, name, monkeypatch):
    p, y = TALL[kind]
    monkeypatch.setattr(thresholds, "SAMPLE_VALUES", 1 << 11)
    monkeypatch.setattr(chunked_matrix, "BLOCK_VALUES", 1 << 10)
    monkeypatch.setattr(precision_recall_curve, "MERGE_AT", 100)
    rule = thresholds.parse_rule(name)
    queries = [
        thresholds.Query(None, rule, (np.arange(3, 8),)),
        thresholds.Query(np.arange(2), rule),
        thresholds.Query(np.array([1, 3, 5]), rule, (np.array([5]), np.array([1]))),
        thresholds.Query(np.array([7]), rule),
    ]
    passes, collect = [], precision_recall_curve.collect
    monkeypatch.setattr(
        precision_recall_curve, "collect", lambda *given: passes.append(given[3]) or collect(*given)
    )
    for query, point in zip(queries, thresholds.find(p, y, queries), strict=True):
        columns = np.arange(8) if query.columns is None else query.columns
        assert_same(point, select_by_brute_force(p[:, columns], y[:, columns], rule))
        counts = scores.count(p, y, point.threshold)
        for part, got in zip(query.parts, point.parts, strict=True):
            assert dataclasses.astuple(got) == dataclasses.astuple(counts.select(part).total())
    if kind == "float32" and name in ("p-equals-r", "max-f1", "precision=0.75"):
        assert len(passes) == 1, "no second pass was needed"


@pytest.mark.parametrize("name", RULES)
def test_a_misleading_sample_is_corrected_by_a_second_pass(name, monkeypatch):
    """In the sample's images what is true lies far above the rest, and the rest above all other images."""
    monkeypatch.setattr(thresholds, "SAMPLE_VALUES", 1 << 11)
    random, places = np.random.default_rng(0), np.linspace(0, 3999, 256).astype(int)
    noise, y = random.random((4000, 8)), random.random((4000, 8)) < 0.3
    p = np.where(y, 0.5 + 0.2 * noise, 0.4 * noise)
    y[places] = noise[places] > 0.95
    p[places] = np.where(y[places], 0.9, 0.75) + 0.1 * noise[places]
    p = p.astype(np.float32)
    (point,) = thresholds.find(p, y, [thresholds.Query(rule=thresholds.parse_rule(name))])
    assert_same(point, select_by_brute_force(p, y, thresholds.parse_rule(name)))


def test_a_part_without_tags_counts_nothing():
    p, y = TALL["float32"]
    (point,) = thresholds.find(p, y, [thresholds.Query(parts=(np.array([], int),))])
    assert dataclasses.astuple(point.parts[0]) == (0, 0, 0, 0)


def test_ties_are_counted():
    p = np.array([[0.9, 0.5, 0.5, 0.5, 0.2]], np.float32)
    y = np.array([[1, 0, 1, 0, 0]], bool)
    (point,) = thresholds.find(p, y, [thresholds.Query()])
    assert (point.ties, point.counts.predicted, point.target) == (3, 1, 2)
    p, y = np.array([[0.9, 0.6, 0.5, 0.4]]), np.array([[1, 0, 0, 1]], bool)
    (point,) = thresholds.find(p, y, [thresholds.Query(rule=thresholds.parse_rule("max-f1"))])
    assert (point.counts.predicted, point.ties) == (1, 1)  # 2 / 3 with one predicted and with four


@pytest.mark.parametrize(
    "name", ["max-f", "max-f0", "max-fx", "precision=0", "precision=1.1", "precision", "best"]
)
def test_other_rules_are_refused(name):
    with pytest.raises(UserError, match="p-equals-r, max-f1"):
        thresholds.parse_rule(name)


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_nan_is_refused_wherever_it_is(dtype, monkeypatch):
    monkeypatch.setattr(thresholds, "SAMPLE_VALUES", 1 << 7)
    for sign in (1, -1):
        p, y = TALL[dtype][0].copy(), TALL[dtype][1]
        p[1234, 5] = np.copysign(np.nan, sign)
        for query in (thresholds.Query(), thresholds.Query(np.array([0]))):
            with pytest.raises(UserError, match="NaN"):
                thresholds.find(p, y, [query])


@EVERY
@pytest.mark.parametrize("name", RULES)
def test_no_rule_selects_beyond_the_depth_that_it_needs(p, y, name):
    rule, y = thresholds.parse_rule(name), y != 0
    positives = int(y.sum())
    _, tp, predicted = select_by_brute_force(p, y, rule)
    weight = rule.beta**2
    best_f = (1 + weight) * tp / (weight * positives + predicted) if positives else 1.0
    if rule.kind == "p-equals-r":  # equal values may lie on both sides of the target
        predicted = np.sort(p, axis=None)[::-1][:positives].size
    assert predicted <= thresholds.depth_needed(rule, positives, best_f)


@pytest.mark.parametrize("name", ["max-f1", "max-f2"])
def test_an_uninformative_model_takes_a_second_deeper_pass(name, monkeypatch):
    """With true labels that are spread evenly the best F is low, and predicts far more than are true."""
    monkeypatch.setattr(precision_recall_curve, "MERGE_AT", 100)
    random = np.random.default_rng(0)
    p, y = random.random((900, 10), np.float32), random.random((900, 10)) < 0.1
    depths, collect = [], precision_recall_curve.collect
    monkeypatch.setattr(
        precision_recall_curve, "collect", lambda *given: depths.append(given[4][0]) or collect(*given)
    )
    rule = thresholds.parse_rule(name)
    (point,) = thresholds.find(p, y, [thresholds.Query(rule=rule)])
    assert_same(point, select_by_brute_force(p, y, rule))
    assert len(depths) == 2
    assert depths[0] < depths[1]


def test_a_best_f_just_below_what_was_kept_is_found():
    """The first pass keeps 34 values: the best F there is 8 / 19, at n = 9, and 20 / 45 at n = 35."""
    true = [5, 6, 7, 8, 29, 30, 31, 32, 33, 34]
    p = np.linspace(1, 0.1, 60, dtype=np.float32)[None]
    y = np.isin(np.arange(60), true)[None]
    (point,) = thresholds.find(p, y, [thresholds.Query(rule=thresholds.parse_rule("max-f1"))])
    assert (point.counts.tp, point.counts.predicted) == (10, 35)


# P = R alone


def nearest_by_brute_force(p, target):
    """Try every stored value and one below all: the nearest number predicted, of two the smaller one."""
    least = np.nextafter(p.min(), p.dtype.type(-np.inf))
    options = [(abs(int((p > t).sum()) - target), -float(t), t) for t in (least, *np.unique(p))]
    return min(options)[2]


@EVERY
def test_p_equals_r_is_the_nearest_of_all_stored_values(p, y):
    point = thresholds.p_equals_r(p, int((y != 0).sum()))
    assert point.threshold == nearest_by_brute_force(p, int((y != 0).sum()))
    assert point.threshold.dtype == p.dtype
    assert point.counts.predicted == (p > point.threshold).sum()
    assert (point.ties == 0) == (point.counts.predicted == point.target)


@EVERY
def test_every_number_can_be_asked_for_in_any_blocks(p, y, monkeypatch):
    monkeypatch.setattr(chunked_matrix, "BLOCK_VALUES", 64)  # the search narrows from block to block
    for target in {0, 1, p.size // 3, p.size - 1, p.size}:
        assert thresholds.p_equals_r(p, target).threshold == nearest_by_brute_force(p, target), target


def test_ties_go_to_the_nearer_side():
    p = np.array([[0.9, 0.5, 0.5, 0.5, 0.2]], np.float32)
    few, many, even = (thresholds.p_equals_r(p, target) for target in (2, 3, 4))
    assert (few.threshold, few.counts.predicted, few.ties) == (np.float32(0.5), 1, 3)
    assert (many.threshold, many.counts.predicted, many.ties) == (np.float32(0.2), 4, 3)
    assert (even.threshold, even.counts.predicted, even.ties) == (np.float32(0.2), 4, 0)
    both = thresholds.p_equals_r(np.array([[0.9, 0.5, 0.5, 0.2]], np.float32), 2)
    assert (both.threshold, both.counts.predicted, both.ties) == (np.float32(0.5), 1, 2)


def test_selections_of_columns_are_searched_together_and_alone_alike(monkeypatch):
    monkeypatch.setattr(chunked_matrix, "BLOCK_VALUES", 90)
    p, y = CASES[0][1:]
    chosen = [None, np.arange(5, 11), np.array([0, 7, 29]), np.arange(30) % 2 == 0]
    points = thresholds.p_equals_r_points(
        p, [(y[:, c].sum() if c is not None else y.sum(), c) for c in chosen]
    )
    for point, columns in zip(points, chosen, strict=True):
        part = p if columns is None else p[:, columns]
        assert point.threshold == nearest_by_brute_force(part, point.target)


def test_what_cannot_be_selected_is_refused():
    p = np.zeros((2, 3), np.float32)
    for columns, target in (([], 0), (None, 7), (None, -1)):
        with pytest.raises(UserError):
            thresholds.p_equals_r(p, target, columns)
    with pytest.raises(UserError, match="float16"):
        thresholds.p_equals_r(p.astype(np.uint8), 1)
    for labels in (np.zeros((2, 4)), np.zeros((3, 3))):
        with pytest.raises(UserError, match="shape"):
            thresholds.find(p, labels, [thresholds.Query()])
