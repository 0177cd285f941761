"""A run killed with SIGKILL at random moments, continued each time, ends like an uninterrupted one."""

import json
import os
import pathlib
import subprocess
import sys

import helpers
import keras
import numpy as np
import pytest

import Models  # noqa: F401  the layers of the saved models
from Utils.training import checkpoints, goodput
from Utils.training.history import History

ROOT = pathlib.Path(__file__).resolve().parents[2]
HELPER = ROOT / "tests" / "helpers" / "killed_runs.py"
# Batch norm, MixUp, stochastic depth, dropout, averaged weights, moments: everything that has a state.
FLAGS = """resnet50 --model ResNet/basic-test --image-size 32 --batch-size-per-device 4 --tracker none
--stochastic-depth 0.3 --dropout 0.2 --ema 0.9 --epochs 3 --steps-per-epoch 12 --checkpoint-every 3steps
--learning-rate 0.01 --learning-rate-batch-size 0 --optimizer sgd
--model-options depths=1,1 widths=4,8"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return helpers.dotted_shards(tmp_path_factory.mktemp("data"), train=20, validation=6)


def history(folder):
    clock = ("images_per_second", "seconds", *goodput.COLUMNS)
    rows = History(folder / "history.csv").rows
    return [{key: value for key, value in row.items() if key not in clock} for row in rows]


@pytest.mark.parametrize(
    ("backend", "place", "kills"),
    [
        ("tensorflow", "host", 2),
        pytest.param("tensorflow", "host", 5, marks=pytest.mark.slow),
        pytest.param("jax", "device", 5, marks=pytest.mark.slow),
    ],
)
def test_a_run_killed_again_and_again_ends_as_the_one_that_lived(dataset, tmp_path, backend, place, kills):
    words = [
        sys.executable,
        str(HELPER),
        str(dataset),
        str(tmp_path),
        str(kills),
        "7",
    ]
    # Compiled once, and quickly: each attempt would compile the same step for several seconds.
    cache = {
        "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "cache"),
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
    done = subprocess.run(
        [*words, *FLAGS.split(), "--augment-on", place],
        cwd=ROOT,
        env={**os.environ, **cache, "KERAS_BACKEND": backend, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=3000,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    (_, _, whole), *killed, (_, _, rest) = json.loads(done.stdout.splitlines()[-1])
    assert (whole, rest) == (0, 0), done.stderr[-3000:]
    assert sum(ended == -9 for _, _, ended in killed) >= kills - 1, killed
    assert "half written" in done.stderr
    (step, ours), (_, theirs) = (
        checkpoints.load(tmp_path / name / "checkpoints") for name in ("killed", "whole")
    )
    assert step == 36
    assert set(ours) == set(theirs)
    assert [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()] == []
    assert history(tmp_path / "killed") == history(tmp_path / "whole")
    for name in ("model.keras", "best.keras"):
        pair = [keras.saving.load_model(tmp_path / run / name).get_weights() for run in ("killed", "whole")]
        assert all(np.array_equal(*weights) for weights in zip(*pair, strict=True))
    assert not [path for path in (tmp_path / "killed").rglob("*.part*") if "checkpoints" in path.parts]
