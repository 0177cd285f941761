"""The accelerators of a machine, told by its PCI bus, its device files and the environment."""

import os

import pytest

from Utils.command import accelerators
from Utils.command.cli import UserError


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine without accelerators: a function that adds a PCI device to it."""
    monkeypatch.setattr(accelerators, "PCI", tmp_path)
    monkeypatch.setattr(accelerators, "TPU_DEVICE", tmp_path / "accel0")
    monkeypatch.setattr(accelerators, "GPU_DEVICES", (tmp_path / "nvidia0",))
    for name in accelerators.NAMED_BY:
        monkeypatch.delenv(name, raising=False)

    def add(slot, vendor, device):
        (tmp_path / slot).mkdir()
        (tmp_path / slot / "vendor").write_text(f"{vendor}\n")
        (tmp_path / slot / "device").write_text(f"{device}\n")

    return add


@pytest.mark.reliability(
    "a TPU VM of v5e, v5p or v6e has its chips at /dev/vfio, and no variable names them",
    "they are found on the PCI bus",
)
def test_chips_are_told_by_their_pci_ids(machine):
    machine("0000:00:03.0", "0x8086", "0x0063")  # another vendor's device of that number
    machine("0000:00:04.0", "0x1ae0", "0x0042")  # another device of Google's
    assert (accelerators.tpu_chips(), accelerators.has_tpu()) == ([], False)
    machine("0000:00:06.0", "0x1ae0", "0x006f")
    machine("0000:00:05.0", "0x1ae0", "0x0063")
    assert accelerators.tpu_chips() == ["TPU v5e", "TPU v6e"]
    assert accelerators.has_tpu()


def test_a_tpu_is_told_by_its_device_or_a_variable(machine, tmp_path, monkeypatch):
    monkeypatch.setenv("TPU_NAME", "")
    assert not accelerators.has_tpu()
    monkeypatch.setenv("TPU_NAME", "my-tpu")
    assert accelerators.has_tpu()
    monkeypatch.delenv("TPU_NAME")
    accelerators.TPU_DEVICE.touch()
    assert accelerators.has_tpu()


def test_a_gpu_is_told_by_its_device(machine, tmp_path):
    assert not accelerators.has_gpu()
    (tmp_path / "nvidia0").touch()
    assert accelerators.has_gpu()


@pytest.mark.reliability(
    "a backend does not see the accelerator of its machine",
    "a warning names it, what hides it or which package is missing; training goes on",
)
def test_an_accelerator_that_is_not_used_is_said_loudly(machine, tmp_path, monkeypatch):
    for name in accelerators.HIDDEN_BY:
        monkeypatch.delenv(name, raising=False)
    assert accelerators.unused("CPU", "jax") == "", "there is none"
    for slot in ("0000:00:04.0", "0000:00:05.0"):
        machine(slot, "0x1ae0", "0x0063")
    assert accelerators.describe() == "2 x TPU v5e"
    warning = accelerators.unused("CPU", "jax")
    assert warning.startswith("WARNING: THIS MACHINE HAS 2 x TPU v5e")
    assert "requirements-tpu.txt" in warning
    assert "tensorflow-tpu" in accelerators.unused("CPU", "tensorflow")
    assert accelerators.unused("TPU", "jax") == ""
    monkeypatch.setenv("JAX_PLATFORMS", "cpu")
    assert "JAX_PLATFORMS=cpu" in accelerators.unused("CPU", "jax")


def test_a_gpu_that_is_not_used_needs_other_packages(machine, tmp_path, monkeypatch):
    for name in accelerators.HIDDEN_BY:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "nvidia0").touch()
    assert accelerators.describe() == f"a GPU ({tmp_path / 'nvidia0'})"
    assert "jax[cuda12]" in accelerators.unused("CPU", "jax")
    assert "tensorflow[and-cuda]" in accelerators.unused("CPU", "tensorflow")
    assert "torch sees none" in accelerators.unused("CPU", "torch")
    assert accelerators.unused("GPU", "jax") == ""
    monkeypatch.setenv("JAX_PLATFORMS", "")
    assert "jax[cuda12]" in accelerators.unused("CPU", "jax"), "jax chooses"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert "the environment has CUDA_VISIBLE_DEVICES=, which may hide it" in accelerators.unused("CPU", "jax")


def test_a_device_is_hidden_or_asked_for(machine, monkeypatch):
    for name in accelerators.HIDDEN_BY:
        monkeypatch.setenv(name, "before")
    accelerators.use("auto")
    assert {os.environ[name] for name in accelerators.HIDDEN_BY} == {"before"}
    for device in ("gpu", "tpu"):
        with pytest.raises(UserError, match=f"--device {device}: this machine has no {device.upper()}"):
            accelerators.use(device)
    accelerators.use("cpu")
    assert [os.environ[name] for name in accelerators.HIDDEN_BY] == ["cpu", "", ""]
