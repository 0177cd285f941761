"""A process with two devices, which takes seconds to start, once for all tests that look at it."""

import json
import os
import pathlib
import subprocess
import sys

import filelock
import keras
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def two_devices(tmp_path_factory):
    """What two_devices.py prints on this backend and ``weights``, the file it wrote: once for all workers."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    weights, printed = folder / "two_devices.npz", folder / "two_devices.json"
    with filelock.FileLock(folder / "two_devices.lock"):
        if not printed.exists():
            printed.write_text(compute(weights))
    return {**json.loads(printed.read_text()), "weights": weights}


def compute(weights):
    """Run two_devices.py, which writes the file of weights; return the last line that it printed."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": keras.backend.backend(),
        "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
    }
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "helpers" / "two_devices.py"), str(weights)],
        env=environment, capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1]
