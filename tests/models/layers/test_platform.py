"""The platform of a layer: that of the distribution, else of the machine."""

import types

import keras
import numpy as np
import pytest

from Models.layers.platform import platform


@pytest.mark.parametrize(
    ("devices", "kind"),
    [
        (["CPU:0"], "cpu"),
        (["cpu:0", "cpu:1"], "cpu"),
        (["GPU:0"], "gpu"),
        (["cuda:0"], "gpu"),
        (["TPU:0", "TPU:1"], "tpu"),
    ],
)
def test_the_machine_decides_without_a_distribution(monkeypatch, devices, kind):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: devices)
    assert platform() == kind


def test_the_devices_of_a_distribution_come_first(monkeypatch):
    """JAX's devices that a program is compiled for print themselves like this."""
    devices = np.array([["TPU_0(process=0,(0,0,0,0))"], ["TPU_1(process=0,(1,0,0,0))"]])
    mesh = types.SimpleNamespace(devices=devices)
    distribution = types.SimpleNamespace(device_mesh=mesh)
    monkeypatch.setattr(keras.distribution, "distribution", lambda: distribution)
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["CPU:0"])
    assert platform() == "tpu"
