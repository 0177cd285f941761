"""One step on 1 and on 2 devices, on both backends: every family ends with the same weights and scores."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

import Models

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATHS = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
# Level 0: what runs once is not worth optimizing.
TWO_CPUS = {"XLA_FLAGS": "--xla_force_host_platform_device_count=2 --xla_backend_optimization_level=0"}


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_a_step_and_a_validation_are_the_same_on_two_devices(backend):
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "helpers" / "steps_on_devices.py")],
        cwd=ROOT,
        env={**os.environ, **TWO_CPUS, "KERAS_BACKEND": backend, "PYTHONPATH": PATHS},
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    results = json.loads(done.stdout.splitlines()[-1])
    assert results["replicas"] == 2
    assert {name.split("/")[0] for name in results["steps"]} == set(Models.available())
    for name, (difference, change) in results["steps"].items():
        assert change > 0.01, f"the step of {name} does nothing"
        assert difference < 1e-5, name
    (one, exact), (two, _) = results["scores"]
    assert one == pytest.approx(two, abs=1e-6), "padding counts nothing on any number of devices"
    assert one["loss"] == pytest.approx(exact, rel=1e-5)
    assert max(results["statistics"]) < 1e-4, "batch norm measured anew"
    if backend == "tensorflow":
        assert results["overflow"] == {"finite": True, "unchanged": True, "scale": 0.5}
