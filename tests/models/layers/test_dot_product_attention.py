"""Models/layers/dot_product_attention.py: both forms of attention give the same, gradients included."""

import keras
import numpy as np
import pytest
from helpers.layers import normal, with_weights

from Models.layers import dot_product_attention as attention
from Models.layers.attention import SelfAttention
from Models.layers.rotary import RotaryAttention
from Models.layers.windows import WindowAttention


@pytest.fixture(autouse=True)
def back_to_auto():
    yield
    attention.set_attention_implementation("auto")


def in_form(form, function):
    attention.set_attention_implementation(form)
    return np.array(function())


def softmax_of(scores):
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


@pytest.mark.parametrize("with_bias", [False, True])
@pytest.mark.parametrize("form", ["plain", "fused"])
def test_the_formula(form, with_bias):
    query, key, value = (normal(2, 3, 5, 4, seed=seed) for seed in range(3))
    bias = normal(3, 5, 5, seed=3) if with_bias else None
    expected = softmax_of(query @ key.swapaxes(-1, -2) + (0 if bias is None else bias)) @ value
    arrays = [None if array is None else keras.ops.convert_to_tensor(array) for array in (key, value, bias)]
    mixed = in_form(
        form, lambda: attention.dot_product_attention(keras.ops.convert_to_tensor(query), *arrays)
    )
    np.testing.assert_allclose(mixed, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (lambda: SelfAttention(2), (2, 9, 16)),
        (lambda: SelfAttention(2, qk_norm=True), (2, 9, 16)),
        (lambda: RotaryAttention(2, prefix=1), (2, 10, 16)),
        (lambda: WindowAttention(2, 3), (2, 6, 6, 16)),
        (lambda: WindowAttention(2, 3, shifted=True), (2, 6, 6, 16)),
    ],
)
def test_layers_give_the_same_in_both_forms(layer, shape):
    layer = with_weights(layer(), shape)
    plain, fused = (in_form(form, lambda: layer(normal(*shape))) for form in ("plain", "fused"))
    np.testing.assert_allclose(fused, plain, atol=1e-5)
    assert np.abs(plain).max() > 0.1


def test_long_sequences_on_a_tpu_are_fused_unless_a_bias_is_added(monkeypatch):
    monkeypatch.setattr(attention, "platform", lambda: "tpu")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    choices = [attention.attention_implementation(tokens) for tokens in (784, 1024)]
    assert choices == ["plain", "fused"]
    assert attention.attention_implementation(4096, has_bias=True) == "plain"
    monkeypatch.setattr(attention, "platform", lambda: "cpu")
    assert attention.attention_implementation(4096) == "plain"
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    assert attention.attention_implementation(4) == "fused"


def test_a_layer_says_its_form_and_tokens():
    layer = SelfAttention(2)
    layer.build((None, 9, 4))
    assert layer.attention_form == "plain, 9 tokens"


def test_another_name_is_refused():
    with pytest.raises(ValueError, match="must be 'auto', 'fused' or 'plain'; got 'flash'"):
        attention.set_attention_implementation("flash")


def test_the_softmax_is_taken_in_float32():
    scores = np.array([[60000.0, 59990.0]], "float16")
    weights = attention.softmax(scores, "float16")
    assert weights.dtype == "float16"
    np.testing.assert_allclose(weights.numpy().sum(), 1, atol=1e-3)
