"""Models/layers/normalization.py: formulas, and batch norm against float64 and the Keras layer."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from helpers.layers import normal, with_weights

from Models.layers import normalization
from Models.layers.normalization import BatchNorm

EPSILON = 1e-3


def training_step(layer, x, upstream):
    """Return output and gradients for x, gamma and beta of a batch whose size the graph does not know."""

    @tf.function(input_signature=[tf.TensorSpec((None, *x.shape[1:]))])
    def step(images):
        with tf.GradientTape() as tape:
            tape.watch(images)
            y = layer(images, training=True)
            loss = tf.reduce_sum(y * upstream)
        return y, *tape.gradient(loss, [images, layer.gamma.value, layer.beta.value])

    return [value.numpy() for value in step(tf.constant(x))]


def by_definition(x, gamma, beta, upstream):
    """The same in float64, by the chain rule over the paper's algorithm 1."""
    axes, count = (0, 1, 2), x[..., 0].size
    mean, variance = x.mean(axes), x.var(axes)
    root = np.sqrt(variance + EPSILON)
    normal = (x - mean) / root
    d_normal = upstream * gamma
    d_variance = (d_normal * (x - mean)).sum(axes) * -0.5 / root**3
    d_mean = -d_normal.sum(axes) / root - 2 * d_variance * (x - mean).mean(axes)
    d_x = d_normal / root + d_variance * 2 * (x - mean) / count + d_mean / count
    return normal * gamma + beta, d_x, (upstream * normal).sum(axes), upstream.sum(axes)


@pytest.mark.parametrize("offset", [0.0, 300.0], ids=["centered", "far from zero"])
def test_batch_norm_in_training_is_the_paper_s(offset):
    random = np.random.default_rng(0)
    x, upstream = random.normal(offset, 3, (4, 5, 5, 6)), random.normal(size=(4, 5, 5, 6))
    gamma, beta = random.normal(size=(2, 6))
    layer = BatchNorm(epsilon=EPSILON, momentum=0.9)
    layer.build((None, 5, 5, 6))
    layer.gamma.assign(gamma)
    layer.beta.assign(beta)
    outputs = training_step(layer, x.astype("float32"), upstream.astype("float32"))
    for ours, true in zip(outputs, by_definition(x, gamma, beta, upstream), strict=True):
        np.testing.assert_allclose(ours, true, atol=1e-3 if offset else 2e-5)
    np.testing.assert_allclose(layer.moving_mean.numpy(), 0.1 * x.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance.numpy(), 0.9 + 0.1 * x.var((0, 1, 2)), rtol=1e-4)


def test_batch_norm_has_the_weights_and_the_inference_of_keras():
    x = np.random.default_rng(1).normal(2, 3, (2, 3, 3, 4)).astype("float32")
    layers = [kind(epsilon=EPSILON, name="norm") for kind in (BatchNorm, keras.layers.BatchNormalization)]
    for layer in layers:
        layer(x, training=True)
    ours, theirs = ([(weight.path, weight.numpy()) for weight in layer.weights] for layer in layers)
    assert [path for path, _ in ours] == [path for path, _ in theirs]
    for (_, one), (_, other) in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)
    np.testing.assert_allclose(*(layer(x, training=False) for layer in layers), rtol=1e-6)


def test_frozen_batch_norm_uses_and_keeps_what_it_has():
    x = np.random.default_rng(1).normal(2, 3, (2, 3, 3, 4)).astype("float32")
    layer = BatchNorm(epsilon=EPSILON)
    layer(x, training=True)
    layer.trainable = False
    kept = layer.moving_mean.numpy()
    np.testing.assert_array_equal(layer(x, training=True), layer(x, training=False))
    np.testing.assert_array_equal(layer.moving_mean.numpy(), kept)


def test_affine_and_response_normalization():
    x = normal(2, 5, 6, 8)
    layer = with_weights(normalization.Affine(), x.shape)
    np.testing.assert_allclose(layer(x), x * np.array(layer.alpha) + np.array(layer.beta), atol=1e-6)
    np.testing.assert_array_equal(normalization.GlobalResponseNorm()(x), x)  # starts as the identity
    layer = with_weights(normalization.GlobalResponseNorm(), x.shape)
    g = np.sqrt((x**2).sum((1, 2), keepdims=True))
    n = g / (g.mean(-1, keepdims=True) + 1e-6)
    expected = np.array(layer.gamma) * (x * n) + np.array(layer.beta) + x
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    assert np.isfinite(layer(np.zeros_like(x))).all()


def test_response_normalization_has_a_gradient_at_zero():
    layer, x = normalization.GlobalResponseNorm(), tf.zeros((1, 2, 2, 3))
    layer.build(x.shape)
    layer.gamma.assign(np.ones(3))
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x))
    np.testing.assert_allclose(tape.gradient(loss, x), np.ones(x.shape), atol=1e-5)


@pytest.mark.parametrize("epsilon", [1e-6, 1e-3])
def test_layer_normalization_has_its_epsilon(epsilon):
    x = 0.03 * normal(2, 3, 3, 16)
    layer = normalization.normalization("layernorm", epsilon, "n")
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + epsilon)
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
