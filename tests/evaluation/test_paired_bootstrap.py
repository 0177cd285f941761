"""Models compared on the same resamples: differences, means of runs, what is distinguishable."""

import numpy as np
import pytest

from Utils.evaluation import bootstrap, jackknife, paired_bootstrap, scores, thresholds

RNG = np.random.default_rng(0)
Y = RNG.random((120, 10)) < 0.3
GOOD, POOR = (np.float32(Y + noise * RNG.normal(size=Y.shape)) for noise in (0.5, 1.5))
RESAMPLES = bootstrap.resample_counts(len(Y), 200, seed=2)


def score(p):
    return paired_bootstrap.score(p, Y, RESAMPLES)


def test_a_model_is_scored_where_its_precision_equals_its_recall():
    model = score(GOOD)
    threshold = thresholds.p_equals_r(GOOD, Y.sum()).threshold
    counts = scores.count(GOOD, Y, threshold)
    assert model.threshold == threshold
    assert model.values == {"micro_F1": scores.f_beta(counts.total()), "macro_F1": scores.macro_f1(counts)}
    for metric in paired_bootstrap.METRICS:
        low, high = model.interval(metric)
        assert low < model.values[metric] < high
    assert model.interval("micro_F1") == bootstrap.interval(model.resampled)
    assert model.interval("macro_F1") == jackknife.interval(model.values["macro_F1"], model.without)
    assert model.resampled.shape == (200,)
    assert model.without.shape == (120,)


def test_a_model_may_have_a_threshold_for_every_tag():
    cutoffs = np.linspace(0.2, 0.8, 10)
    model = paired_bootstrap.score_at(GOOD, Y, RESAMPLES, cutoffs)
    assert model.counts.tp.tolist() == (Y & (np.float32(cutoffs) < GOOD)).sum(axis=0).tolist()


def test_differences_swap_their_sign_with_the_order_and_none_is_not_distinguishable():
    good, poor = score(GOOD), score(POOR)
    for metric in paired_bootstrap.METRICS:
        better, worse = (paired_bootstrap.difference(*pair, metric) for pair in ((poor, good), (good, poor)))
        assert better.value == -worse.value > 0
        assert (better.low, better.high) == pytest.approx((-worse.high, -worse.low))
        assert better.distinguishable
        assert worse.distinguishable
        nothing = paired_bootstrap.difference(good, good, metric)
        assert (nothing.value, nothing.low, nothing.high) == (0, 0, 0)
        assert not nothing.distinguishable


def test_pairs_are_surer_than_two_models_by_themselves():
    """What is hard in a resample is hard for both."""
    similar = np.float32(GOOD + 0.05 * RNG.normal(size=Y.shape))
    first, second = score(GOOD), score(similar)
    paired = paired_bootstrap.difference(first, second, "micro_F1")
    low, high = first.interval("micro_F1")
    assert paired.high - paired.low < (high - low) / 2


def test_runs_are_compared_by_the_mean_of_their_scores_on_each_resample():
    runs = [score(GOOD), score(POOR)]
    mean = paired_bootstrap.mean(runs)
    for metric in paired_bootstrap.METRICS:
        assert mean.values[metric] == pytest.approx(np.mean([run.values[metric] for run in runs]))
    assert mean.resampled == pytest.approx((runs[0].resampled + runs[1].resampled) / 2)
    assert mean.without == pytest.approx((runs[0].without + runs[1].without) / 2)
