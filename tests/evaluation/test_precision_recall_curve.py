"""Curves: their points are those of brute force, down to the depth that was asked for."""

import dataclasses

import numpy as np
import pytest
from helpers.score_cases import CASES, EVERY

from Utils.command.cli import UserError
from Utils.evaluation import chunked_matrix, precision_recall_curve, scores


def collect(p, y, selections, depths, floors=None):
    return precision_recall_curve.collect(p, y, y.sum(axis=0), selections, depths, floors)


def assert_points(curve, p, y):
    """Every point predicts all values from its own up; the values are the greatest ones."""
    values = np.unique(p)[::-1]
    assert np.array_equal(curve.values, values[: len(curve.values)])
    assert curve.predicted.tolist() == [(p >= value).sum() for value in curve.values]
    assert curve.tp.tolist() == [(y & (p >= value)).sum() for value in curve.values]
    assert (curve.positives, curve.size) == (y.sum(), p.size)
    assert curve.complete == (len(curve.values) == len(values))


@EVERY
def test_a_curve_holds_the_depth_and_one_value_below(p, y, monkeypatch):
    monkeypatch.setattr(chunked_matrix, "BLOCK_VALUES", 64)
    monkeypatch.setattr(precision_recall_curve, "MERGE_AT", 50)
    y, every = y != 0, np.ones(p.shape[1], bool)
    for depth in (1, p.size // 4, p.size):
        (curve,) = collect(p, y, [every], [depth])
        assert_points(curve, p, y)
        assert curve.complete or curve.predicted[-2] >= depth
        assert len(curve.values) < 3 or curve.predicted[-3] < depth, "no deeper than needed"


def test_selections_share_columns_and_have_depths_of_their_own(monkeypatch):
    monkeypatch.setattr(chunked_matrix, "BLOCK_VALUES", 90)
    monkeypatch.setattr(precision_recall_curve, "MERGE_AT", 40)
    p, y = CASES[0][1:]
    numbers = np.arange(30)
    selections, depths = [numbers < 20, numbers % 3 == 0, numbers > 28, numbers < 5], [100, 30, 7, None]
    curves = collect(p, y, selections, depths)
    for curve, mask in zip(curves, selections, strict=True):
        assert_points(curve, p[:, mask], y[:, mask])
    assert curves[3].values[-1] <= curves[0].values[-2], "a part reaches as deep as its selection"


def test_counts_at_a_threshold_are_those_of_the_matrix():
    p, y = CASES[0][1:]
    (curve,) = collect(p, y, [np.ones(30, bool)], [p.size])
    for threshold in (*np.unique(p)[::50], np.float32(2), np.float32(-1)):
        expected = scores.count(p, y, threshold).total()
        assert dataclasses.astuple(curve.counts_at(threshold)) == dataclasses.astuple(expected)
    for index in (0, 7, len(curve.values) - 1):
        assert (p > curve.threshold(index)).sum() == curve.predicted[index]


def test_a_threshold_below_what_was_kept_is_not_known():
    p, y = CASES[0][1:]
    (curve,) = collect(p, y, [np.ones(30, bool)], [10])
    assert curve.threshold(len(curve.values) - 2) == curve.values[-1]
    assert curve.threshold(len(curve.values) - 1) is None


def test_a_floor_that_is_too_high_leaves_a_curve_that_says_so():
    p, y = CASES[0][1:]
    floor = int(chunked_matrix.float_keys(np.float32([0.9]))[0])
    (curve,) = collect(p, y, [np.ones(30, bool)], [600], [floor])
    assert_points(curve, p, y)
    assert curve.predicted[-1] < 600
    assert not curve.complete


def test_nan_is_refused_in_columns_that_nobody_asked_for():
    p, y = CASES[0][1].copy(), CASES[0][2]
    p[3, 7] = np.nan
    with pytest.raises(UserError, match="NaN"):
        collect(p, y, [np.arange(30) == 2], [5])
