"""Utils.evaluation.thresholds, Utils.evaluation.precision_recall_curve,
Utils.evaluation.per_tag_thresholds: equal to brute force, in one pass or two."""

import dataclasses

import numpy as np
import pytest
from helpers.score_cases import CASES, EVERY
from sklearn import metrics as oracle

from Utils.command.cli import UserError
from Utils.evaluation import (
    average_precision,
    chunked_matrix,
    per_tag_thresholds,
    precision_recall_curve,
    scores,
    thresholds,
)

RULES = ("p-equals-r", "max-f1", "max-f2", "max-f0.5", "precision=0.75", "precision=0.1", "precision=1")


def by_brute_force(p, y, by):
    """Try a cut below every stored value and one above all; returns ``(threshold, tp, predicted)``."""
    values = np.unique(p)[::-1]
    cuts = [*values, np.nextafter(values[-1], p.dtype.type(-np.inf))]
    sides = np.sort(p[y]), np.sort(p, axis=None)
    tp, predicted = (len(side) - np.searchsorted(side, cuts, "right") for side in sides)
    tries = list(zip(cuts, tp.tolist(), predicted.tolist(), strict=True))
    true = int(y.sum())
    if by.kind == "p-equals-r":
        return min(tries, key=lambda cut: (abs(cut[2] - true), cut[2]))
    if true == 0:
        return tries[0]
    if by.kind == "max-f":
        weight = by.value**2
        return max(tries, key=lambda cut: ((1 + weight) * cut[1] / (weight * true + cut[2]), -cut[2]))
    kept = [cut for cut in tries if cut[1] and cut[1] / cut[2] >= by.value]
    return max(kept, key=lambda cut: (cut[1], -cut[2])) if kept else tries[0]


def same(found, expected):
    assert (found.threshold, found.counts.tp, found.counts.predicted) == expected


@EVERY
@pytest.mark.parametrize("name", RULES)
def test_a_rule_finds_what_brute_force_finds(p, y, name):
    by, y = thresholds.parse_rule(name), y != 0
    (found,) = thresholds.find(p, y, [thresholds.Query(rule=by)])
    same(found, by_brute_force(p, y, by))
    assert dataclasses.astuple(found.counts) == dataclasses.astuple(
        scores.count(p, y, found.threshold).total()
    )


def tall(dtype, seed=0, quantized=None):
    random = np.random.default_rng(seed)
    y = random.random((1500, 8)) < [0.3, 0.1, 0.05, 0.02, 0.02, 0.01, 0.001, 0]
    p = 1 / (1 + np.exp(3 - 2.5 * y - random.normal(size=y.shape)))
    p = np.round(p * quantized) / quantized if quantized else p
    return p.astype(dtype), y


TALL = {
    "float32": ("float32", None), "float16": ("float16", None), "float64": ("float64", None),
    "uint8": ("float32", 255), "float16 uint8": ("float16", 255), "coarse": ("float32", 8),
}  # fmt: skip


@pytest.mark.parametrize("kind", TALL)
@pytest.mark.parametrize("name", RULES)
def test_a_sample_saves_a_pass_and_changes_nothing(kind, name, monkeypatch):
    p, y = tall(*TALL[kind][:1], quantized=TALL[kind][1])
    monkeypatch.setattr(thresholds, "SAMPLE_VALUES", 1 << 11)
    monkeypatch.setattr(chunked_matrix, "BLOCK_VALUES", 1 << 10)
    monkeypatch.setattr(precision_recall_curve, "MERGE_AT", 100)
    by = thresholds.parse_rule(name)
    asks = [
        thresholds.Query(None, by, (np.arange(3, 8),)),
        thresholds.Query(np.arange(2), by),
        thresholds.Query(np.array([1, 3, 5]), by, (np.array([5]), np.array([1]))),
        thresholds.Query(np.array([7]), by),
    ]
    passes, collect = [], precision_recall_curve.collect
    monkeypatch.setattr(
        precision_recall_curve, "collect", lambda *given: passes.append(given[3]) or collect(*given)
    )
    for ask, found in zip(asks, thresholds.find(p, y, asks), strict=True):
        columns = np.arange(8) if ask.columns is None else ask.columns
        same(found, by_brute_force(p[:, columns], y[:, columns], by))
        counts = scores.count(p, y, found.threshold)
        for part, got in zip(ask.parts, found.parts, strict=True):
            assert dataclasses.astuple(got) == dataclasses.astuple(counts.select(part).total())
    if kind == "float32" and name in ("p-equals-r", "max-f1", "precision=0.75"):
        assert len(passes) == 1, "no second pass was needed"


