"""Confused pairs of tags and the worst images of a tag, equal to brute force."""

import numpy as np
import pytest

from Utils.evaluation import confusion, scores


def test_tags_that_are_swapped_on_purpose_are_confused():
    """Predicted wrongly where the other is true and missed."""
    y = np.random.default_rng(1).random((60, 8)) < 0.3
    p = np.where(y, 0.9, 0.1).astype(np.float32)
    p[:, [2, 3]] = p[:, [3, 2]]
    threshold, counts = 0.5, scores.count(p, y, 0.5)
    both = {(2, 3): int((y[:, 3] & ~y[:, 2]).sum()), (3, 2): int((y[:, 2] & ~y[:, 3]).sum())}
    pairs = confusion.pairs(p, y, threshold, counts)
    assert {(pair.predicted, pair.true): pair.images for pair in pairs} == both
    for pair in pairs:
        assert pair.expected == pytest.approx(counts.fp[pair.predicted] * counts.fn[pair.true] / 60)
    rows = confusion.pair_rows(p[:, [2, 3]], y[:, [2, 3]], threshold)
    assert len(rows) == 3
    assert all(y[rows, 3] & ~y[rows, 2])
    assert (
        confusion.pairs(y.astype(np.float32), y, threshold, scores.count(y.astype(np.float32), y, 0.5)) == []
    )


def test_pairs_are_counted_as_brute_force_counts_them_and_ranked_by_their_lead_over_chance():
    rng = np.random.default_rng(2)
    y = rng.random((300, 6)) < 0.4
    p = np.where(rng.random(y.shape) < 0.3, ~y, y).astype(np.float32)
    swapped = rng.random((300, 1)) < 0.5
    p[:, [1, 4]] = np.where(swapped, y[:, [4, 1]], p[:, [1, 4]])
    above, counts = p > 0.5, scores.count(p, y, 0.5)
    lead = {}
    for i, j in np.ndindex(6, 6):
        together = int((above[:, i] & ~y[:, i] & y[:, j] & ~above[:, j]).sum())
        expected = counts.fp[i] * counts.fn[j] / 300
        lead[i, j] = (together - expected) / np.sqrt(expected + 1), together, expected
    ranked = sorted((key for key in lead if lead[key][0] > 2), key=lambda key: -lead[key][0])
    pairs = confusion.pairs(p, y, 0.5, counts)
    assert ranked
    assert [(pair.predicted, pair.true) for pair in pairs] == ranked
    for pair in pairs:
        assert (pair.images, pair.expected) == pytest.approx(lead[pair.predicted, pair.true][1:])


def test_worst_rows_are_the_gravest_mistakes():
    p, y = np.float32([0.9, 0.1, 0.3, 0.8, 0.6, 0.5]), np.array([0, 1, 1, 1, 0, 0]) > 0
    assert confusion.worst_rows(p, y, 0.5) == ([1, 2], [0, 4])


def test_columns_are_read_as_they_are_compared():
    p = np.random.default_rng(0).random((300, 5)).astype(np.float16)
    values, true = confusion.read_columns(p, p > 0.5, np.array([4, 1]))
    assert np.array_equal(values, p[:, [4, 1]].astype(np.float32))
    assert np.array_equal(true, p[:, [4, 1]] > 0.5)
