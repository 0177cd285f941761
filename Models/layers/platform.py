"""The platform that a layer's computation runs on, as far as the choice of a form of it depends on that."""

import keras

KINDS = ("tpu", "gpu", "cpu")


def platform() -> str:
    """Return "cpu", "gpu" or "tpu": that of the present distribution, else of the backend's devices.

    A distribution may be over devices that this machine does not have: those that a program is compiled for.
    """
    distribution = keras.distribution.distribution()
    devices = keras.distribution.list_devices() if distribution is None else distribution.device_mesh.devices
    names = [str(device).lower().replace("cuda", "gpu").replace("rocm", "gpu") for device in _flat(devices)]
    return next((kind for kind in KINDS if any(kind in name for name in names)), "cpu")


def _flat(devices: object) -> list[object]:
    return list(getattr(devices, "flat", devices))  # pyright: ignore[reportArgumentType]
