"""The accelerators of this machine, as the operating system lists them: no backend is started to ask.

TPU chips are PCI devices of Google's (the ids that JAX looks for); ``/dev/accel0`` is what the drivers of v2
to v4 make of the first one, while those of v5e, v5p and v6e use ``/dev/vfio``, where others may be, too.
"""

import importlib.util
import os
import pathlib

from Utils.command.cli import UserError

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
HIDDEN_BY = ("JAX_PLATFORMS", "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES")  # variables that may hide one
DEVICES = ("auto", "cpu", "gpu", "tpu")
# What a backend lacks that does not see an accelerator; docs/installing.md has the commands.
LACKING = {
    ("jax", "TPU"): "jax needs libtpu (pip install -r requirements-tpu.txt)",
    ("jax", "GPU"): 'jax needs its packages for CUDA (pip install "jax[cuda12]")',
    (
        "tensorflow",
        "TPU",
    ): "tensorflow needs tensorflow-tpu in its place; KERAS_BACKEND=jax needs libtpu only "
    "(pip install -r requirements-tpu.txt)",
    ("tensorflow", "GPU"): 'tensorflow needs its packages for CUDA (pip install "tensorflow[and-cuda]")',
}


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


def use(device: str) -> None:
    """Let the backends of this process and of those that it starts find this kind of device.

    Args:
        device: one of `DEVICES`; ``auto`` leaves it to the backend, which takes an accelerator if it can.

    Raises UserError for an accelerator that is not here. Must run before a backend is imported.
    """
    if (device == "gpu" and not has_gpu()) or (device == "tpu" and not has_tpu()):
        raise UserError(f"--device {device}: this machine has no {device.upper()}; auto and cpu are allowed")
    if device == "cpu":
        os.environ.update(dict(zip(HIDDEN_BY, ("cpu", "", ""), strict=True)))


def describe() -> str:
    """Return this machine's accelerators in words: "4 x TPU v5e", "a GPU (/dev/nvidia0)"; "" for none."""
    chips = tpu_chips()
    parts = [f"{chips.count(kind)} x {kind}" for kind in dict.fromkeys(chips)]
    if not chips and TPU_DEVICE.exists():
        parts.append(f"a TPU ({TPU_DEVICE})")
    parts += [f"a GPU ({device})" for device in GPU_DEVICES if device.exists()][:1]
    return ", ".join(parts)


def unused(used: str, backend: str) -> str:
    """Return a warning if this machine has an accelerator and a backend does without, else "".

    ``used`` is the kind of the devices that the backend uses: CPU, GPU or TPU.
    """
    present = describe()
    if used != "CPU" or not present:
        return ""
    # An empty list of devices hides all of them; without a platform jax chooses one.
    empty = {name for name in HIDDEN_BY if os.environ.get(name) == "" and name != "JAX_PLATFORMS"}
    names = [name for name in HIDDEN_BY if os.environ.get(name) or name in empty]
    hidden = " ".join(f"{name}={os.environ[name]}" for name in names)
    lacking = LACKING.get((backend, "TPU" if "TPU" in present else "GPU"), f"{backend} sees none")
    reason = f"the environment has {hidden}, which may hide it" if hidden else lacking
    return (
        f"WARNING: THIS MACHINE HAS {present}, AND ALL WORK IS DONE BY THE CPU: {reason} (docs/installing.md)"
    )


def has_libtpu() -> bool:
    """Whether the package libtpu, the TPU's compiler and runtime for JAX, is installed."""
    return importlib.util.find_spec("libtpu") is not None
