"""Decay, clipping, learning rates and averages by variable, on one device and on two, over small batches."""

import keras
import numpy as np
import pytest
from helpers.optimized import build, step, trained_weights, variables, weights_by_optimizer

from Utils.training import optimizers
from Utils.training.per_variable_optimizer import averaged_weights


@pytest.mark.parametrize("name", [name for name in optimizers.OPTIMIZERS if name != "lamb"])
@pytest.mark.every_backend
def test_decay_is_decoupled_and_exempts_by_path(name):
    """Against the same optimizer without a decay, which starts from decayed weights."""
    start = {"kernel": np.arange(6.0).reshape(3, 2) + 1, "bias": np.float32([1, -2])}
    gradients = {"kernel": np.ones((3, 2)), "bias": np.float32([2, 1])}
    got = step(build(name, 0.1, weight_decay=0.5, no_decay=["bias"]), variables(**start), **gradients)
    shrunk = start | {"kernel": start["kernel"] * 0.95}
    plain = step(build(name, 0.1), variables(**shrunk), **gradients)
    np.testing.assert_allclose(got["bias"], plain["bias"], rtol=1e-6)
    if name != "schedule_free_adamw":  # its decay enters the iterate, see its own test
        np.testing.assert_allclose(got["kernel"], plain["kernel"], rtol=1e-6)
    assert np.all(got["kernel"] != step(build(name, 0.1), variables(**start), **gradients)["kernel"])


def test_agc_in_the_optimizer_leaves_the_head_alone():
    start = {"stem": np.ones((4, 3)), "head": np.ones((4, 3))}
    gradients = {"stem": np.full((4, 3), 5.0), "head": np.full((4, 3), 5.0)}
    got = step(
        build("sgd", 1.0, momentum=0.0, agc=0.01, no_clip=["^head"]),
        variables(**start),
        **gradients,
    )
    np.testing.assert_allclose(got["head"], -4)
    np.testing.assert_allclose(got["stem"], 1 - 0.01, rtol=1e-6)


@pytest.mark.every_backend
@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_the_global_norm_is_of_all_weights_together(name):
    """Gradients of norm 13 with the limit 6.5 step as their halves; those of a lower norm stay."""
    start = {"kernel": np.ones((1, 2)), "bias": np.ones(1)}
    steep, halved = ({"kernel": np.float32([[3, 4]]) * k, "bias": np.float32([12]) * k} for k in (1, 0.5))
    clipped = step(build(name, 0.1, global_clipnorm=6.5), variables(**start), **steep)
    expected = step(build(name, 0.1), variables(**start), **halved)
    gentle = step(build(name, 0.1, global_clipnorm=6.6), variables(**start), **halved)
    for weight in start:
        np.testing.assert_allclose(clipped[weight], expected[weight], rtol=1e-6)
        np.testing.assert_array_equal(gentle[weight], expected[weight])


def test_layers_may_learn_at_rates_of_their_own():
    start = {"body_a": [1.0], "body_b": [1.0], "head": [1.0]}
    optimizer = build("sgd", 0.1, momentum=0.0, rate_factors=[("body_a", 0.5), ("body", 0.0)])
    got = step(optimizer, variables(**start), body_a=[1.0], body_b=[1.0], head=[1.0])
    np.testing.assert_allclose([got[name][0] for name in start], [0.95, 1.0, 0.9], rtol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adamw", "lamb"])
def test_rows_of_a_classifier_may_learn_at_rates_of_their_own(name):
    start = {"head": [[1.0, 1.0], [2.0, 2.0]]}
    gradient = np.array([[1.0, 1.0], [0.5, 0.5]])
    optimizer = build(name, 0.1, rate_factors=[("head", [1.0, 0.25])])
    moved = 1 - step(optimizer, variables(**start), head=gradient)["head"][0]
    np.testing.assert_allclose(moved[1], 0.25 * moved[0], rtol=1e-4)
    again = type(optimizer).from_config(optimizer.get_config())
    assert again.rate_factors == (("head", (1.0, 0.25)),)


def test_average_follows_the_weights():
    weights = variables(w=[1.0], still=[3.0])
    optimizer = build("sgd", 0.1, momentum=0.0, ema=0.5)
    optimizer.build(list(weights.values()))
    average = None
    for slope in (1.0, 2.0, -1.0):
        got = step(optimizer, weights, w=[slope], still=[0.0])["w"][0]
        average = got if average is None else 0.5 * average + 0.5 * got
    optimizer.finalize_variable_values(list(weights.values()))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weights["w"]), [average], rtol=1e-6)
    assert keras.ops.convert_to_numpy(weights["still"])[0] == 3


@pytest.mark.parametrize(
    ("name", "clipping"),
    [
        pytest.param("sgd", {}, marks=pytest.mark.slow),
        ("lamb", {}),
        pytest.param("sgd", {"global_clipnorm": 0.05}, marks=pytest.mark.slow),
    ],
)
def test_accumulation_equals_a_larger_batch(name, clipping):
    """Clipping, decay, averages and the bias correction count updates, not micro-batches."""
    options = {"weight_decay": 0.1, "agc": 0.05, "no_clip": ["head"], "ema": 0.8} | clipping
    whole = trained_weights(build(name, 0.05, **options), batch_size=16)
    parts = trained_weights(build(name, 0.05, gradient_accumulation=4, **options), batch_size=4)
    np.testing.assert_allclose(parts, whole, atol=2e-6)
    assert np.abs(whole - trained_weights(build(name, 0.05), batch_size=16)).max() > 1e-2


def test_float16_loss_scaling_wraps_it():
    inner = build("sgd", 0.01, agc=0.05)
    optimizer = keras.optimizers.LossScaleOptimizer(inner)
    plain = trained_weights(build("sgd", 0.01, agc=0.05), batch_size=16)
    np.testing.assert_allclose(trained_weights(optimizer, batch_size=16), plain, atol=1e-6)


def test_one_and_two_devices_end_with_the_same_weights(two_devices):
    """The gradient of the global batch is clipped, not each replica's: equal to float32 rounding."""
    weights = np.load(two_devices["weights"])
    for name, one in weights_by_optimizer().items():
        np.testing.assert_allclose(weights[name], one, atol=1e-6, err_msg=name)


def test_the_averages_are_in_the_model_within_the_block_only():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    model.compile(build("sgd", 0.1, ema=0.5), "mse")
    model.optimizer.build(model.trainable_variables)
    for step_number in range(2):
        images, labels = np.full((4, 3), 1.0 + step_number), np.ones((4, 2))
        model.train_on_batch(images, labels)
    weights, averages = model.get_weights(), model.optimizer.averages()
    with pytest.raises(RuntimeError), averaged_weights(model):
        assert all(map(np.array_equal, model.get_weights(), averages))
        raise RuntimeError
    assert all(map(np.array_equal, model.get_weights(), weights)), "back also after an error"
    assert not np.array_equal(weights[0], averages[0])


def test_without_averages_the_weights_stay():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    model.compile(build("sgd", 0.1), "mse")
    with averaged_weights(model):
        assert model.optimizer.averages() is None
