"""The accelerators of this machine, as the operating system lists them: no backend is started to ask.

TPU chips are PCI devices of Google's (the ids that JAX looks for); ``/dev/accel0`` is what the drivers of v2
to v4 make of the first one, while those of v5e, v5p and v6e use ``/dev/vfio``, where others may be, too.
"""

import importlib.util
import os
import pathlib

PCI = pathlib.Path("/sys/bus/pci/devices")
GOOGLE = "0x1ae0"
TPU_CHIPS = {  # PCI device ids; v2 and v3 share one
    "0x0027": "TPU v2 or v3",
    "0x005e": "TPU v4",
    "0x0062": "TPU v5p",
    "0x0063": "TPU v5e",
    "0x006f": "TPU v6e",
    "0x0076": "TPU v7x",
}
TPU_DEVICE = pathlib.Path("/dev/accel0")
GPU_DEVICES = tuple(map(pathlib.Path, ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg", "/dev/kfd")))
NAMED_BY = ("TPU_NAME", "TPU_ACCELERATOR_TYPE")  # variables that name a TPU


def tpu_chips() -> list[str]:
    """Return the kind of every TPU chip of this machine, ``["TPU v5e", ...]``, in the order of the bus."""
    chips = []
    for vendor in sorted(PCI.glob("*/vendor")):
        try:
            if vendor.read_text(encoding="ascii").strip() == GOOGLE:
                device = (vendor.parent / "device").read_text(encoding="ascii").strip()
                chips += [TPU_CHIPS[device]] if device in TPU_CHIPS else []
        except OSError:  # a device that went away
            continue
    return chips


def has_tpu() -> bool:
    """Whether the environment names a TPU, or this machine has one."""
    return any(os.environ.get(name) for name in NAMED_BY) or TPU_DEVICE.exists() or bool(tpu_chips())


def has_gpu() -> bool:
    """Whether this machine has a device of a GPU's driver."""
    return any(device.exists() for device in GPU_DEVICES)


def has_libtpu() -> bool:
    """Whether the package libtpu, the TPU's compiler and runtime for JAX, is installed."""
    return importlib.util.find_spec("libtpu") is not None
