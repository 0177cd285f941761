"""Utils/data/repeat_factors.py: the rule of LVIS, and draws that depend on seed, pass and post alone."""

import numpy as np
import pytest

from Utils.data import repeat_factors as rule
from Utils.data.repeat_factors import RepeatFactors

IDS = np.random.default_rng(0).permutation(20_000) * 1000 + 3


def test_factors_of_tags_are_those_of_the_paper():
    frequencies = np.array([0.5, 0.01, 0.0025, 0.0001, 0.0])
    np.testing.assert_allclose(rule.of_tags(frequencies, 0.01), [1, 1, 2, 10, 1])
    assert rule.default_threshold(np.array([0.4, 0.0, 0.1, 0.2])) == pytest.approx(0.2)
    assert rule.default_threshold(np.zeros(3)) == 0.0


def test_irfs_is_the_rule_with_another_threshold_where_a_tag_is_in_an_image_once():
    """f(c) becomes sqrt(f_image f_instance), the instance shares of 3 tags an image being f / 3."""
    images = np.array([0.9, 0.02, 0.5, 1.0, 0.58])
    instances = images / images.sum()
    by_paper = np.maximum(1, np.sqrt(0.1 / np.sqrt(images * instances)))
    np.testing.assert_allclose(rule.of_tags(images, 0.1 * np.sqrt(images.sum())), by_paper)


def test_a_record_has_the_largest_factor_of_its_tags():
    labels = np.array([0, 2, 1, 2, 1])
    factors = rule.of_records(np.array([1.0, 1.5, 4.0])[labels], np.array([2, 0, 1, 0, 2]))
    assert factors.tolist() == [4.0, 1.0, 1.5, 1.0, 4.0]
    assert rule.of_records(np.zeros(0), np.zeros(3, int)).tolist() == [1, 1, 1]


def test_a_record_comes_as_often_as_its_factor_says_on_average():
    factors = np.tile([1.0, 1.25, 2.0, 3.75], 5000)
    repeats = RepeatFactors(IDS, factors, 7)
    counts = np.stack([repeats.of_pass(number) for number in range(20)])
    assert (counts[:, factors == 1] == 1).all()
    assert (counts[:, factors == 2] == 2).all()
    for factor in (1.25, 3.75):
        drawn = counts[:, factors == factor]
        assert set(drawn.ravel()) == {int(factor), int(factor) + 1}
        assert abs(drawn.mean() - factor) < 4 * 0.433 / drawn.size**0.5, "four standard errors"
        # Each pass draws anew: the sum of a record's draws varies as that of independent ones.
        assert drawn.sum(axis=0).var() == pytest.approx(20 * 0.1875, rel=0.1)
    assert repeats.images == 40_000
    assert abs(counts.sum(axis=1) - 40_000).max() < 5 * (10_000 * 0.1875) ** 0.5


def test_draws_depend_on_seed_pass_and_post_alone():
    factors = np.random.default_rng(1).uniform(1, 4, len(IDS))
    repeats = RepeatFactors(IDS, factors, 7)
    some = RepeatFactors(IDS[:100][::-1], factors[:100][::-1], 7)
    np.testing.assert_array_equal(some.of_pass(5)[::-1], repeats.of_pass(5)[:100])
    np.testing.assert_array_equal(repeats.copies(IDS[50:60], 5), repeats.of_pass(5)[50:60])
    assert int(repeats.copies(IDS[3], 5)) == repeats.of_pass(5)[3], "one id, as tf.data asks"
    assert not np.array_equal(repeats.of_pass(5), repeats.of_pass(6))
    assert not np.array_equal(repeats.of_pass(5), RepeatFactors(IDS, factors, 8).of_pass(5))
    assert repeats.of([IDS[0], -5]).tolist() == [np.float32(factors[0]), 1.0]


def test_records_of_one_id_are_counted_as_they_are_read():
    repeats = RepeatFactors(np.array([0, 4, 0]), np.array([3.0, 1.0, 1.0]), 0)
    assert repeats.of_pass(0).tolist() == [3, 1, 3]
    assert repeats.copies(np.array([0, 4, 0]), 0).tolist() == [3, 1, 3]


def test_shards_are_counted_with_their_repeats():
    repeats = RepeatFactors(np.arange(6), np.array([2.0, 1, 1, 3, 1, 1]), 0)
    assert repeats.shard_counts(np.array([2, 0, 3, 1]), 9).tolist() == [3, 0, 5, 1]


def test_what_is_repeated_is_said_with_numbers_and_has_a_digest():
    repeats = RepeatFactors(np.arange(4), np.array([1, 1, 2.5, 1.5]), 0, 0.125)
    assert repeats.text == (
        "2 of 4 records, those with a tag rarer than 0.125 of them, are repeated, up to 2.5 times: "
        "6 images a pass"
    )
    none = RepeatFactors(np.arange(4), np.ones(4), 0, 0.001)
    assert none.text == "no record is repeated: none has a tag rarer than 0.001 of the records"
    assert repeats.digest != none.digest
