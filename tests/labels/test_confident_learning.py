"""Utils/labels/confident_learning.py: what cleanlab finds, tag for tag, from blocks."""

import warnings

import numpy as np
import pytest
from helpers.quick import slow_but

from Utils.labels import confident_learning

find_label_issues = pytest.importorskip("cleanlab.filter").find_label_issues


def drawn(seed, posts=300, tags=8):
    """Noisy predictions of tags of all frequencies, a tenth of the labels turned around."""
    random = np.random.default_rng(seed)
    true = random.random((posts, tags)) < random.choice([0.0, 0.01, 0.1, 0.5, 0.9, 1.0], tags)
    spread, gap = random.choice([0.5, 1, 3]), random.choice([0, 1, 2])
    p = 1 / (1 + np.exp(-spread * random.normal(size=true.shape) - np.where(true, gap, -gap)))
    return p, true ^ (random.random(true.shape) < 0.1 * (seed % 3 > 0))


def by_cleanlab(p, labels, wrong, how="prune_by_noise_rate"):
    """The rows of one tag, rising, from cleanlab itself; a tag of one class has none."""
    labels = labels.astype(int)
    if not 0 < labels.sum() < len(labels):
        return []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes with few examples
        mask = find_label_issues(labels, np.stack([1 - p, p], axis=1), n_jobs=1, filter_by=how)
    return np.flatnonzero(mask & (labels == wrong)).tolist()


ROUNDINGS = {
    "float64": lambda p: p,
    "float16": lambda p: p.astype(np.float16),
    "eighths, full of ties": lambda p: np.round(p * 8) / 8,
}


@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("block", slow_but([1 << 20, 100], 100))
def test_issues_are_cleanlabs_tag_for_tag(rounding, block, monkeypatch):
    monkeypatch.setattr(confident_learning, "BLOCK", block)
    total = 0
    for seed in range(12):
        p, labels = drawn(seed, posts=12 + 34 * seed)
        p = ROUNDINGS[rounding](p)
        for wrong, by_tag in enumerate(confident_learning.find_label_issues(p, labels)):
            for tag, rows in enumerate(by_tag):
                expected = by_cleanlab(p[:, tag].astype(np.float64), labels[:, tag], wrong)
                assert sorted(rows.tolist()) == expected, (seed, tag, wrong)
                total += len(rows)
    assert total > 250


@pytest.mark.parametrize("seed", [0, 1])  # 0 has tags that no post has, or all
def test_issues_at_thresholds_are_cleanlabs_of_shifted_probabilities(seed):
    p, labels = drawn(seed)
    assert labels.any(axis=0).all() == (seed > 0)
    thresholds = np.linspace(0.05, 0.9, p.shape[1])
    shifted = confident_learning.shift_thresholds_to_half(p, thresholds)
    for wrong, by_tag in enumerate(confident_learning.find_label_issues(p, labels, thresholds=thresholds)):
        for tag, rows in enumerate(by_tag):
            expected = by_cleanlab(shifted[:, tag], labels[:, tag], wrong, "predicted_neq_given")
            assert sorted(rows.tolist()) == expected


def test_a_shift_moves_the_threshold_to_a_half_and_keeps_order_and_ends():
    p = np.array([[0.0, 0.1, 0.3, 0.31, 1.0]]).T
    shifted = confident_learning.shift_thresholds_to_half(p, np.array([0.3]))
    assert shifted[2, 0] == pytest.approx(0.5)
    assert (np.diff(shifted[:, 0]) > 0).all()
    assert shifted[[0, -1], 0].tolist() == [0, 1]
    np.testing.assert_allclose(confident_learning.shift_thresholds_to_half(p, np.array([0.5])), p)


def test_the_likeliest_come_first_and_columns_may_be_selected():
    p, labels = drawn(2)
    missing, wrong = confident_learning.find_label_issues(p, labels)
    for tag, (lacks, has) in enumerate(zip(missing, wrong, strict=True)):
        assert (np.diff(p[lacks, tag]) <= 0).all()
        assert (np.diff(p[has, tag]) >= 0).all()
    chosen, _ = confident_learning.find_label_issues(p, labels, columns=[5, 2])
    assert [rows.tolist() for rows in chosen] == [missing[5].tolist(), missing[2].tolist()]
