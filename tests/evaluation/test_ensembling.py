"""Means of models, and weights that are fitted to F1."""

import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.evaluation import ensembling, scores, thresholds

RNG = np.random.default_rng(0)
Y = RNG.random((60, 5)) < 0.3
P, Q = (np.clip(0.3 * Y + 0.7 * RNG.random(Y.shape), 0, 1).astype(np.float32) for _ in range(2))
NOISE = RNG.random(Y.shape).astype(np.float32)


def f1(p):
    point = thresholds.p_equals_r(p, int(Y.sum()))
    return float(scores.f_beta(scores.count(p, Y, point.threshold).total()))


def test_ensembles_average_probabilities_or_logits():
    assert ensembling.mean([P, Q], [0.75, 0.25], "probabilities") == pytest.approx(0.75 * P + 0.25 * Q)
    odds = (P / (1 - P)) ** 0.75 * (Q / (1 - Q)) ** 0.25
    assert ensembling.mean([P, Q], [0.75, 0.25], "logits") == pytest.approx(odds / (1 + odds), abs=1e-6)


def test_certain_probabilities_have_a_mean_of_logits():
    parts = [np.array([[0.0, 1.0, 1.0]]), np.array([[0.0, 1.0, 0.0]])]
    assert ensembling.mean(parts, [0.5, 0.5], "logits") == pytest.approx(np.array([[0, 1, 0.5]]), abs=1e-6)


def test_nan_is_refused_and_a_model_of_no_weight_is_not_looked_at():
    nan = np.full_like(P, np.nan)
    with pytest.raises(UserError, match="NaN"):
        ensembling.mean([P, nan], [0.5, 0.5], "probabilities")
    assert ensembling.mean([P, nan], [1, 0], "probabilities") == pytest.approx(P)


def test_weights_are_normalized_or_refused():
    assert ensembling.normalize(None, 4).tolist() == [0.25] * 4
    assert ensembling.normalize([3, 1], 2).tolist() == [0.75, 0.25]
    with pytest.raises(UserError, match="as many weights as dumps are needed, 3; got 2"):
        ensembling.normalize([1, 2], 3)
    for weights in ([1, np.inf], [1, -1], [0, 0], [1, np.nan]):
        with pytest.raises(UserError, match="weights are"):
            ensembling.normalize(weights, 2)


@pytest.mark.parametrize("kind", ensembling.MEANS)
def test_fitted_weights_leave_noise_out_and_say_the_f1_that_they_reach(kind):
    weights, score, equal = ensembling.fit([P, NOISE, Q], Y, kind)
    assert weights.sum() == pytest.approx(1)
    assert weights[1] < 0.2 < min(weights[0], weights[2])
    assert score > equal
    assert score == pytest.approx(f1(ensembling.mean([P, NOISE, Q], weights, kind)), abs=1e-6)
    assert equal == pytest.approx(f1(ensembling.mean([P, NOISE, Q], [1 / 3] * 3, kind)), abs=1e-6)


def test_weights_stay_equal_where_nothing_is_better():
    for labels in (np.zeros((5, 5)), np.ones((5, 5))):
        assert ensembling.fit([P[:5], Q[:5]], labels, "logits")[0].tolist() == [0.5, 0.5]
    assert ensembling.fit([P], Y, "logits")[0].tolist() == [1]


def test_weights_are_fitted_on_evenly_spaced_images(monkeypatch):
    monkeypatch.setattr(ensembling, "FITTED_VALUES", Y.size // 3)
    few = ensembling.fit([P[::3], NOISE[::3]], Y[::3], "logits")
    assert [part.tolist() for part in map(np.asarray, ensembling.fit([P, NOISE], Y, "logits"))] == [
        part.tolist() for part in map(np.asarray, few)
    ]
