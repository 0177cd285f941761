"""Resamples of images, and F1 on them, equal to brute force."""

import numpy as np
import pytest
from helpers.score_cases import CASES

from Utils.command.cli import UserError
from Utils.evaluation import bootstrap, scores

P, Y = CASES[0][1:]


def test_resamples_count_the_images_that_are_drawn():
    counts = bootstrap.resample_counts(50, 20, seed=3)
    random = np.random.default_rng(3)
    for resample in counts.T:
        assert resample.tolist() == np.bincount(random.integers(0, 50, 50), minlength=50).tolist()
    assert np.array_equal(bootstrap.resample_counts(50, 20, seed=3), counts)
    assert bootstrap.resample_counts(0, 5).shape == (0, 5)


def test_sparse_columns_are_the_cells_of_the_masks():
    threshold = np.linspace(0, 1, 30)
    columns = bootstrap.confusion_columns(P, Y, threshold)
    above = np.float32(threshold) < P
    for sparse, mask in zip(columns, (Y, above, above & Y), strict=True):
        for tag in range(30):
            assert sparse.rows(tag).tolist() == np.flatnonzero(mask[:, tag]).tolist()
    nan = P.copy()
    nan[1, 2] = np.nan
    with pytest.raises(UserError, match="NaN"):
        bootstrap.confusion_columns(nan, Y, 0.5)


def test_f1_of_resamples_is_that_of_the_repeated_images():
    counts = bootstrap.resample_counts(len(Y), 30, seed=1)
    micro = bootstrap.resampled_f1(bootstrap.confusion_columns(P, Y, 0.6), counts)
    for resample in range(30):
        rows = np.repeat(np.arange(len(Y)), counts[:, resample])
        expected = scores.count(P[rows], Y[rows], 0.6)
        assert micro[resample] == pytest.approx(scores.f_beta(expected.total()), rel=1e-12)


def test_the_interval_is_that_of_counts_by_image():
    confusion = bootstrap.confusion_columns(P, Y, 0.5)
    micro = bootstrap.resampled_f1(confusion, bootstrap.resample_counts(len(Y), 200, seed=5))
    images = scores.count_per_image(P, Y, 0.5)
    assert bootstrap.interval(micro) == pytest.approx(scores.bootstrap_f1(images, 200, seed=5))


def test_f1_is_nan_where_nothing_is_true():
    confusion = bootstrap.confusion_columns(P, np.zeros_like(Y), 0.5)
    assert np.isnan(bootstrap.resampled_f1(confusion, bootstrap.resample_counts(len(Y), 5))).all()


def test_an_interval_leaves_nan_out():
    assert bootstrap.interval([0.0, 1.0, np.nan]) == pytest.approx((0.025, 0.975))
    assert np.isnan(bootstrap.interval([np.nan])).all()
    assert bootstrap.interval(np.arange(101), confidence=0.5) == (25, 75)


def test_many_draws_of_one_image_do_not_overflow():
    y = np.ones((1, 3), bool)
    confusion = bootstrap.confusion_columns(np.ones((1, 3), np.float32), y, 0.5)
    assert np.all(bootstrap.resampled_f1(confusion, np.full((1, 4), 255, np.uint8)) == 1)
    sums = bootstrap._weighted_sums(np.ones((1000, 1)), np.full((1000, 2), 255, np.uint8), step=300)
    assert (sums == 255_000).all()
