"""Optimizers against their papers and tensorflow-addons; what a recipe may set of each."""

import json
import pathlib

import keras
import numpy as np
import pytest
from helpers.optimized import build, step, variables
from helpers.quick import slow_but

from Utils.command.cli import UserError
from Utils.training import optimizers, schedules

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "tensorflow_addons.json").read_text())


@pytest.mark.parametrize("case", GOLDEN["lamb"], ids=lambda case: f"decay {case['weight_decay']}")
@pytest.mark.every_backend
def test_lamb_equals_tensorflow_addons(case):
    weights = variables(**case["start"])
    optimizer = build("lamb", case["learning_rate"], weight_decay=case["weight_decay"])
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
    got = step(build("lamb", 0.1, weight_decay=0.05, no_decay=["bias$"]), weights, **zero)
    np.testing.assert_allclose(got["kernel"], 0.9, rtol=1e-6)  # only the decay is left: |w|/|u| u = w
    assert np.all(got["bias"] == 1)


def test_sgd_is_nesterov():
    weights = variables(w=[1.0])
    optimizer = build("sgd", 0.1)
    velocity, expected = 0.0, 1.0
    for slope in (1.0, -0.5, 2.0):
        velocity = 0.9 * velocity - 0.1 * slope
        expected += 0.9 * velocity - 0.1 * slope
        got = step(optimizer, weights, w=[slope])["w"]
    np.testing.assert_allclose(got, [expected], rtol=1e-6)


def test_schedule_free_equals_its_paper():
    weights = variables(w=[1.0, -2.0])
    optimizer = build("schedule_free_adamw", 0.1, weight_decay=0.2)
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


@pytest.mark.parametrize("name", slow_but(optimizers.OPTIMIZERS, "lamb", "muon", "sgd"))
def test_every_optimizer_learns(name):
    """Least squares, with everything on."""
    schedule = schedules.WarmupCosine(0.1, 2, 40)
    optimizer = build(name, schedule, weight_decay=1e-4, agc=1.0, ema=0.5)
    random = np.random.default_rng(2)
    inputs, truth = random.normal(size=(32, 4)), random.normal(size=(4, 3))
    weights = variables(kernel=random.normal(size=(4, 3)))
    errors = []
    for _ in range(40):
        residual = inputs @ (keras.ops.convert_to_numpy(weights["kernel"]) - truth)
        errors.append(np.mean(residual**2))
        step(optimizer, weights, kernel=inputs.T @ residual / 32)
    assert errors[-1] < 0.9 * errors[0]


def test_wrong_use_says_what_exists():
    with pytest.raises(UserError, match="'lam'; did you mean lamb.*sgd, adam"):
        build("lam", 0.1)
    with pytest.raises(UserError, match="lamb has no option 'momentum'; it has beta_1, beta_2, epsilon"):
        build("lamb", 0.1, momentum=0.9)
    assert build("lamb", 0.1, optimizer_options=("beta_1=none",)).beta_1 == 0.9
    for name, option, allowed in (
        ("lamb", "beta_1=x", "beta_1 .* from 0 to below 1; got 'x'"),
        ("adamw", "beta_2=1.0", "beta_2 .* from 0 to below 1; got 1.0"),
        ("adamw", "epsilon=True", "epsilon .* a number from 1e-37 to 1000; got True"),
        ("adamw", "epsilon=1e-60", "epsilon .* got 1e-60"),
        ("muon", "muon_a=1e38", "muon_a .* a number from -1000 to 1000; got 1e\\+38"),
        ("muon", "muon_a=1e999", "muon_a .* got inf"),
        ("muon", "exclude_layers=3", "exclude_layers .* a list of texts; got 3"),
        ("sgd", "nesterov=1", "nesterov .* true or false; got 1"),
        ("muon", "ns_steps=2.5", "ns_steps .* a whole number; got 2.5"),
    ):
        with pytest.raises(UserError, match=allowed):
            build(name, 0.1, optimizer_options=(option,))
    with pytest.raises(UserError, match="no regular expression"):
        build("sgd", 0.1, no_decay=["("])


def test_the_options_of_an_optimizer_are_its_own_with_the_zoos_defaults():
    assert optimizers.options_of("lamb") == {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-6}
    assert optimizers.options_of("sgd") == {"momentum": 0.9, "nesterov": True}
    assert "adam_weight_decay" not in optimizers.options_of("muon")