@pytest.mark.parametrize("name", RULES)
def test_a_sample_that_misleads_is_found_out(name, monkeypatch):
    """In the sample's images what is true lies far above the rest, and the rest above all other images."""
    monkeypatch.setattr(thresholds, "SAMPLE_VALUES", 1 << 11)
    random, places = np.random.default_rng(0), np.linspace(0, 3999, 256).astype(int)
    noise, y = random.random((4000, 8)), random.random((4000, 8)) < 0.3
    p = np.where(y, 0.5 + 0.2 * noise, 0.4 * noise)
    y[places] = noise[places] > 0.95
    p[places] = np.where(y[places], 0.9, 0.75) + 0.1 * noise[places]
    p = p.astype(np.float32)
    (found,) = thresholds.find(p, y, [thresholds.Query(rule=thresholds.parse_rule(name))])
    same(found, by_brute_force(p, y, thresholds.parse_rule(name)))


def test_a_part_without_tags_counts_nothing():
    p, y = tall("float32")
    (found,) = thresholds.find(p, y, [thresholds.Query(parts=(np.array([], int),))])
    assert dataclasses.astuple(found.parts[0]) == (0, 0, 0, 0)


def test_ties_are_counted():
    p = np.array([[0.9, 0.5, 0.5, 0.5, 0.2]], np.float32)
    y = np.array([[1, 0, 1, 0, 0]], bool)
    (found,) = thresholds.find(p, y, [thresholds.Query()])
    assert (found.ties, found.counts.predicted, found.target) == (3, 1, 2)
    p, y = np.array([[0.9, 0.6, 0.5, 0.4]]), np.array([[1, 0, 0, 1]], bool)
    (found,) = thresholds.find(p, y, [thresholds.Query(rule=thresholds.parse_rule("max-f1"))])
    assert (found.counts.predicted, found.ties) == (1, 1)  # 2 / 3 with one predicted and with four


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
        p, y = tall(dtype)
        p[1234, 5] = np.copysign(np.nan, sign)
        for ask in (thresholds.Query(), thresholds.Query(np.array([0]))):
            with pytest.raises(UserError, match="NaN"):
                thresholds.find(p, y, [ask])
        with pytest.raises(UserError, match="NaN"):
            per_tag_thresholds.average_precisions(p, y)


# One tag at a time


@pytest.mark.parametrize("kind", TALL)
@pytest.mark.parametrize("name", RULES)
def test_a_tag_by_itself_is_a_selection_of_one_column(kind, name, monkeypatch):
    p, y = tall(*TALL[kind][:1], quantized=TALL[kind][1])
    monkeypatch.setattr(per_tag_thresholds, "CHUNK_BYTES", 20_000)
    by = thresholds.parse_rule(name)
    choice = per_tag_thresholds.choose(p, y, by, np.full(8, 0.3), 0)
    expected = [by_brute_force(p[:, [j]], y[:, [j]], by)[0] for j in range(8)]
    assert choice.unshrunk.tolist() == [float(t) for t in expected]
    assert choice.positives.tolist() == y.sum(axis=0).tolist()
    alone = thresholds.find(p, y, [thresholds.Query(np.array([j]), by) for j in range(8)])
    assert choice.ties.tolist() == [found.ties for found in alone]


