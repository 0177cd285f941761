"""Models/layers/randomness.py: dropout, its rates and its seeds."""

import keras
import numpy as np
import pytest

from Models.layers import randomness, residual


def test_dropout_is_inverted():
    x = np.ones((400, 50), "float32")
    y = np.array(randomness.Dropout(0.25, seed=5)(x, training=True))
    np.testing.assert_allclose(np.unique(y), [0, 1 / 0.75], atol=1e-6)
    assert (y == 0).mean() == pytest.approx(0.25, abs=0.02)
    np.testing.assert_array_equal(randomness.Dropout(0.0)(x, training=True), x)


@pytest.mark.parametrize("rate", [-0.1, 1.0, 2])
def test_rates_have_a_range(rate):
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        residual.StochasticDepth(rate)


def test_one_replica_draws_as_the_stock_generator():
    ours, stock = randomness.ReplicaSeedGenerator(11), keras.random.SeedGenerator(11)
    for _ in range(2):
        np.testing.assert_array_equal(ours.next(), stock.next())
