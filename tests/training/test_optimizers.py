"""LAMB and AGC against their papers, declared exemptions, averages, accumulation, replicas."""

import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from helpers.optimized import on_this_many_devices, trained

from Utils.command.cli import UserError
from Utils.training import adaptive_gradient_clipping, optimizers, schedules

HERE = pathlib.Path(__file__).resolve().parents[1]
GOLDEN = json.loads((HERE / "golden" / "tensorflow_addons.json").read_text())


def variables(**values):
    """Keras variables whose paths are their names."""
    return {name: keras.Variable(np.float32(value), name=name) for name, value in values.items()}


def step(optimizer, weights, **gradients):
    chosen = [keras.ops.convert_to_tensor(np.float32(gradients[name])) for name in weights]
    optimizer.apply(chosen, list(weights.values()))
    return {name: keras.ops.convert_to_numpy(weight) for name, weight in weights.items()}


@pytest.mark.parametrize("case", GOLDEN["lamb"], ids=lambda case: f"decay {case['weight_decay']}")
@pytest.mark.every_backend
def test_lamb_equals_tensorflow_addons(case):
    weights = variables(**case["start"])
    optimizer = optimizers.build("lamb", case["learning_rate"], weight_decay=case["weight_decay"])
    for gradients, after in zip(case["gradients"], case["after"], strict=True):
        got = step(optimizer, weights, **gradients)
        for name in weights:
            np.testing.assert_allclose(got[name], after[name], rtol=1e-6, atol=1e-7, err_msg=name)


def test_keras_lamb_would_not_do():
    """The reason for a LAMB of our own: with a decay the golden numbers are out of reach of Keras'."""
    case = GOLDEN["lamb"][-1]
    weights = variables(**case["start"])
    theirs = keras.optimizers.Lamb(case["learning_rate"], epsilon=1e-6, weight_decay=case["weight_decay"])
    got = step(theirs, weights, **case["gradients"][0])
    assert np.abs(got["dense"] - np.float32(case["after"][0]["dense"])).max() > 1e-4


def test_lamb_exempts_by_path():
    zero = {"kernel": np.zeros((3, 2)), "bias": np.zeros(2)}
    weights = variables(kernel=np.ones((3, 2)), bias=np.ones(2))
    got = step(optimizers.build("lamb", 0.1, weight_decay=0.05, no_decay=["bias$"]), weights, **zero)
    np.testing.assert_allclose(got["kernel"], 0.9, rtol=1e-6)  # only the decay is left: |w|/|u| u = w
    assert np.all(got["bias"] == 1)


@pytest.mark.parametrize("name", [name for name in optimizers.OPTIMIZERS if name != "lamb"])
@pytest.mark.every_backend
def test_decay_is_decoupled_and_exempts_by_path(name):
    """Against the same optimizer without a decay, which starts from decayed weights."""
    start = {"kernel": np.arange(6.0).reshape(3, 2) + 1, "bias": np.float32([1, -2])}
    gradients = {"kernel": np.ones((3, 2)), "bias": np.float32([2, 1])}
    got = step(
        optimizers.build(name, 0.1, weight_decay=0.5, no_decay=["bias"]), variables(**start), **gradients
    )
    shrunk = start | {"kernel": start["kernel"] * 0.95}
    plain = step(optimizers.build(name, 0.1), variables(**shrunk), **gradients)
    np.testing.assert_allclose(got["bias"], plain["bias"], rtol=1e-6)
    if name != "schedule_free_adamw":  # its decay enters the iterate, see its own test
        np.testing.assert_allclose(got["kernel"], plain["kernel"], rtol=1e-6)
    assert np.all(
        got["kernel"] != step(optimizers.build(name, 0.1), variables(**start), **gradients)["kernel"]
    )


def test_sgd_is_nesterov():
    weights = variables(w=[1.0])
    optimizer = optimizers.build("sgd", 0.1)
    velocity, expected = 0.0, 1.0
    for slope in (1.0, -0.5, 2.0):
        velocity = 0.9 * velocity - 0.1 * slope
        expected += 0.9 * velocity - 0.1 * slope
        got = step(optimizer, weights, w=[slope])["w"]
    np.testing.assert_allclose(got, [expected], rtol=1e-6)


