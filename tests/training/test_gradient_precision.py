"""Gradients of weights in float32: which products are, which are not, the values."""

import jax
import jax.numpy as jnp
import keras
import numpy as np
import pytest

from Utils.command.cli import WorkError
from Utils.training import gradient_precision

X = np.random.default_rng(0).normal(size=(64, 6)).astype("float32")
WEIGHTS = [
    np.random.default_rng(seed).normal(size=shape).astype("float32")
    for seed, shape in ((1, (6, 6)), (2, (6, 4)))
]
SHAPES = {(6, 6), (6, 4)}


def loss(weights, x):
    """Two layers in bfloat16 of float32 weights, the first one twice."""
    first, second = (jnp.asarray(weight).astype("bfloat16") for weight in weights)
    hidden = jnp.tanh(x.astype("bfloat16") @ first)
    return jnp.sum((hidden @ second).astype("float32") ** 2)


def rematerialized(weights, x):
    """The same, but a block has its weights in bfloat16 already, as Keras hands them over."""
    block = jax.checkpoint(lambda first, second, x: jnp.tanh(x.astype("bfloat16") @ first) @ second)
    first, second = (jnp.asarray(weight).astype("bfloat16") for weight in weights)
    return jnp.sum(block(first, second, x).astype("float32") ** 2)


def products(jaxpr):
    """The result types of all products, those within other operations too, one branch of a choice."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation.outvars[0].aval.dtype.name
        for value in equation.params.values():
            inner = value[-1] if isinstance(value, tuple) and value else value
            if hasattr(inner := getattr(inner, "jaxpr", inner), "eqns"):
                yield from products(inner)


@pytest.mark.parametrize("function", [loss, rematerialized])
def test_products_that_become_gradients_of_weights_are_float32(function):
    gradient = jax.grad(function)
    before, after = (
        sorted(products(jax.make_jaxpr(step)(WEIGHTS, X)))
        for step in (gradient, gradient_precision.rewritten(gradient, SHAPES))
    )
    assert set(before) == {"bfloat16"}
    assert after.count("float32") == 2, "one for each weight, not the logits, which become float32, too"
    assert len(after) == len(before), "no product is computed twice"


def test_the_sum_over_rows_is_not_rounded():
    def linear(weights, x):
        block = jax.checkpoint(lambda weight, x: x.astype("bfloat16") @ weight)
        return jnp.sum(block(weights.astype("bfloat16"), x).astype("float32"))

    gradient = jax.grad(linear)
    both = jax.jit(
        lambda *values: (gradient(*values), gradient_precision.rewritten(gradient, {(1, 2)})(*values))
    )
    half, float32 = both(np.ones((1, 2), "float32"), np.full((257, 1), 1, "float32"))
    assert half.tolist() == [[256, 256]], "bfloat16 has 8 bits"
    assert float32.tolist() == [[257, 257]]


def test_on_tensorflow_nothing_has_to_be_done():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    gradient_precision.apply(model, "float32")
    assert "train_step" not in vars(model)


def test_a_step_in_which_nothing_can_be_changed_is_an_error():
    gradient = jax.grad(loss)
    with pytest.raises(WorkError, match=f"JAX {jax.__version__} traces it: no gradient in half precision"):
        gradient_precision.rewritten(gradient, {(3, 3)}, must_change=True)(WEIGHTS, X)
    gradient_precision.rewritten(gradient, {(3, 3)})(WEIGHTS, X)


def test_a_program_that_is_not_known_is_an_error(monkeypatch):
    monkeypatch.setattr(gradient_precision, "CALLS", ("dot_general",))
    with pytest.raises(WorkError, match="traces it: KeyError: 'jaxpr'. --gradient-dtype compute"):
        gradient_precision.rewritten(jax.grad(loss), SHAPES)(WEIGHTS, X)


@pytest.mark.parametrize(("dtype", "expected"), [("bfloat16", True), ("float32", False)])
def test_only_layers_in_half_precision_need_a_change(monkeypatch, dtype, expected):
    """A float32 head on a frozen body has no gradient to change."""
    needs = []
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(gradient_precision, "rewritten", lambda step, shapes, must: needs.append(must))
    policy = "mixed_bfloat16" if dtype == "bfloat16" else "float32"
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, dtype="mixed_bfloat16"),
                              keras.layers.Dense(1, dtype=policy)])  # fmt: skip
    model.layers[0].trainable = False
    gradient_precision.apply(model, "float32")
    assert needs == [expected]
