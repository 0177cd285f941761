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


def test_queries_and_keys_are_normalized_for_each_head():
    x = normal(2, 6, 12)
    layer = with_weights(attention.SelfAttention(3, qk_norm=True, epsilon=1e-3), x.shape)
    weights = {weight.path.split("/", 1)[1]: np.array(weight) for weight in layer.weights}
    assert weights["query_norm/gamma"].shape == weights["key_norm/beta"].shape == (4,)

    def part(name):
        return np.reshape(x @ weights[f"{name}/kernel"] + weights[f"{name}/bias"], (2, 6, 3, 4))

    def normed(name):
        y, gamma, beta = part(name), weights[f"{name}_norm/gamma"], weights[f"{name}_norm/beta"]
        return (y - y.mean(-1, keepdims=True)) / np.sqrt(y.var(-1, keepdims=True) + 1e-3) * gamma + beta

    scores = np.exp(np.einsum("bnhd,bmhd->bhnm", normed("query"), normed("key")) / 2)
    mixed = np.einsum("bhnm,bmhd->bnhd", scores / scores.sum(-1, keepdims=True), part("value"))
    expected = mixed.reshape(2, 6, 12) @ weights["output/kernel"] + weights["output/bias"]
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)
    assert layer.macs((None, 6, 12)) == attention.SelfAttention(3).macs((None, 6, 12))
    again = attention.SelfAttention.from_config(layer.get_config())
    assert (again.qk_norm, again.epsilon) == (True, 1e-3)


def test_normalized_queries_and_keys_are_of_one_size_and_fit_into_half_precision():
    """Queries of thousands, whose squares float16 does not hold, attend as those a thousandth as large."""
    x = normal(2, 6, 12)
    small = with_weights(attention.SelfAttention(3, qk_norm=True), x.shape)
    large, half = (attention.SelfAttention(3, qk_norm=True, dtype=d) for d in ("float32", "mixed_float16"))
    for layer in (large, half):
        layer.build(x.shape)
        layer.set_weights(small.get_weights())
        for dense in (layer.query_dense, layer.key_dense):
            dense.set_weights([1000 * weight for weight in dense.get_weights()])
    np.testing.assert_allclose(large(x), small(x), atol=1e-4)
    assert half(x).dtype == "float16"
    np.testing.assert_allclose(half(x), small(x), atol=2e-2)


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
