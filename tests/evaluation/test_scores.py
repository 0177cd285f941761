"""Utils.evaluation.scores, Utils.evaluation.thresholds, Utils.evaluation.chunked_matrix: equal to brute
force and to scikit-learn."""

import dataclasses
import pathlib
import resource

import numpy as np
import pytest
from helpers.score_cases import CASES, EVERY
from sklearn import metrics as oracle

from Utils.command.cli import UserError
from Utils.evaluation import chunked_matrix, scores, thresholds

RNG = np.random.default_rng(0)


def nearest_by_brute_force(p, wanted):
    """Try every stored value and one below all: the nearest number predicted, of two the smaller one."""
    least = np.nextafter(p.min(), p.dtype.type(-np.inf))
    options = [(abs(int((p > t).sum()) - wanted), -float(t), t) for t in (least, *np.unique(p))]
    return min(options)[2]


@EVERY
def test_p_equals_r_is_the_nearest_of_all_stored_values(p, y):
    cut = thresholds.p_equals_r(p, int((y != 0).sum()))
    assert cut.threshold == nearest_by_brute_force(p, int((y != 0).sum()))
    assert cut.threshold.dtype == p.dtype
    assert cut.counts.predicted == (p > cut.threshold).sum()
    assert (cut.ties == 0) == (cut.counts.predicted == cut.target)


@EVERY
def test_every_number_can_be_asked_for_in_any_blocks(p, y, monkeypatch):
    monkeypatch.setattr(chunked_matrix, "BLOCK_VALUES", 64)  # the search narrows from block to block
    for wanted in {0, 1, p.size // 3, p.size - 1, p.size}:
        assert thresholds.p_equals_r(p, wanted).threshold == nearest_by_brute_force(p, wanted), wanted


def test_ties_go_to_the_nearer_side():
    p = np.array([[0.9, 0.5, 0.5, 0.5, 0.2]], np.float32)
    few, many, even = (thresholds.p_equals_r(p, wanted) for wanted in (2, 3, 4))
    assert (few.threshold, few.counts.predicted, few.ties) == (np.float32(0.5), 1, 3)
    assert (many.threshold, many.counts.predicted, many.ties) == (np.float32(0.2), 4, 3)
    assert (even.threshold, even.counts.predicted, even.ties) == (np.float32(0.2), 4, 0)
    both = thresholds.p_equals_r(np.array([[0.9, 0.5, 0.5, 0.2]], np.float32), 2)
    assert (both.threshold, both.counts.predicted, both.ties) == (np.float32(0.5), 1, 2)


def test_selections_of_columns_are_searched_together_and_alone_alike(monkeypatch):
    monkeypatch.setattr(chunked_matrix, "BLOCK_VALUES", 90)
    p, y = CASES[0][1:]
    chosen = [None, np.arange(5, 11), np.array([0, 7, 29]), np.arange(30) % 2 == 0]
    cuts = thresholds.p_equals_r_of(p, [(y[:, c].sum() if c is not None else y.sum(), c) for c in chosen])
    for cut, columns in zip(cuts, chosen, strict=True):
        part = p if columns is None else p[:, columns]
        assert cut.threshold == nearest_by_brute_force(part, cut.target)


def test_what_cannot_be_selected_is_refused():
    p = np.zeros((2, 3), np.float32)
    for columns, wanted in (([], 0), (None, 7), (None, -1)):
        with pytest.raises(UserError):
            thresholds.p_equals_r(p, wanted, columns)
    with pytest.raises(UserError, match="float16"):
        thresholds.p_equals_r(p.astype(np.uint8), 1)
    with pytest.raises(UserError, match="shape"):
        scores.count(p, np.zeros((2, 4)), 0.5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("sign", [1, -1])
def test_nan_is_refused(dtype, sign):
    p = np.full((3, 4), 0.5, dtype)
    p[1, 2] = np.copysign(np.nan, sign)
    with pytest.raises(UserError, match="NaN"):
        thresholds.p_equals_r(p, 3)
    with pytest.raises(UserError, match="NaN"):
        scores.count(p, p > 1, 0.5)


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


def test_the_interval_of_a_binomial_is_the_known_one():
    """With one tag, always true, never wrongly predicted, recall is a proportion."""
    hit = np.arange(400) < 300
    images = np.stack([hit, 0 * hit, ~hit], axis=1)
    low, high = scores.bootstrap_f1(images, resamples=2000)
    deviation = np.sqrt(0.75 * 0.25 / 400) * 2 / (1 + 0.75) ** 2  # F1 = 2 R / (1 + R)
    assert high - low == pytest.approx(2 * 1.96 * deviation, rel=0.1)


def test_a_mapped_file_is_read_without_becoming_resident(tmp_path):
    path = tmp_path / "p.npy"
    mapped = np.lib.format.open_memmap(path, "w+", np.float32, (40_000, 500))
    for start in range(0, 40_000, 1000):
        mapped[start : start + 1000] = RNG.random((1000, 500), dtype=np.float32)
    mapped.flush()
    del mapped
    p = np.load(path, mmap_mode="r")
    before = resident()
    cut = thresholds.p_equals_r(p, 1_000_000)
    counts = scores.count(p, np.broadcast_to(np.uint8(1), p.shape), cut.threshold)
    assert resident() - before < 30 * 2**20  # of 80 MB
    assert counts.total().tp == cut.counts.predicted == pytest.approx(1_000_000, abs=20)


def resident():
    return int(pathlib.Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def test_a_view_of_a_mapped_file_is_read_at_its_own_place(tmp_path):
    whole = RNG.random((20, 6), dtype=np.float32)
    np.save(tmp_path / "p.npy", whole)
    mapped = np.load(tmp_path / "p.npy", mmap_mode="r")
    np.save(tmp_path / "f.npy", np.asfortranarray(whole))
    fortran = np.load(tmp_path / "f.npy", mmap_mode="r")
    for view, expected in (
        (mapped, whole),
        (mapped[5:], whole[5:]),
        (mapped[:, 2:], whole[:, 2:]),
        (fortran, whole),
    ):
        got = np.concatenate([block.copy() for (block,) in chunked_matrix.row_blocks(view)])
        assert np.array_equal(got, expected)


def test_keys_sort_like_the_values():
    for dtype in (np.float16, np.float32, np.float64):
        values = np.array([-np.inf, -2, -1e-7, 0.0, 1e-7, 0.5, 1, np.inf], dtype)
        keys = chunked_matrix.float_keys(values)
        assert np.all(np.diff(keys.astype(object)) > 0)
        assert np.array_equal(chunked_matrix.keys_to_floats(keys.astype(np.uint64), np.dtype(dtype)), values)
