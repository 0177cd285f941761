"""One step of a tiny model of every family, compiled for v5e:2x4 where the TPU's compiler is."""

import json
import os
import pathlib
import subprocess
import sys

import pytest

import Models
from Utils.command import accelerators, backend

ROOT = pathlib.Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.skipif(
    not accelerators.has_libtpu(), reason="libtpu is not installed (requirements-tpu.txt)"
)


@pytest.fixture(scope="module")
def steps():
    """What the compiler says, by family."""
    paths = os.pathsep.join(map(str, (ROOT, ROOT / "tests")))
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "helpers" / "compiled_families.py"), "v5e:2x4"],
        cwd=ROOT,
        env={**os.environ, **backend.COMPILE_ONLY, "KERAS_BACKEND": "jax", "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return {line["model"].split("/")[0]: line for line in lines}


def test_every_family_compiles_and_fits(steps):
    assert set(steps) == set(Models.available())
    for family, step in steps.items():
        assert step["fits"], family
        # At least the weights and their momentum in float32, on every device.
        assert step["argument_bytes"] >= 2 * 4 * step["weights"], family
        assert step["memory_bytes"] < 2**26, family


def test_devices_exchange_gradients_and_nothing_else(steps):
    for family, step in steps.items():
        assert set(step["collectives"]) == {"all-reduce"}, family
        # Gradients of kernels travel in bfloat16, others in float32.
        assert 1.5 < step["collectives"]["all-reduce"] / step["weights"] < 5, family


def test_no_weights_of_all_pairs_of_tokens_are_stored_in_float32(steps):
    """In bfloat16 the softmax, taken in float32, is fused with its neighbors."""
    assert sum(bool(step["attended"]) for step in steps.values()) >= 4
    for family, step in steps.items():
        # The windows of SwinV2 are small, and their scores have a bias that is added in float32.
        assert family == "SwinV2" or step["squares"] == [], family


def test_the_flops_of_products_are_no_more_than_the_compilers_count(steps):
    for family, step in steps.items():
        assert 0 < step["matrix_flops"] < 1.05 * step["flops"], family