def test_a_tag_whose_values_are_all_equal():
    p, y = np.full((1500, 1), 0.5, np.float32), np.arange(1500)[:, None] < 2
    for name in RULES:
        by = thresholds.parse_rule(name)
        (found,) = thresholds.find(p, y, [thresholds.Query(rule=by)])
        choice = per_tag_thresholds.choose(p, y, by, np.array([0.3]), 0)
        assert (choice.unshrunk[0], choice.ties[0]) == (found.threshold, found.ties)


@pytest.mark.parametrize(
    "name", ["float32", "float16", "uint8-quantized", "logits", "empty tags", "constant"]
)
def test_average_precision_is_that_of_scikit_learn(name, monkeypatch):
    p, y = next((p[:, :12], y[:, :12] != 0) for case, p, y in CASES if case == name)
    found = per_tag_thresholds.average_precisions(p, y)
    for tag in range(p.shape[1]):
        if y[:, tag].any():
            expected = oracle.average_precision_score(y[:, tag], p[:, tag].astype(np.float64))
            assert found[tag] == pytest.approx(expected, rel=1e-12)
        else:
            assert np.isnan(found[tag])
    monkeypatch.setattr(average_precision, "SORTED", 100)
    together = average_precision.average_precision(p, y)
    assert together == pytest.approx(oracle.average_precision_score(y.ravel(), p.ravel().astype(np.float64)))
    part = average_precision.average_precision(p, y, np.array([1, 4]))
    some = y[:, [1, 4]].ravel(), p[:, [1, 4]].ravel().astype(np.float64)
    assert part == pytest.approx(oracle.average_precision_score(*some))


def test_shrinking_goes_from_the_category_to_the_tag():
    found = per_tag_thresholds.shrink([0.9, 0.9, 0.9, 0.9], 0.5, [0, 5, 10, 99], 10)
    assert found[[0, 2, 3]].tolist() == [0.5, 0.9, 0.9]
    assert found[1] == pytest.approx(0.75)  # logit(0.75) is half of logit(0.9)
    assert per_tag_thresholds.shrink([-1e-45, 2.0], 0.5, [3, 3], 10).tolist() == pytest.approx(
        [0.0079, 0.9921], abs=1e-4
    )
    assert per_tag_thresholds.shrink(0.9, 0.5, [0, 1], 0).tolist() == [0.5, 0.9]


def long_tail(images, tags, seed):
    """Two draws of images whose tags follow Zipf's law, each on a scale of its own around a common one."""
    random = np.random.default_rng(seed)
    share = np.clip(0.3 * np.arange(1, tags + 1) ** -1.1, 1 / images, 1)
    prior, lift = np.log(share), random.normal(0.5, 0.6, tags) - np.log(share)
    for _ in range(2):
        y = random.random((images, tags)) < share
        logits = prior - 1 + random.normal(0, 1.3, y.shape) + y * lift
        yield (1 / (1 + np.exp(-logits))).astype(np.float32), y


def held_out(name, seed):
    """The mean F of the tags on other images at their own thresholds, at one for all, at the shrunk ones."""
    by = thresholds.parse_rule(name)
    (p, y), (p_test, y_test) = long_tail(1500, 300, seed)
    (found,) = thresholds.find(p, y, [thresholds.Query(rule=by)])
    common = np.full(300, float(found.threshold))
    choice = per_tag_thresholds.choose(p, y, by, common)
    cuts = (
        per_tag_thresholds.shrink(choice.unshrunk, common, choice.positives, 0),
        common,
        choice.shrunk(common, p.dtype),
    )
    counts = [scores.count(p_test, y_test, some) for some in cuts]
    return [np.nanmean(scores.f_beta(some, by.value or 1)[some.positives > 0]) for some in counts]


@pytest.mark.parametrize("name", ["max-f1", "p-equals-r"])
def test_shrinking_helps_on_images_that_did_not_choose(name):
    own, one, shrunk = np.mean([held_out(name, seed) for seed in range(2)], axis=0)
    assert shrunk > own + 0.005
    assert shrunk > one + 0.005
