"""Utils/training/devices.py: what is found is said in words, what cannot be is refused."""

import contextlib
import functools
import json
import os
import subprocess
import sys

import jax
import keras
import pytest
import tensorflow as tf

from Utils.command.cli import UserError, WorkError
from Utils.training import devices

FIND = """
import json
from Utils.training import devices
found = devices.find()
compiles, mirrored = found.compiles("auto"), found.strategy is not None
print(json.dumps([found.text, found.kind, found.replicas, compiles, mirrored]))
"""
TWO_CPUS = """
import tensorflow as tf
two = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], two)
"""


def found(code, **environment):
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_one_cpu_does_not_compile():
    here = devices.find()
    assert (here.kind, here.replicas, here.compiles("auto"), here.compiles("on")) == ("CPU", 1, False, True)
    assert "CPU" in here.text


def test_several_devices_on_tensorflow_are_mirrored():
    text, kind, replicas, compiles, strategy = found(TWO_CPUS + FIND)
    assert (kind, replicas, compiles, strategy) == ("CPU", 2, False, True)
    assert "MirroredStrategy" in text


def test_all_local_devices_on_jax():
    flags = "--xla_force_host_platform_device_count=2"
    text, kind, replicas, compiles, _ = found(FIND, KERAS_BACKEND="jax", XLA_FLAGS=flags)
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


def test_several_hosts_without_their_number_is_an_error():
    code = (
        "from Utils.training import devices; from Utils.command.cli import WorkError\ntry: devices.find()\n"
    )
    code += "except WorkError as error: import json; print(json.dumps(str(error)))"
    told = found(code, KERAS_BACKEND="jax", JAX_COORDINATOR_ADDRESS="127.0.0.1:1", JAX_NUM_PROCESSES="2")
    assert "the environment speaks of several hosts" in told


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