def test_schedule_free_equals_its_paper():
    weights = variables(w=[1.0, -2.0])
    optimizer = optimizers.build("schedule_free_adamw", 0.1, weight_decay=0.2)
    y = z = x = np.array([1.0, -2.0])
    square = np.zeros(2)
    random = np.random.default_rng(0)
    for count in range(1, 6):
        slope = random.normal(size=2)
        square = 0.999 * square + 0.001 * slope**2
        z = z - 0.1 * (slope / (np.sqrt(square / (1 - 0.999**count)) + 1e-8) + 0.2 * y)
        x = x + (z - x) / count
        y = 0.1 * z + 0.9 * x
        got = step(optimizer, weights, w=slope)["w"]
        np.testing.assert_allclose(got, y, rtol=2e-5)
        np.testing.assert_allclose(optimizer.averages()[0], x, rtol=2e-5)


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
        got = adaptive_gradient_clipping.clipped(np.float32(scaled), np.float32(weight), factor)
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(got), clipped_by_hand(scaled, weight, factor), rtol=2e-6
        )


def test_agc_of_zeros_stays_finite_and_lets_them_grow():
    zeros, ones = np.zeros((4, 3), "float32"), np.ones((4, 3), "float32")
    assert np.all(keras.ops.convert_to_numpy(adaptive_gradient_clipping.clipped(zeros, zeros, 0.01)) == 0)
    grown = keras.ops.convert_to_numpy(adaptive_gradient_clipping.clipped(ones, zeros, 0.01))
    np.testing.assert_allclose(np.linalg.norm(grown, axis=0), 1e-5, rtol=1e-5)


def test_agc_in_the_optimizer_leaves_the_head_alone():
    start = {"stem": np.ones((4, 3)), "head": np.ones((4, 3))}
    gradients = {"stem": np.full((4, 3), 5.0), "head": np.full((4, 3), 5.0)}
    got = step(
        optimizers.build("sgd", 1.0, momentum=0.0, agc=0.01, no_clip=["^head"]),
        variables(**start),
        **gradients,
    )
    np.testing.assert_allclose(got["head"], -4)
    np.testing.assert_allclose(got["stem"], 1 - 0.01, rtol=1e-6)


def test_layers_may_learn_at_rates_of_their_own():
    start = {"body_a": [1.0], "body_b": [1.0], "head": [1.0]}
    optimizer = optimizers.build("sgd", 0.1, momentum=0.0, rates=[("body_a", 0.5), ("body", 0.0)])
    got = step(optimizer, variables(**start), body_a=[1.0], body_b=[1.0], head=[1.0])
    np.testing.assert_allclose([got[name][0] for name in start], [0.95, 1.0, 0.9], rtol=1e-6)


def test_average_follows_the_weights():
    weights = variables(w=[1.0], still=[3.0])
    optimizer = optimizers.build("sgd", 0.1, momentum=0.0, ema=0.5)
    optimizer.build(list(weights.values()))
    average = None
    for slope in (1.0, 2.0, -1.0):
        got = step(optimizer, weights, w=[slope], still=[0.0])["w"][0]
        average = got if average is None else 0.5 * average + 0.5 * got
    optimizer.finalize_variable_values(list(weights.values()))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(weights["w"]), [average], rtol=1e-6)
    assert keras.ops.convert_to_numpy(weights["still"])[0] == 3


@pytest.mark.parametrize("name", ["sgd", "lamb"])
def test_accumulation_equals_a_larger_batch(name):
    """Clipping, decay, averages and the bias correction count updates, not micro-batches."""
    options = {"weight_decay": 0.1, "agc": 0.05, "no_clip": ["head"], "ema": 0.8}
    whole = trained(optimizers.build(name, 0.05, **options), batch_size=16)
    parts = trained(optimizers.build(name, 0.05, accumulate=4, **options), batch_size=4)
    np.testing.assert_allclose(parts, whole, atol=2e-6)
    assert np.abs(whole - trained(optimizers.build(name, 0.05), batch_size=16)).max() > 1e-2


