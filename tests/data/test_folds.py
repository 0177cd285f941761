"""Utils/data/folds.py: a fold is a function of the post id, folds are about equal and make up the whole."""

import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.data import folds


def test_folds_partition_the_posts_and_are_about_equal():
    ids = np.arange(100_000) * 7
    sizes = [int(folds.Fold(index, 5).contains(ids).sum()) for index in range(5)]
    assert sum(sizes) == len(ids)
    assert max(abs(size - 20_000) for size in sizes) < 4 * (100_000 * 0.2 * 0.8) ** 0.5
    for residue in range(10):  # a split is residues modulo 1000: each must have all folds
        assert np.bincount(folds.fold_of(ids[ids % 10 == residue], 5)).min() > 1900
    assert np.array_equal(folds.Fold(2, 5).excludes(ids), ~folds.Fold(2, 5).contains(ids))


def test_the_fold_of_a_post_is_the_same_for_ever():
    """SplitMix64's first output for the seeds 0 and 1234567 is published with its reference code."""
    assert int(folds.fold_of(0, 2**63 - 1)) == 0xE220A8397B1DCDAF % (2**63 - 1)
    assert int(folds.fold_of(1234567, 2**63 - 1)) == 6457827717110365317 % (2**63 - 1)
    big = np.array([2**62 + 1, 5], np.int64)
    assert np.array_equal(folds.fold_of(big, 3), [folds.fold_of(post_id, 3) for post_id in big])


def test_a_fold_is_written_as_index_and_count():
    assert folds.parse("") is None
    assert folds.parse("2/5") == folds.Fold(2, 5)
    assert str(folds.parse("2/5")) == "2/5"
    for text in ("5/5", "1", "a/b", "-1/3", "0/1", "1/2/3", "0/" + "9" * 30, "0/" + "9" * 5000):
        with pytest.raises(UserError, match="I/K.*got"):
            folds.parse(text)
