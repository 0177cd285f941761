"""Macro F1 and macro AP without each image, equal to brute force; the interval covers as often as it says."""

import numpy as np
import pytest
from helpers.score_cases import CASES
from scipy.stats import norm

from Utils.evaluation import bootstrap, jackknife, per_tag_thresholds, scores

P, Y = CASES[0][1:]


def without_each(p, y, threshold):
    return jackknife.macro_f1_without_each_image(bootstrap.confusion_columns(p, y, threshold), len(y))


def test_without_an_image_is_the_score_of_the_others():
    rare = Y.copy()
    rare[:, :5] = False
    rare[3, :3] = True  # true on one image only: without it they are not counted
    for y in (Y, rare):
        found = without_each(P, y, 0.6)
        for row in range(len(y)):
            others = np.delete(np.arange(len(y)), row)
            expected = scores.macro_f1(scores.count(P[others], y[others], 0.6))
            assert found[row] == pytest.approx(expected, rel=1e-12)


def test_average_precision_without_an_image_is_that_of_the_others():
    random = np.random.default_rng(0)
    p, y = np.float32(np.round(random.random((30, 7)), 1)), random.random((30, 7)) < 0.15  # many equal values
    y[:, 0], y[:, 1], y[:, 2] = False, False, True
    y[3, 0] = True  # without image 3 the tag is not counted
    precisions, found = jackknife.macro_ap_without_each_image(p, y)
    np.testing.assert_allclose(precisions, per_tag_thresholds.average_precisions(p, y), rtol=1e-12)
    for row in range(30):
        others = np.delete(np.arange(30), row)
        expected = np.nanmean(per_tag_thresholds.average_precisions(p[others], y[others]))
        assert found[row] == pytest.approx(expected, rel=1e-12)
    assert np.isnan(jackknife.macro_ap_without_each_image(p, np.zeros_like(y))[1]).all()


def test_nothing_true_gives_nan():
    y = np.zeros_like(Y)
    assert np.isnan(without_each(P, y, 0.5)).all()
    y[4, 2] = True
    found = without_each(P, y, 0.5)
    assert np.isnan(found[4])
    assert not np.isnan(np.delete(found, 4)).any()
    assert np.isnan(jackknife.interval(0.5, found)).all()
    assert np.isnan(jackknife.interval(0.5, np.ones(1))).all()


def test_of_a_mean_it_is_the_interval_of_the_textbook():
    values = np.random.default_rng(0).normal(size=50)
    without = (values.sum() - values) / 49
    low, high = jackknife.interval(values.mean(), without)
    half = 1.959964 * values.std(ddof=1) / np.sqrt(50)
    assert (low, high) == pytest.approx((values.mean() - half, values.mean() + half), rel=1e-6)


def test_a_score_stays_between_0_and_1():
    without = np.array([0.2, 0.9, 0.4])
    low, high = jackknife.interval(0.5, without)
    assert low < 0 and high > 1
    assert jackknife.interval_of_score(0.5, without) == (0, 1)
    assert np.isnan(jackknife.interval_of_score(0.5, np.ones(1))).all()


# Simulated dumps: tags of very different frequency and difficulty, images that are easy or hard for all tags.


def draw(num_images, num_tags, rarest, simulations, seed):
    """Yield (predictions, labels) of the same tags on new images; ``rarest`` is the expected positives."""
    rng = np.random.default_rng(seed)
    share = np.exp(rng.uniform(np.log(rarest / num_images), np.log(0.2), num_tags))
    skill = rng.normal(2.5, 0.8, num_tags)
    cut = norm.ppf(1 - np.minimum(0.02, share * 0.6)) * np.sqrt(1.25)
    for _ in range(simulations):
        labels = rng.random((num_images, num_tags)) < share
        ease = 0.5 * rng.normal(size=(num_images, 1))
        yield rng.normal(size=labels.shape) + ease + labels * skill > cut, labels


def coverage(*world):
    """Return how often the jackknife and the percentiles of the bootstrap cover the mean of all scores."""
    rows = []
    for predicted, labels in draw(*world):
        p = predicted.astype(np.float32)
        value = scores.macro_f1(scores.count(p, labels, 0.5))
        low, high = jackknife.interval(value, without_each(p, labels, 0.5))
        assert low < value < high
        weights = bootstrap.resample_counts(len(labels), 100).T.astype(np.float32)
        tp, true, all_predicted = (
            weights @ part.astype(np.float32) for part in (labels & predicted, labels, predicted)
        )
        f1 = np.divide(2 * tp, true + all_predicted, out=np.zeros_like(tp), where=true > 0)
        rows.append((value, low, high, *bootstrap.interval(f1.sum(axis=1) / (true > 0).sum(axis=1))))
    value, *ends = np.array(rows).T
    return tuple(
        float(np.mean((low <= value.mean()) & (value.mean() <= high))) for low, high in (ends[:2], ends[2:])
    )


def test_the_interval_covers_with_many_rare_tags():
    jack, percentile = coverage(150, 300, 0.5, 60, 4)
    assert jack >= 0.9
    assert percentile < jack - 0.05


@pytest.mark.slow
@pytest.mark.parametrize("world", [(300, 200, 1, 300, 0), (300, 200, 5, 300, 1), (141, 144, 3, 300, 3),
                                   (300, 1000, 0.5, 100, 4)])  # fmt: skip
def test_the_interval_covers_near_its_confidence(world):
    jack, _ = coverage(*world)
    assert 0.92 <= jack <= 0.995
