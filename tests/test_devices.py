"""Utils/devices.py: what is found is said in words, what cannot be is refused."""

import json
import os
import subprocess
import sys

import pytest

from Utils import devices
from Utils.commands import UserError, WorkError

FIND = """
import json
from Utils import devices
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
    one.accumulates(4)
    with pytest.raises(UserError, match="KERAS_BACKEND=jax"):
        devices.Devices("", "GPU", 2, True).accumulates(4)


def test_a_tpu_that_is_named_and_missing_is_an_error(monkeypatch):
    monkeypatch.setenv("TPU_NAME", "grpc://127.0.0.1:1")
    monkeypatch.setattr(devices, "_tpu", lambda tf: (_ for _ in ()).throw(WorkError("no answer")))
    with pytest.raises(WorkError):
        devices.find()
