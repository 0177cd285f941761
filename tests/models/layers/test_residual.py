"""Models/layers/residual.py: stochastic depth and learned scales."""

import numpy as np
import pytest
from helpers.layers import normal

from Models.layers import residual


def test_stochastic_depth_drops_samples():
    x = np.ones((4000, 2, 3), "float32")
    for rescale, kept in ((True, 1 / 0.7), (False, 1.0)):
        layer = residual.StochasticDepth(0.3, rescale=rescale, seed=1)
        y = np.array(layer(x, training=True))
        assert (y == y[:, :1, :1]).all()
        np.testing.assert_allclose(np.unique(y), [0, kept], atol=1e-6)
        assert (y == 0).mean() == pytest.approx(0.3, abs=0.03)
        assert (np.array(layer(x, training=True)) != y).any()
        np.testing.assert_array_equal(layer(x, training=False), x)
        np.testing.assert_array_equal(layer(x), x)


@pytest.mark.parametrize("rank", [1, 2, 3, 4])
def test_stochastic_depth_takes_any_rank(rank):
    x = np.ones((64,) + (2,) * (rank - 1), "float32")
    y = np.array(residual.StochasticDepth(0.5, seed=0)(x, training=True)).reshape(64, -1)
    assert set(np.unique(y)) == {0, 2} and (y == y[:, :1]).all()


def test_a_small_rate_survives_bfloat16():
    """Drawn in bfloat16, 0.004 would act as 0.008 (the original's defect)."""
    layer = residual.StochasticDepth(0.004, seed=3, dtype="bfloat16")
    y = np.array(layer(np.ones((200_000, 1)), training=True), "float32")
    assert (y == 0).mean() == pytest.approx(0.004, rel=0.15)


def test_linear_rates_stay_under_the_maximum():
    np.testing.assert_allclose(residual.linear_rates(0.4, 4), [0, 0.1, 0.2, 0.3])


def test_scales():
    x = normal(2, 3, 4)
    layer = residual.LayerScale(0.25)
    np.testing.assert_allclose(layer(x), x / 4)
    assert layer.scale.shape == (4,)
    layer = residual.SkipInit(0.2)
    np.testing.assert_array_equal(layer(x), np.zeros_like(x))
    layer.scale.assign(0.5)
    np.testing.assert_allclose(layer(x), x * 0.1, atol=1e-7)
