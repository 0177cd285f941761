"""Adaptive gradient clipping against the rule of its paper, unit by unit."""

import keras
import numpy as np
import pytest

from Utils.training.adaptive_gradient_clipping import clip_by_unit_norm, unit_norms


@pytest.mark.parametrize(
    ("shape", "norms"),
    [((), ()), ((5,), (1,)), ((4, 3), (1, 3)), ((3, 3, 2, 6), (1, 1, 1, 6))],
)
def test_a_unit_is_a_vector_a_column_or_an_output_channel(shape, norms):
    values = np.ones(shape, "float32")
    got = keras.ops.convert_to_numpy(unit_norms(values))
    assert got.shape == norms
    np.testing.assert_allclose(got, np.sqrt(values.size / max(got.size, 1)))


def clipped_by_hand(gradient, weight, factor):
    """The rule of arXiv:2102.06171, unit by unit."""
    units = [...] if gradient.ndim < 2 else [(..., unit) for unit in range(gradient.shape[-1])]
    result = np.array(gradient)
    for unit in units:
        bound = factor * max(np.linalg.norm(weight[unit]), 1e-3)
        length = np.linalg.norm(gradient[unit])
        if length >= bound:
            result[unit] = gradient[unit] * bound / max(length, 1e-6)
    return result


@pytest.mark.parametrize("shape", [(), (5,), (4, 3), (2, 4, 3), (3, 3, 2, 6)])
@pytest.mark.every_backend
def test_agc_clips_unit_by_unit(shape):
    random = np.random.default_rng(len(shape))
    weight, gradient = random.normal(size=shape), random.normal(size=shape)
    for factor in (0.01, 1.0):
        scaled = gradient * np.linspace(0.1, 3, shape[-1]) if shape else gradient
        got = clip_by_unit_norm(np.float32(scaled), np.float32(weight), factor)
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(got), clipped_by_hand(scaled, weight, factor), rtol=2e-6
        )


def test_agc_of_zeros_stays_finite_and_lets_them_grow():
    zeros, ones = np.zeros((4, 3), "float32"), np.ones((4, 3), "float32")
    assert np.all(keras.ops.convert_to_numpy(clip_by_unit_norm(zeros, zeros, 0.01)) == 0)
    grown = keras.ops.convert_to_numpy(clip_by_unit_norm(ones, zeros, 0.01))
    np.testing.assert_allclose(np.linalg.norm(grown, axis=0), 1e-5, rtol=1e-5)