@pytest.mark.parametrize("name", optimizers.OPTIMIZERS)
def test_every_optimizer_learns(name):
    """Least squares, with everything on."""
    schedule = schedules.WarmupCosine(0.1, 2, 40)
    optimizer = optimizers.build(name, schedule, weight_decay=1e-4, agc=1.0, ema=0.5)
    random = np.random.default_rng(2)
    inputs, truth = random.normal(size=(32, 4)), random.normal(size=(4, 3))
    weights = variables(kernel=random.normal(size=(4, 3)))
    errors = []
    for _ in range(40):
        residual = inputs @ (keras.ops.convert_to_numpy(weights["kernel"]) - truth)
        errors.append(np.mean(residual**2))
        step(optimizer, weights, kernel=inputs.T @ residual / 32)
    assert errors[-1] < 0.9 * errors[0]


def test_float16_loss_scaling_wraps_it():
    inner = optimizers.build("sgd", 0.01, agc=0.05)
    optimizer = keras.optimizers.LossScaleOptimizer(inner)
    plain = trained(optimizers.build("sgd", 0.01, agc=0.05), batch_size=16)
    np.testing.assert_allclose(trained(optimizer, batch_size=16), plain, atol=1e-6)


TWO_DEVICES = """
import sys
import keras, numpy as np, tensorflow as tf
sys.path[:0] = sys.argv[1:3]
from helpers.optimized import on_this_many_devices
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
with tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]).scope():
    np.savez(sys.argv[3], **on_this_many_devices())
"""
JAX_DEVICES = """
import sys
import keras, numpy as np
sys.path[:0] = sys.argv[1:3]
from helpers.optimized import on_this_many_devices
keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))
np.savez(sys.argv[3], **on_this_many_devices())
"""


def test_one_and_two_devices_end_with_the_same_weights(tmp_path):
    """The gradient of the global batch is clipped, not each replica's: equal to float32 rounding."""
    backend = keras.backend.backend()
    script = {"tensorflow": TWO_DEVICES, "jax": JAX_DEVICES}[backend]
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
    }
    done = subprocess.run(
        [sys.executable, "-c", script, str(HERE.parent), str(HERE), str(tmp_path / "two.npz")],
        env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    two = np.load(tmp_path / "two.npz")
    for name, one in on_this_many_devices().items():
        np.testing.assert_allclose(two[name], one, atol=1e-6, err_msg=name)


def test_wrong_use_says_what_exists():
    with pytest.raises(UserError, match="'lam'; did you mean lamb.*sgd, lamb"):
        optimizers.build("lam", 0.1)
    with pytest.raises(UserError, match="lamb has no option 'momentum'; it has beta_1, beta_2, epsilon"):
        optimizers.build("lamb", 0.1, momentum=0.9)
    assert optimizers.build("lamb", 0.1, beta_1=None).beta_1 == 0.9
    for options in ({"weight_decay": -1}, {"agc": 0}, {"ema": 1.0}, {"accumulate": 0}, {"accumulate": 1.5}):
        with pytest.raises(UserError, match=next(iter(options))):
            optimizers.build("sgd", 0.1, **options)
    for name, options, allowed in (
        ("lamb", {"beta_1": "x"}, "beta_1 .* from 0 to below 1; got 'x'"),
        ("adamw", {"beta_2": 1.0}, "beta_2 .* from 0 to below 1; got 1.0"),
        ("adamw", {"epsilon": True}, "epsilon .* a number; got True"),
        ("sgd", {"nesterov": 1}, "nesterov .* true or false; got 1"),
        ("muon", {"ns_steps": 2.5}, "ns_steps .* a whole number; got 2.5"),
    ):
        with pytest.raises(UserError, match=allowed):
            optimizers.build(name, 0.1, **options)
    with pytest.raises(UserError, match="no regular expression"):
        optimizers.build("sgd", 0.1, no_decay=["("])
