"""Thresholds of single tags, equal to those of selections of one column; what shrinking does."""

import numpy as np
import pytest
from helpers.score_cases import RULES, TALL, select_by_brute_force

from Utils.command.cli import UserError
from Utils.evaluation import per_tag_thresholds, scores, thresholds


@pytest.mark.parametrize("kind", TALL)
@pytest.mark.parametrize("name", RULES)
def test_a_tag_by_itself_is_a_selection_of_one_column(kind, name, monkeypatch):
    p, y = TALL[kind]
    monkeypatch.setattr(per_tag_thresholds, "CHUNK_BYTES", 20_000)
    rule = thresholds.parse_rule(name)
    choice = per_tag_thresholds.choose(p, y, rule, np.full(8, 0.3), 0)
    expected = [select_by_brute_force(p[:, [j]], y[:, [j]], rule)[0] for j in range(8)]
    assert choice.unshrunk.tolist() == [float(t) for t in expected]
    assert choice.positives.tolist() == y.sum(axis=0).tolist()
    alone = thresholds.find(p, y, [thresholds.Query(np.array([j]), rule) for j in range(8)])
    assert choice.ties.tolist() == [point.ties for point in alone]


@pytest.mark.parametrize("name", RULES)
def test_a_tag_without_positives_is_a_selection_of_one_column_too(name):
    p, y = TALL["float16"][0] - np.float16(0.3), np.zeros_like(TALL["float16"][1])
    p[:, 7] = -p[:, 7]
    rule = thresholds.parse_rule(name)
    choice = per_tag_thresholds.choose(p, y, rule, np.full(8, 0.3))
    alone = thresholds.find(p, y, [thresholds.Query(np.array([j]), rule) for j in range(8)])
    assert choice.unshrunk.tolist() == [float(point.threshold) for point in alone] == p.max(axis=0).tolist()
    assert choice.ties.tolist() == [point.ties for point in alone]


def test_a_rule_that_says_how_many_to_predict_predicts_them_where_nothing_is_true():
    p, y = TALL["float32"][0], np.zeros_like(TALL["float32"][1])
    choice = per_tag_thresholds.choose(p, y, thresholds.Rule("p-equals-r", 3), np.full(8, 0.3), 0)
    assert (p > choice.unshrunk.astype(p.dtype)).sum(axis=0).tolist() == [3] * 8


def test_a_tag_whose_values_are_all_equal():
    p, y = np.full((1500, 1), 0.5, np.float32), np.arange(1500)[:, None] < 2
    for name in RULES:
        rule = thresholds.parse_rule(name)
        (point,) = thresholds.find(p, y, [thresholds.Query(rule=rule)])
        choice = per_tag_thresholds.choose(p, y, rule, np.array([0.3]), 0)
        assert (choice.unshrunk[0], choice.ties[0]) == (point.threshold, point.ties)


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


def held_out_f(name, seed):
    """The mean F of the tags on other images at their own thresholds, at one for all, at the shrunk ones."""
    rule = thresholds.parse_rule(name)
    (p, y), (p_test, y_test) = long_tail(1500, 300, seed)
    (point,) = thresholds.find(p, y, [thresholds.Query(rule=rule)])
    common = np.full(300, float(point.threshold))
    choice = per_tag_thresholds.choose(p, y, rule, common)
    cutoffs = (
        per_tag_thresholds.shrink(choice.unshrunk, common, choice.positives, 0),
        common,
        choice.shrunk(common, p.dtype),
    )
    counts = [scores.count(p_test, y_test, some) for some in cutoffs]
    return [np.nanmean(scores.f_beta(some, rule.value or 1)[some.positives > 0]) for some in counts]


@pytest.mark.parametrize("name", ["max-f1", "p-equals-r"])
def test_shrinking_helps_on_images_that_did_not_choose(name):
    own, one, shrunk = np.mean([held_out_f(name, seed) for seed in range(2)], axis=0)
    assert shrunk > own + 0.005
    assert shrunk > one + 0.005


def test_cross_validation_scores_either_half_at_the_thresholds_of_the_other():
    p, y = TALL["float32"]
    common = np.full(8, 0.3)
    choice = per_tag_thresholds.choose(p, y, thresholds.parse_rule("max-f1"), common)
    f1 = []
    for tag in range(8):
        for chooser, held_out in ((0, 1), (1, 0)):
            part, true = p[chooser::2, [tag]], y[chooser::2, [tag]]
            if not y[held_out::2, tag].any():
                continue
            rule = thresholds.parse_rule("max-f1")
            own = select_by_brute_force(part, true, rule)[0] if true.any() else common[tag]
            cutoff = per_tag_thresholds.shrink(own, common[tag], true.sum(), 40)
            counts = scores.count(p[held_out::2, [tag]], y[held_out::2, [tag]], cutoff)
            f1.append(scores.f_beta(counts.total()))
    place = per_tag_thresholds.ENOUGH.index(40)
    assert choice.held_out_scores[place] == pytest.approx(np.mean(f1), rel=1e-12)
    best = np.flatnonzero(choice.held_out_scores == choice.held_out_scores.max())
    assert choice.enough == per_tag_thresholds.ENOUGH[best[-1]]


def test_of_a_demanded_precision_the_error_on_other_images_counts():
    p, y = np.float32([[0.9], [0.8], [0.7], [0.6]]), np.array([[True], [False], [True], [False]])
    ((_, keys, true),) = per_tag_thresholds.iterate_tags(p, y)
    held_out = per_tag_thresholds.TagPredictions.from_keys(keys, true, p.dtype)
    cutoffs = np.array([0.95, 0.85, 0.65, 0.5])  # nothing is predicted, then precisions of 1, 2/3 and 1/2
    found = per_tag_thresholds._held_out_score(held_out, cutoffs, thresholds.parse_rule("precision=0.6"))
    assert found.tolist() == pytest.approx([-0.4, -0.4, 0.6 - 2 / 3, -0.1])


def test_nan_is_refused():
    p = TALL["float32"][0].copy()
    p[1234, 5] = np.nan
    with pytest.raises(UserError, match="NaN"):
        per_tag_thresholds.average_precisions(p, TALL["float32"][1])
