"""Counts and scores, equal to brute force and to scikit-learn."""

import dataclasses

import numpy as np
import pytest
from helpers.score_cases import CASES, EVERY
from sklearn import metrics as oracle

from Utils.command.cli import UserError
from Utils.evaluation import chunked_matrix, scores, thresholds


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("sign", [1, -1])
def test_nan_is_refused(dtype, sign):
    p = np.full((3, 4), 0.5, dtype)
    p[1, 2] = np.copysign(np.nan, sign)
    with pytest.raises(UserError, match="NaN"):
        scores.count(p, p > 1, 0.5)
    with pytest.raises(UserError, match="NaN"):
        scores.histograms(p, p > 1)


def test_matrices_of_other_shapes_are_refused():
    with pytest.raises(UserError, match="shape"):
        scores.count(np.zeros((2, 3), np.float32), np.zeros((2, 4)), 0.5)


@EVERY
def test_counts_are_those_of_brute_force(p, y, monkeypatch):
    monkeypatch.setattr(chunked_matrix, "BLOCK_VALUES", 64)
    for t in (p.dtype.type(0.5), p.flat[3], p.dtype.type(-1), p.dtype.type(0)):
        above, true = p > t, y != 0
        counts = scores.count(p, y, t)
        expected = (above & true, above & ~true, ~above & true, ~above & ~true)
        for got, mask in zip(dataclasses.astuple(counts), expected, strict=True):
            assert np.array_equal(got, mask.sum(axis=0))
        images = scores.count_per_image(p, y, t)
        assert np.array_equal(images, np.stack([mask.sum(axis=1) for mask in expected[:3]], axis=1))


def test_the_counts_of_one_tag_are_read_without_a_copy_of_all():
    counts = scores.Counts(*np.arange(40).reshape(4, 10))
    first = counts.select(slice(0, 3))
    assert first.tn.tolist() == [30, 31, 32]
    assert all(
        np.shares_memory(part, all_) for part, all_ in zip(first._parts(), counts._parts(), strict=True)
    )


def test_a_threshold_is_compared_as_stored():
    p = np.array([[0.35, 0.3503]], np.float16)
    assert (
        scores.count(p, p > 0, 0.35).total().predicted == 1
    )  # 0.35 is 0.3501 in float16, and p > t is strict
    per_tag = scores.count(np.array([[0.3, 0.3]], np.float32), np.ones((1, 2)), [0.2, 0.3])
    assert per_tag.tp.tolist() == [1, 0]


@EVERY
def test_scores_are_those_of_scikit_learn(p, y):
    true = (y != 0).astype(int)
    counts = scores.count(p, y, 0.5)
    total = counts.total()
    flat = true.ravel(), (p > p.dtype.type(0.5)).ravel().astype(int)
    defined = {
        scores.precision: oracle.precision_score(*flat, zero_division=np.nan),
        scores.recall: oracle.recall_score(*flat, zero_division=np.nan),
        scores.accuracy: oracle.accuracy_score(*flat),
        scores.f_beta: oracle.fbeta_score(*flat, beta=1, zero_division=np.nan),
    }
    for formula, expected in defined.items():
        assert formula(total) == pytest.approx(expected, rel=1e-12, nan_ok=True), formula
    f2 = oracle.fbeta_score(*flat, beta=2, zero_division=np.nan)
    assert scores.f_beta(total, 2) == pytest.approx(f2, rel=1e-12, nan_ok=True)
    correlation = scores.mcc(total)
    if np.isnan(correlation):
        assert 0 in (total.predicted, total.positives, total.tn + total.fn, total.tn + total.fp)
    else:
        assert correlation == pytest.approx(oracle.matthews_corrcoef(*flat), rel=1e-9, abs=1e-12)


def test_a_correlation_is_at_most_one():
    """Rounded roots made 1.0000000000000002 of it, which tables of results refuse."""
    values = [scores.mcc(scores.Counts(tp, 0, 0, 161 - tp)) for tp in range(1, 160)]
    assert max(values) == 1 and min(values) == pytest.approx(1)


def test_formulas_at_known_counts():
    counts = scores.Counts(6, 2, 3, 89)
    got = scores.summary(counts, 0.25)
    assert list(got) == ["thres", "F1", "F2", "MCC", "A", "R", "P"]
    assert got["P"] == 6 / 8
    assert got["R"] == 6 / 9
    assert got["F1"] == 12 / 17
    assert got["F2"] == 30 / 44
    assert got["A"] == 0.95
    assert got["MCC"] == pytest.approx((6 * 89 - 2 * 3) / np.sqrt(8 * 9 * 92 * 91))


def test_where_as_many_are_predicted_as_true_all_f_scores_agree():
    _, p, y = CASES[0]
    cut = thresholds.p_equals_r(p, y.sum())
    total = scores.count(p, y, cut.threshold).total()
    assert scores.precision(total) == scores.recall(total)
    assert scores.f_beta(total, 2) == pytest.approx(scores.f_beta(total, 1), rel=1e-12)


def test_macro_f1_leaves_absent_tags_out():
    counts = scores.Counts(*np.array([[2, 0, 0], [0, 0, 5], [2, 0, 0], [6, 10, 5]]))
    assert scores.macro_f1(counts) == pytest.approx(2 / 3)
    assert np.isnan(scores.macro_f1(counts.select([1, 2])))


@EVERY
def test_histograms_hold_every_value_once(p, y):
    table = scores.histograms(p, y)
    assert table.sum() == p.size
    assert table[1].sum() == (y != 0).sum()
    edges = scores.bucket_values(p.dtype)
    assert np.all(np.diff(edges[np.isfinite(edges)]) >= 0)
    for t in (0.25, 0.5):  # bucket edges: counts from the histogram are exact there
        at = edges >= t
        assert table[:, at].sum() == (p.astype(np.float64) >= t).sum()


def test_bootstrap_interval_covers_and_narrows():
    _, p, y = CASES[0]
    images = scores.count_per_image(p, y, 0.8)
    low, high = scores.bootstrap_f1(images, resamples=200)
    assert low < scores.f_beta(scores.count(p, y, 0.8).total()) < high
    tight = scores.bootstrap_f1(np.tile(images, (20, 1)), resamples=200)
    assert tight[1] - tight[0] < (high - low) / 3
    assert scores.bootstrap_f1(images, resamples=200) == (low, high)
    assert np.isnan(scores.bootstrap_f1(np.zeros((0, 3)))).all()


def test_the_rarest_third_is_by_count():
    assert scores.rarest_third(np.array([5, 1, 9, 2, 7, 8])).tolist() == [1, 3]


def test_the_interval_of_a_binomial_is_the_known_one():
    """With one tag, always true, never wrongly predicted, recall is a proportion."""
    hit = np.arange(400) < 300
    images = np.stack([hit, 0 * hit, ~hit], axis=1)
    low, high = scores.bootstrap_f1(images, resamples=2000)
    deviation = np.sqrt(0.75 * 0.25 / 400) * 2 / (1 + 0.75) ** 2  # F1 = 2 R / (1 + R)
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.1)
