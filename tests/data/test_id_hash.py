"""Utils/data/id_hash.py: SplitMix64 of post ids, and evenly spread numbers made of it."""

import numpy as np

from Utils.data import id_hash


def test_the_hash_is_splitmix64():
    """Its first output for the states 0 and 1234567 is published with its reference code."""
    assert int(id_hash.splitmix64(0)) == 0xE220A8397B1DCDAF
    assert int(id_hash.splitmix64(1234567)) == 6457827717110365317
    ids = np.arange(10000)
    keys = id_hash.splitmix64(ids, 7)
    assert len(np.unique(keys)) == 10000
    assert abs(np.corrcoef(ids, np.argsort(keys))[0, 1]) < 0.05
    assert (id_hash.splitmix64(ids[5000:], 7) == keys[5000:]).all()


def test_uniform_numbers_are_even_and_independent_of_one_another():
    ids = np.arange(200_000) * 1000 + 7  # of one split
    numbers = {seeds: id_hash.uniform(ids, *seeds) for seeds in ((0, 0), (0, 1), (1, 0), (0, 2))}
    for values in numbers.values():
        assert values.min() >= 0
        assert values.max() < 1
        counts = np.histogram(values, 20, (0, 1))[0]
        assert ((counts - 10_000) ** 2 / 10_000).sum() < 43.8  # chi squared of 19, one in a thousand
    assert np.abs(np.corrcoef(list(numbers.values())) - np.eye(4)).max() < 0.01
    folds = id_hash.splitmix64(ids) % np.uint64(5)
    means = [numbers[0, 0][folds == fold].mean() for fold in range(5)]
    assert np.abs(np.array(means) - 0.5).max() < 0.01, "nor do they follow the folds"
