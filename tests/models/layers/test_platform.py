"""Models/layers/platform.py: where a layer's computation runs."""

import types

import keras
import pytest

from Models.layers import platform


def test_this_machine_computes_on_its_cpu():
    assert platform.platform() == "cpu"


@pytest.mark.parametrize(("name", "kind"), [("TPU_0(process=0)", "tpu"), ("cuda:1", "gpu"), ("cpu:0", "cpu")])
def test_a_distribution_decides(monkeypatch, name, kind):
    mesh = types.SimpleNamespace(devices=[name, name])
    monkeypatch.setattr(keras.distribution, "distribution", lambda: types.SimpleNamespace(device_mesh=mesh))
    assert platform.platform() == kind


def test_tensorflow_lists_the_host_beside_its_gpus(monkeypatch):
    monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["gpu:0"])
    assert platform.platform() == "gpu"
