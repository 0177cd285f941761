"""Weights spread over devices: which axis of a variable, refusals, the same steps as on one device."""

import json
import os
import pathlib
import subprocess
import sys
import types

import keras
import numpy as np
import pytest

import Models
from Utils.command.cli import UserError
from Utils.training import weight_sharding
from Utils.training.weight_sharding import ShardedModel, WeightSharding, owners

ROOT = pathlib.Path(__file__).resolve().parents[2]
# Level 0: what runs once is not worth optimizing.
FOUR_CPUS = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4 --xla_backend_optimization_level=0"}
AXES = ((r"_eca/", ()), (r"_dense2/kernel$", (-2, -1)), (r"/kernel$", (-1, -2)))


def variable(path, *shape):
    return types.SimpleNamespace(path=path, shape=shape)


@pytest.mark.parametrize(
    ("path", "shape", "axis"),
    [
        ("block0_dense1/kernel", (16, 32), 1),
        ("block0_dense2/kernel", (32, 16), 0),
        ("head_logits/kernel", (16, 5501), 0),  # 4 does not divide the tags, but the width
        ("stem/kernel", (3, 3, 3, 6), None),
        ("block0_eca/kernel", (4, 1, 4), None),  # the first pattern counts
        ("block0_dense1/bias", (32,), None),
    ],
)
def test_the_first_pattern_and_its_first_axis_that_divides_count(path, shape, axis):
    assert WeightSharding(4, AXES).axis(variable(path, *shape)) == axis


def test_what_is_not_split_is_counted():
    weights = [
        variable("a_dense1/kernel", 8, 12),
        variable("stem/kernel", 3, 1),
        variable("a_dense1/bias", 1),
    ]
    assert WeightSharding(4, AXES).text(weights) == (
        "96.0% of the parameters (1 weights) in 4 parts; on every device: 1 small weights (1 parameters), "
        "1 that 4 does not divide (3 parameters)"
    )


def test_slots_belong_to_the_weight_whose_path_begins_their_name():
    weights = [variable("a_b/kernel", 2, 2), variable("a_b/kernel_c", 2, 2), variable("a/b", 2)]
    slots = [
        variable("adamw/a_b_kernel_momentum", 2, 2),
        variable("adamw/a_b_kernel_c_velocity", 2, 2),
        variable("adamw/a_b_kernel_row", 2),  # of another shape
        variable("adamw/iteration"),
    ]
    expected = [weights[0], weights[1], slots[2], slots[3]]
    assert [owner for _, owner in owners(slots, weights)] == expected
    sharding = WeightSharding(2, ((r"/kernel", (-1,)),))
    assert sharding.bytes_on_a_device(slots, weights, lambda slot: 8 * len(slot.shape)) == 8 + 8 + 8 + 0


def test_the_mesh_has_rows_of_as_many_devices_as_there_are_parts():
    distribution = ShardedModel([f"cpu:{number}" for number in range(8)], WeightSharding(4, AXES))
    assert distribution.device_mesh.shape == (2, 4)
    assert distribution.device_mesh.axis_names == ["batch", "model"]
    layout = distribution.get_variable_layout(variable("block0_dense2/kernel", 32, 16))
    assert layout.axes == ("model", None)
    slot = types.SimpleNamespace(path="adamw/x", shape=(32, 16), _layout=layout)
    assert distribution.get_variable_layout(slot) is layout


def test_another_number_of_devices_or_backend_is_refused(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    WeightSharding(4, AXES).check(8)
    with pytest.raises(UserError, match=r"must divide the number of devices, 6 \(1, 2, 3, 6\); got 4"):
        WeightSharding(4, AXES).check(6)
    monkeypatch.setattr(keras.backend, "backend", lambda: "tensorflow")
    with pytest.raises(UserError, match="--shard-model 4 works on the jax backend only; this is tensorflow"):
        WeightSharding(4, AXES).check(8)


def test_one_way_is_no_sharding():
    assert weight_sharding.build(1, AXES) is None
    assert weight_sharding.build(2, AXES) == WeightSharding(2, AXES)


def test_hosts_have_all_of_a_variable_within_the_block_only(monkeypatch):
    parts = types.SimpleNamespace(is_fully_addressable=False, is_fully_replicated=False)
    copy = types.SimpleNamespace(is_fully_addressable=False, is_fully_replicated=True)
    values = [parts, copy, np.zeros(2)]
    variables = [types.SimpleNamespace(value=value, _value=value) for value in values]
    monkeypatch.setattr(weight_sharding, "to_host", lambda variable: "all of it")
    with pytest.raises(RuntimeError), weight_sharding.on_every_host(variables):
        assert variables[0]._value == "all of it"
        assert variables[1]._value is copy and variables[2]._value is values[2]
        raise RuntimeError
    assert all(one._value is value for one, value in zip(variables, values, strict=True))


def test_a_copy_on_the_host_stays_as_it_is():
    variable = keras.Variable(np.zeros(2, "float32"))
    copy = weight_sharding.to_host(variable)
    variable.assign([1.0, 2.0])
    assert copy.tolist() == [0.0, 0.0]
    copy[0] = 9.0
    assert np.array(variable).tolist() == [1.0, 2.0]


@pytest.mark.slow
def test_three_steps_of_every_family_are_the_same_with_weights_in_parts():
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "helpers" / "sharded_steps.py"), "2,4"],
        cwd=ROOT,
        env={
            **os.environ,
            **FOUR_CPUS,
            "KERAS_BACKEND": "jax",
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        },
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
    assert {name.split("/")[0] for name in results} == set(Models.available())
    for name, by_ways in results.items():
        assert set(by_ways) == {"2", "4"}
        for ways, (difference, change, on_device, expected, total) in by_ways.items():
            assert change > 0.01, f"the steps of {name} do nothing"
            assert difference < 1e-5, (name, ways)
            assert on_device == expected < total, (name, ways)
