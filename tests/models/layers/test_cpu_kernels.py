"""Models/layers/cpu_kernels.py: the kernels against float64, in both types that training has."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from Models.layers import cpu_kernels
from Models.layers.activations import GAMMAS, Activation
from Models.layers.normalization import BatchNorm

ROUNDING = {"float32": 2e-6, "bfloat16": 2**-8}  # of a number near 1


def value_and_gradient(function, x, upstream):
    """Return y and the gradient for x, computed in a graph."""

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = function(x)
        return y, tape.gradient(y, x, upstream)

    return step(x)


def test_they_are_for_tensorflow_on_cpus_only(monkeypatch):
    assert cpu_kernels.are_available()
    monkeypatch.setattr(cpu_kernels, "platform", lambda: "gpu")
    assert not cpu_kernels.are_available()
    monkeypatch.setattr(cpu_kernels, "platform", lambda: "cpu")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert not cpu_kernels.are_available()


@pytest.mark.parametrize("dtype", ROUNDING)
def test_batch_statistics_are_those_of_the_batch(dtype):
    x = tf.cast(np.random.default_rng(0).normal(3, 2, (2, 3, 3, 5)), dtype)
    true = tf.cast(x, "float64").numpy()
    y, mean, variance = cpu_kernels.batch_normalize(x, tf.ones(5), tf.zeros(5), 1e-3)
    assert (y.dtype, mean.dtype, variance.dtype) == (dtype, "float32", "float32")
    np.testing.assert_allclose(mean, true.mean((0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(variance, true.var((0, 1, 2)), rtol=1e-5)  # by 18, not by 17
    normal = (true - true.mean((0, 1, 2))) / np.sqrt(true.var((0, 1, 2)) + 1e-3)
    np.testing.assert_allclose(tf.cast(y, "float64"), normal, atol=2 * ROUNDING[dtype])


def test_one_pixel_has_no_variance():
    _, mean, variance = cpu_kernels.batch_normalize(tf.fill((1, 1, 1, 2), 7.0), tf.ones(2), tf.zeros(2), 1e-3)
    np.testing.assert_array_equal([mean, variance], [[7, 7], [0, 0]])


def test_half_precision_becomes_float32_for_its_statistics():
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 3, 3, 5)), "float16")
    y, mean, _ = cpu_kernels.batch_normalize(x, tf.ones(5), tf.zeros(5), 1e-3)
    assert y.dtype == mean.dtype == "float32"


def test_a_layer_in_bfloat16_has_the_gradients_of_float32():
    random = np.random.default_rng(0)
    x, upstream = (tf.cast(random.normal(size=(4, 5, 5, 6)), "bfloat16") for _ in range(2))
    outputs = []
    for dtype in ("float32", "mixed_bfloat16"):
        layer = BatchNorm(dtype=dtype)
        layer.build((None, 5, 5, 6))
        cast = layer.compute_dtype
        function = lambda x, layer=layer: layer(x, training=True)  # noqa: E731
        y, gradient = value_and_gradient(function, tf.cast(x, cast), tf.cast(upstream, cast))
        assert y.dtype == gradient.dtype == cast
        outputs.append([tf.cast(value, "float32") for value in (y, gradient, layer.moving_variance)])
    for exact, rounded in zip(*outputs, strict=True):
        np.testing.assert_allclose(rounded, exact, atol=4 * ROUNDING["bfloat16"])


@pytest.mark.parametrize("scale", [1.0, 0.5])
@pytest.mark.parametrize("name", ["gelu", "silu"])
def test_activations_in_training_are_those_of_inference(name, scale):
    x = tf.constant(np.linspace(-12, 12, 97).reshape(1, 97), "float32")
    upstream = tf.constant(np.random.default_rng(0).normal(size=(1, 97)), "float32")
    layer = Activation(name, preserve_variance=True, scale=scale)
    assert layer.factor == scale * GAMMAS[name]
    pairs = [
        value_and_gradient(lambda x, way=way: layer(x, training=way), x, upstream) for way in (True, False)
    ]
    for fused, plain in zip(*pairs, strict=True):
        np.testing.assert_allclose(fused, plain, atol=5e-6)


@pytest.mark.parametrize("name", ["gelu", "silu"])
def test_bfloat16_is_rounded_once(name):
    x = tf.cast(np.random.default_rng(0).normal(size=(3, 50)), "bfloat16")
    exact = Activation(name, dtype="float32")(tf.cast(x, "float32"), training=True)
    rounded = Activation(name, dtype="bfloat16")(x, training=True)
    assert rounded.dtype == "bfloat16"
    np.testing.assert_array_equal(tf.cast(exact, "bfloat16"), rounded)


def test_an_elementwise_function_has_the_gradient_that_it_is_given():
    function = cpu_kernels.elementwise(lambda x: x**3, lambda x, upstream: upstream * 3 * x**2)
    y, gradient = value_and_gradient(function, tf.constant([2.0, -1.0]), tf.constant([1.0, 10.0]))
    np.testing.assert_allclose([y, gradient], [[8, -1], [12, 30]])


def test_many_shapes_are_no_retracing(caplog):
    function = cpu_kernels.elementwise(lambda x: 2 * x, lambda x, upstream: 2 * upstream)
    for size in range(1, 9):
        np.testing.assert_array_equal(function(tf.ones(size)), np.full(size, 2))
    assert "retracing" not in caplog.text
