"""Utils/evaluation/frequency_thresholds.py: thresholds by hand, and the exponent that is found."""

import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.evaluation import frequency_thresholds, per_tag_thresholds, scores, thresholds
from Utils.evaluation.thresholds import P_EQUALS_R, Rule

COUNTS = np.array([10_000, 1_000, 100, 10, 0])


def logit(p):
    return np.log(p) - np.log1p(-p)


def predictions(seed=0, images=600, shyness=1.0, dtype=np.float32):
    """Logits of tags from frequent to rare, of which rare ones are too low by ``shyness`` a factor of 10."""
    random = np.random.default_rng(seed)
    frequencies = np.array([0.4, 0.2, 0.1, 0.05, 0.02])
    y = random.random((images, 5)) < frequencies
    z = 3 * y - 1.5 + random.normal(size=y.shape) - shyness * np.arange(5)
    return (1 / (1 + np.exp(-z))).astype(dtype), y


def test_adjusted_logits_are_logits_less_tau_log_count():
    p, _ = predictions()
    adjusted = frequency_thresholds.AdjustedLogits(p, COUNTS, 0.3)
    expected = logit(p.astype(float)) - 0.3 * np.log([10_000, 1_000, 100, 10, 1])
    np.testing.assert_allclose(adjusted[:], expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(adjusted[[5, 3]], adjusted[:][[5, 3]])
    assert (adjusted.shape, len(adjusted), adjusted.dtype, adjusted.ndim) == ((600, 5), 600, np.float32, 2)


def test_probabilities_of_0_and_1_are_finite_and_nan_is_refused():
    adjusted = frequency_thresholds.AdjustedLogits(np.array([[0.0, 1.0]], np.float16), np.ones(2), 1)
    np.testing.assert_allclose(adjusted[:], [[-16.118, 16.118]], rtol=1e-4)
    with pytest.raises(UserError, match="NaN"):
        _ = frequency_thresholds.AdjustedLogits(np.array([[np.nan, 1.0]]), np.ones(2), 1)[:]


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_the_exponent_0_is_one_threshold_for_all(dtype):
    p, y = predictions(dtype=dtype)
    chosen = frequency_thresholds.choose(p, y, P_EQUALS_R, COUNTS, exponent=0.0)
    one = thresholds.p_equals_r(p, int(y.sum())).threshold
    assert chosen.held_out_scores == {}
    assert chosen.cutoffs.dtype == dtype
    assert np.ptp(chosen.cutoffs) == 0
    gained = np.abs(scores.count(p, y, chosen.cutoffs).predicted.sum() - (p > one).sum())
    assert gained <= np.count_nonzero(p == one), "through the logit and back at most the value itself changes"


def test_thresholds_lie_on_one_line_over_the_logarithm_of_counts():
    p, y = predictions()
    chosen = frequency_thresholds.choose(p, y, Rule("max-f", 1.0), COUNTS, exponent=0.4)
    steps = np.diff(logit(chosen.cutoffs.astype(float)))
    np.testing.assert_allclose(steps, -0.4 * np.log(10) * np.ones(4), rtol=1e-4)
    counts = scores.count(p, y, chosen.cutoffs).total()
    shifted = [
        scores.f_beta(scores.count(p, y, 1 / (1 + np.exp(-(logit(chosen.cutoffs) + d)))).total())
        for d in np.linspace(-2, 2, 41)
    ]
    assert scores.f_beta(counts) >= max(shifted) - 1e-3, "no other line is better"


def test_cross_validation_finds_how_shy_of_rare_tags_a_model_is():
    shy, y = predictions(shyness=0.7)
    fair, fair_y = predictions(shyness=-0.3)
    found = frequency_thresholds.choose(shy, y, P_EQUALS_R, COUNTS)
    none = frequency_thresholds.choose(fair, fair_y, P_EQUALS_R, COUNTS)
    assert 0.2 <= found.exponent <= 0.4  # 0.7 / ln 10 is 0.30
    assert none.exponent == 0
    micro, macro = found.held_out_scores[found.exponent]
    one_micro, one_macro = found.held_out_scores[0.0]
    assert micro > one_micro + 0.01
    assert macro > one_macro + 0.1
    assert tuple(found.held_out_scores) == frequency_thresholds.EXPONENTS
    of_tags = per_tag_thresholds.average_precisions(shy, y)  # the order within a tag stays
    adjusted = frequency_thresholds.AdjustedLogits(shy, COUNTS, 0.3)[:]
    np.testing.assert_array_equal(of_tags, per_tag_thresholds.average_precisions(adjusted, y))


@pytest.mark.parametrize("true", [slice(0, 0), slice(0, None, 2), slice(0, 1)])
def test_an_exponent_needs_true_labels_in_both_halves(true):
    p, y = predictions(images=20)
    y[:] = False
    y[true] = True
    with pytest.raises(UserError, match=r"true in both.*--exponent"):
        frequency_thresholds.choose(p, y, P_EQUALS_R, COUNTS)
    assert frequency_thresholds.choose(p, y, P_EQUALS_R, COUNTS, 0.3).exponent == 0.3
    with pytest.raises(UserError, match="of 1 images"):
        frequency_thresholds.choose(p[:1], y[:1], P_EQUALS_R, COUNTS)


def test_the_best_macro_f1_that_costs_at_most_a_thousandth_of_micro_f1(monkeypatch):
    scored = {0.0: (0.8, 0.5), 0.1: (0.7995, 0.6), 0.2: (0.7985, 0.9)}
    scored |= dict.fromkeys(frequency_thresholds.EXPONENTS[3:], (0.7, 1.0))
    monkeypatch.setattr(frequency_thresholds, "_held_out_scores", lambda *words: scored[words[-1]])
    p, y = predictions()
    assert frequency_thresholds.choose(p, y, P_EQUALS_R, COUNTS).exponent == 0.1


def test_each_half_is_judged_at_the_threshold_of_the_other():
    p, y = predictions(shyness=0)
    p[1::2] = 1 / (1 + np.exp(-(logit(p[1::2]) + 2)))
    chosen = frequency_thresholds.choose(p, y, P_EQUALS_R, COUNTS)
    halves = [(p[first::2], y[first::2]) for first in (0, 1)]
    predicted = [
        held_out > thresholds.p_equals_r(other, int(true.sum())).threshold
        for (other, true), (held_out, _) in zip(halves, halves[::-1], strict=True)
    ]
    hits = sum(int((mask & true).sum()) for mask, (_, true) in zip(predicted, halves[::-1], strict=True))
    expected = 2 * hits / (sum(int(mask.sum()) for mask in predicted) + int(y.sum()))
    assert chosen.held_out_scores[0.0][0] == pytest.approx(expected, abs=1e-3)
