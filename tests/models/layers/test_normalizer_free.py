"""Models/layers/normalizer_free.py: expected variances, shortcuts and the end of a block."""

import keras
import numpy as np
import pytest
from helpers.layers import normal

from Models.layers import normalizer_free


def test_betas_undo_the_growth_of_variance():
    expected = [1, 1.04**-0.5, 1.04**-0.5, 1.08**-0.5, 1.12**-0.5]
    np.testing.assert_allclose(normalizer_free.expected_betas((1, 3, 1)), expected)


def model_of(function, *shapes):
    """A model that applies a function to inputs of these shapes."""
    inputs = [keras.Input(shape) for shape in shapes]
    return keras.Model(inputs, function(*inputs))


@pytest.mark.parametrize("compensate", [False, True])
def test_a_shortcut_is_itself_or_projects_the_average(compensate):
    same = model_of(lambda x, h: normalizer_free.shortcut(x, h, 4, 1, compensate, "s"), (4, 4, 4), (4, 4, 4))
    x, h = normal(2, 4, 4, 4), normal(2, 4, 4, 4, seed=1)
    np.testing.assert_array_equal(same([x, h]), x)
    model = model_of(lambda x, h: normalizer_free.shortcut(x, h, 6, 2, compensate, "s"), (4, 4, 4), (4, 4, 4))
    pooled = h.reshape(2, 2, 2, 2, 2, 4).mean((2, 4)) * (2 if compensate else 1)
    np.testing.assert_allclose(model([x, h]), model.get_layer("s_shortcut")(pooled), atol=1e-5)


def test_a_block_starts_as_its_shortcut_with_skip_init():
    branch, around = normal(2, 3, 3, 4), normal(2, 3, 3, 4, seed=1)
    for skip_init, share in ((True, 0.0), (False, normalizer_free.ALPHA)):
        model = model_of(
            lambda b, a, skip=skip_init: normalizer_free.merge(b, a, None, 0.0, "m", skip_init=skip),
            (3, 3, 4),
            (3, 3, 4),
        )
        np.testing.assert_allclose(model([branch, around]), around + share * branch, atol=1e-6)


def test_an_activation_keeps_the_variance():
    model = model_of(lambda x: normalizer_free.activate(x, "relu", "a", 0.5), (10_000,))
    assert np.array(model([normal(4, 10_000)])).std() == pytest.approx(0.5, rel=0.02)
