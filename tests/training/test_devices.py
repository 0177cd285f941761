"""The devices of a process: found, described, and refused where something is impossible on them."""

import contextlib
import functools
import json
import os
import subprocess
import sys
import types

import jax
import keras
import numpy as np
import pytest
import tensorflow as tf
from jax.experimental import multihost_utils

from Utils.command.cli import UserError, WorkError
from Utils.training import devices

# Without their number, then without any: errors leave the process as it was.
ON_JAX = """
import json, os
import Models  # first: it starts Keras without what Keras never uses
from Utils.command.cli import WorkError
from Utils.training import devices
try:
    devices.find()
except WorkError as error:
    message = str(error)
del os.environ["JAX_COORDINATOR_ADDRESS"]
found = devices.find()
print(json.dumps([message, found.text, found.kind, found.replicas, found.compiles("auto")]))
"""


def test_one_cpu_does_not_compile():
    here = devices.find()
    assert (here.kind, here.replicas, here.compiles("auto"), here.compiles("on")) == ("CPU", 1, False, True)
    assert "CPU" in here.text


def test_auto_is_bfloat16_where_matrix_units_take_it(monkeypatch, capsys):
    from Utils.recipe.recipe import Recipe

    auto = Recipe(dtype_policy="auto")
    for kind, has_amx, expected in (
        ("CPU", False, "float32"), ("CPU", True, "mixed_bfloat16"), ("TPU", False, "mixed_bfloat16"),
        ("GPU", True, "float32"),
    ):  # fmt: skip
        monkeypatch.setattr(devices, "has_amx", lambda has_amx=has_amx: has_amx)
        here = devices.Devices(f"1 {kind}", kind, 1, True)
        assert here.settled(auto).dtype_policy == expected
        assert f"--dtype-policy auto is {expected} on 1 {kind}" in capsys.readouterr().err
        assert here.settled(Recipe()) == Recipe()


def test_accelerators_of_jax_say_their_memory_and_the_least_of_all_hosts_counts(monkeypatch):
    gpu = devices.Devices("2 GPUs", "GPU", 2, True)
    assert gpu.compiled_for() is None, "tensorflow does not say"
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    monkeypatch.setattr(devices.topology, "here", lambda limit: limit)
    stats = [{"bytes_limit": 16 * 10**9}, {"bytes_limit": 15 * 10**9}]
    here = [types.SimpleNamespace(memory_stats=lambda values=values: values) for values in stats]
    monkeypatch.setattr(jax, "local_devices", lambda: here)
    assert gpu.compiled_for() == 15 * 10**9
    assert devices.Devices("1 CPU", "CPU", 1, True).compiled_for() is None
    monkeypatch.setattr(multihost_utils, "process_allgather", lambda limit: np.array([limit, 14_000]))
    assert devices.Devices("4 GPUs", "GPU", 4, True, host=(0, 2)).compiled_for() == 14 * 10**9
    stats[1].clear()
    assert gpu.compiled_for() is None, "one that does not say"


def test_several_devices_on_tensorflow_are_mirrored(two_devices):
    assert (two_devices["kind"], two_devices["replicas"], two_devices["jit_compile"]) == ("CPU", 2, False)
    assert two_devices["has_strategy"]
    assert "MirroredStrategy" in two_devices["text"]


@pytest.mark.slow
def test_on_jax_hosts_without_their_number_are_an_error_and_local_devices_share_batches():
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "JAX_COORDINATOR_ADDRESS": "127.0.0.1:1",
        "JAX_NUM_PROCESSES": "2",
    }
    done = subprocess.run([sys.executable, "-c", ON_JAX], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    message, text, kind, replicas, compiles = json.loads(done.stdout.splitlines()[-1])
    assert "the environment speaks of several hosts" in message
    assert (kind, replicas, compiles) == ("CPU", 2, True)
    assert "2 CPUs on jax" in text


def test_accumulation_is_refused_where_keras_cannot():
    one = devices.Devices("", "GPU", 1, True)
    one.require_accumulation(4)
    with pytest.raises(UserError, match="KERAS_BACKEND=jax"):
        devices.Devices("", "GPU", 2, True).require_accumulation(4)


class Pod:
    """Stands for a TPU: notes what tensorflow is asked to do with it."""

    num_replicas_in_sync = 8

    def __init__(self, monkeypatch, answers=True):
        self.calls = []
        names = {
            tf.distribute.cluster_resolver: "TPUClusterResolver",
            tf.config: "experimental_connect_to_cluster",
            tf.tpu.experimental: "initialize_tpu_system",
            tf.distribute: "TPUStrategy",
        }
        for module, name in names.items():
            monkeypatch.setattr(module, name, functools.partial(self.note, name, answers))

    def note(self, name, answers, resolver=None, tpu=None):
        if not answers and name == "experimental_connect_to_cluster":
            raise tf.errors.UnavailableError(None, None, "no answer")
        self.calls.append((name, tpu or resolver is self))
        return self

    def scope(self):
        self.calls.append("scope")
        return contextlib.nullcontext()


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [("TPU_NAME", "my-tpu", "my-tpu"), ("TPU_ACCELERATOR_TYPE", "v5litepod-8", "local")],
)
def test_a_tpu_of_the_environment(monkeypatch, variable, value, name):
    monkeypatch.delenv("TPU_NAME", raising=False)
    monkeypatch.setenv(variable, value)
    pod = Pod(monkeypatch)
    found = devices.find()
    assert pod.calls == [
        ("TPUClusterResolver", name),
        ("experimental_connect_to_cluster", True),
        ("initialize_tpu_system", True),
        ("TPUStrategy", True),
    ]
    assert (found.kind, found.replicas, found.strategy) == ("TPU", 8, pod)
    assert found.text == "8 TPU cores on tensorflow (TPUStrategy)"
    assert not found.compiles("auto"), "a TPUStrategy compiles by itself"
    with found.scope():
        assert pod.calls[-1] == "scope"
    with pytest.raises(UserError, match="KERAS_BACKEND=jax"):
        found.require_accumulation(2)


def test_a_tpu_that_is_named_and_missing_is_an_error(monkeypatch):
    monkeypatch.setenv("TPU_NAME", "my-tpu")
    Pod(monkeypatch, answers=False)
    with pytest.raises(WorkError, match="my-tpu.*no answer"):
        devices.find()


def test_a_tpu_vm_asks_jax_for_other_hosts(monkeypatch):
    """Of a pod whose hosts are in the machine's metadata only; a VM alone is none."""
    for name in (*devices.HOST_VARIABLES, devices.POD_HOSTS, "TPU_NAME", "TPU_ACCELERATOR_TYPE"):
        monkeypatch.delenv(name, raising=False)
    asked = []
    monkeypatch.setattr(keras.distribution, "initialize", lambda: asked.append(1))
    monkeypatch.setattr(jax, "process_index", lambda: 3)
    monkeypatch.setattr(jax, "process_count", lambda: 4)
    assert devices._join_hosts() == (0, 1)
    assert not asked
    monkeypatch.setenv("TPU_ACCELERATOR_TYPE", "v5litepod-16")
    assert devices._join_hosts() == (3, 4)
    assert asked
    monkeypatch.setattr(keras.distribution, "initialize", functools.partial(int, "no coordinator"))
    assert devices._join_hosts() == (0, 1)
