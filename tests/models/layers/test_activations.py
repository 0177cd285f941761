"""Models/layers/activations.py: formulas, the variance that they keep, and the gradients written out."""

import numpy as np
import pytest
import tensorflow as tf

from Models.layers import activations


@pytest.mark.parametrize("name", activations.FUNCTIONS)
def test_gammas_keep_the_variance(name):
    x = np.linspace(-8, 8, 200_001)
    density = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
    y = np.array(activations.Activation(name, preserve_variance=True)(x.astype("float32")), "float64")
    mean = np.trapezoid(y * density, x)
    spread = np.trapezoid((y - mean) ** 2 * density, x) ** 0.5
    assert spread == pytest.approx(1, abs=6e-3)


def test_activation_formulas():
    x = np.random.default_rng(0).standard_normal(1000).astype("float32")
    erf = np.vectorize(__import__("math").erf)
    np.testing.assert_allclose(activations.gelu(x), x * 0.5 * (1 + erf(x / 2**0.5)), atol=1e-6)
    np.testing.assert_allclose(activations.hswish(x), x * np.clip(x + 3, 0, 6) / 6, atol=1e-6)
    np.testing.assert_allclose(activations.gelu_tanh(x), activations.gelu(x), atol=1e-3)
    assert np.abs(activations.gelu_tanh(x) - activations.gelu(x)).max() > 1e-5
    np.testing.assert_allclose(activations.quick_gelu(x), x / (1 + np.exp(-1.702 * x)), atol=1e-6)
    scaled = activations.Activation("relu", preserve_variance=True, scale=0.5)(x)
    np.testing.assert_allclose(scaled, np.maximum(x, 0) * 1.7139588594436646 / 2, atol=1e-6)


@pytest.mark.parametrize("name", activations.FUNCTIONS)
def test_written_out_gradients_are_the_slopes(name):
    x = (np.arange(-65, 65) * 0.1 + 0.05).astype("float32")  # misses the corners at 0, 3 and 6
    layer = activations.Activation(name, preserve_variance=True, scale=0.7)
    with tf.GradientTape() as tape:
        inputs = tf.constant(x)
        tape.watch(inputs)
        y = layer(inputs)
    slope = (np.array(layer(x + 0.01), "float64") - np.array(layer(x - 0.01), "float64")) / 0.02
    np.testing.assert_allclose(tape.gradient(y, inputs), slope, atol=2e-4, rtol=1e-4)


def test_star_relu_begins_with_mean_0_and_variance_1():
    x = np.linspace(-8, 8, 200_001)
    density = np.exp(-0.5 * x**2) / np.sqrt(2 * np.pi)
    layer = activations.StarReLU()
    y = np.array(layer(x.astype("float32")), "float64")
    assert np.trapezoid(y * density, x) == pytest.approx(0, abs=1e-3)
    assert np.trapezoid(y**2 * density, x) == pytest.approx(1, abs=2e-3)
    layer.scale.assign(2.0)
    layer.bias.assign(0.5)
    np.testing.assert_allclose(layer(np.float32([-1, 0, 3])), [0.5, 0.5, 18.5])
