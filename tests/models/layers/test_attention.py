"""Models/layers/attention.py: gates of channels, and attention over tokens."""

import keras
import numpy as np
import pytest
from helpers.layers import normal, with_weights

from Models.layers import attention


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_squeeze_excite():
    x = normal(2, 5, 6, 8)
    layer = with_weights(attention.SqueezeExcite(factor=2.0), x.shape)
    w1, b1, w2, b2 = map(np.array, layer.weights)
    assert w1.shape == (8, 4)
    gates = sigmoid(np.maximum(x.mean((1, 2)) @ w1 + b1, 0) @ w2 + b2)
    np.testing.assert_allclose(layer(x), x * 2 * gates[:, None, None], atol=1e-5)


@pytest.mark.parametrize(("channels", "taps"), [(16, 3), (128, 5), (256, 5), (512, 5), (1536, 5), (2048, 7)])
def test_efficient_channel_attention(channels, taps):
    x = normal(2, 3, 3, channels)
    layer = with_weights(attention.EfficientChannelAttention(), x.shape)
    kernel = np.array(layer.kernel)
    assert kernel.shape == (taps, 1, 1)
    mixed = keras.ops.conv(x.mean((1, 2))[:, :, None], kernel, padding="same")
    gates = sigmoid(np.array(mixed)[:, :, 0])
    np.testing.assert_allclose(layer(x), x * gates[:, None, None], atol=1e-5)


def test_self_attention_is_that_of_keras():
    x = normal(2, 7, 12)
    layer = with_weights(attention.SelfAttention(3), x.shape)
    stock = keras.layers.MultiHeadAttention(3, 4)
    stock.build(x.shape, x.shape)
    for ours, theirs in zip(layer.weights, stock.weights, strict=True):
        theirs.assign(np.reshape(ours, theirs.shape))
    np.testing.assert_allclose(layer(x), stock(x, x), atol=1e-5)


def test_the_number_of_heads_must_divide_the_channels():
    with pytest.raises(ValueError, match="heads must divide the width 10; got 3"):
        attention.SelfAttention(3).build((None, 4, 10))


def test_biases_of_self_attention_are_options():
    names = [
        {weight.path.split("/", 1)[1] for weight in with_weights(layer, (1, 4, 8)).weights}
        for layer in (
            attention.SelfAttention(2, use_bias=False),
            attention.SelfAttention(2, output_bias=False),
        )
    ]
    kernels = {f"{name}/kernel" for name in ("query", "key", "value", "output")}
    assert names[0] == kernels | {"output/bias"}
    assert names[1] == kernels | {"query/bias", "key/bias", "value/bias"}


def test_attention_pooling_is_self_attention_of_the_latent_query():
    """With the latent vector as a token in front, plain attention gives the same for that token's query."""
    x = normal(2, 6, 12)
    layer = with_weights(attention.AttentionPooling(3), x.shape)
    weights = {weight.path.split("/", 1)[1]: np.array(weight) for weight in layer.weights}
    query = weights["latent"] @ weights["query/kernel"] + weights["query/bias"]  # (12,)
    key = x @ weights["key/kernel"] + weights["key/bias"]
    value = x @ weights["value/kernel"] + weights["value/bias"]
    joined = []
    for head in range(3):
        part = slice(4 * head, 4 * head + 4)
        scores = np.exp(key[..., part] @ query[part] / 2)  # (B, N)
        shares = scores / scores.sum(1, keepdims=True)
        joined.append((shares[..., None] * value[..., part]).sum(1))
    expected = np.concatenate(joined, 1) @ weights["output/kernel"] + weights["output/bias"]
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    with pytest.raises(ValueError, match="heads must divide the width 12; got 5"):
        attention.AttentionPooling(5).build((None, 6, 12))
