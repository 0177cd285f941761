"""EPR in numbers that a hand can reckon; test_missing_positive_losses.py has its formula in float64."""

import keras
import numpy as np
import pytest
from helpers import gradient

from Utils.command.cli import UserError
from Utils.training.expected_positive_loss import epr

LOG3 = np.log(3.0)  # the logit of 3/4
LOGITS = np.float32([[LOG3, -LOG3, 0.0, 0.0], [LOG3, LOG3, LOG3, LOG3]])  # 2 and 3 tags expected: 2.5


def values(labels, **options):
    return keras.ops.convert_to_numpy(epr(np.float32(labels), LOGITS, **options))


@pytest.mark.every_backend
def test_every_image_has_the_penalty_of_the_batch():
    labels = [[1, 1, 0, 0], [0, 0, 0, 0.5]]
    of_positives = np.array([np.log(4 / 3) + np.log(4), 0.5 * np.log(4 / 3)])
    np.testing.assert_allclose(values(labels, expected_positives=2.5), of_positives, rtol=1e-6)
    np.testing.assert_allclose(values(labels, expected_positives=1.5), of_positives + 1 / 4, rtol=1e-6)
    got = values(labels, expected_positives=4.5, weight=3.0)
    np.testing.assert_allclose(got, of_positives + 3 * 2**2 / 4, rtol=1e-6)


@pytest.mark.every_backend
def test_of_an_image_half_known_half_as_many_are_expected():
    labels = [[1, -1, 0, -1], [-1, 0, -1, 0]]
    mean = (3 / 4 + 1 / 2 + 3 / 4 + 3 / 4) / 2
    expected = np.array([np.log(4 / 3), 0]) + (mean - 3 / 2) ** 2 / 4
    np.testing.assert_allclose(values(labels, expected_positives=3.0), expected, rtol=1e-6)


@pytest.mark.every_backend
def test_an_image_whose_labels_are_all_unknown_costs_nothing_and_changes_nothing():
    got = values([[-1, -1, -1, -1], [1, 0, 0, 0]], expected_positives=2.0)
    np.testing.assert_allclose(got, [0, np.log(4 / 3) + (3 - 2) ** 2 / 4], rtol=1e-6)
    np.testing.assert_array_equal(values(-np.ones((2, 4)), expected_positives=2.0), [0, 0])


@pytest.mark.every_backend
@pytest.mark.parametrize("weight", [10.0, 100.0])
def test_constant_outputs_expect_as_many_tags_as_the_module_says(weight):
    labels = (np.random.default_rng(0).random((50, 20)) < np.linspace(0.05, 0.2, 20)).astype(np.float32)
    frequencies, k, n = labels.mean(0), labels.sum(1).mean(), labels.shape[1]
    expected = (k + np.sqrt(k**2 + 2 * k * n / weight)) / 2
    p = frequencies * expected / k
    assert p.max() < 1
    logits = np.tile(np.log(p / (1 - p)), (len(labels), 1)).astype(np.float32)
    options = {"expected_positives": float(k), "weight": weight}
    slopes = gradient(lambda z: keras.ops.sum(epr(labels, z, **options)), logits)
    np.testing.assert_allclose(slopes.sum(0), 0, atol=2e-5 * len(labels))


def test_without_a_number_there_is_no_loss():
    with pytest.raises(UserError, match="loss epr needs expected_positives"):
        values(np.zeros((2, 4)))
