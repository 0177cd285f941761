"""Runs whose weights are spread over devices: refused, killed while they save, continued on other devices."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import helpers
import keras
import numpy as np
import pytest

import Models  # noqa: F401  the layers of the saved models
import train
from Utils.training import checkpoints
from Utils.training.orbax_arrays import StoredArrays

ROOT = pathlib.Path(__file__).resolve().parents[2]
KILLED_RUNS = ROOT / "tests" / "helpers" / "killed_runs.py"
# Batch norm, stochastic depth, dropout, averaged weights, moments: everything that has a state.
FLAGS = """resnet50 --model ResNet/basic-test --image-size 32 --tracker none --augment-on host
--stochastic-depth 0.3 --dropout 0.2 --ema 0.9 --epochs 3 --steps-per-epoch 12 --checkpoint-every 3steps
--learning-rate 0.01 --learning-rate-batch-size 0 --optimizer sgd
--model-options depths=1,1 widths=4,8"""


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return helpers.dotted_shards(tmp_path_factory.mktemp("data"), train=20, validation=6)


def test_another_backend_is_refused_before_anything_is_made(dataset, tmp_path, capsys):
    words = [
        *FLAGS.split(),
        "--dataset",
        str(dataset),
        "--run-dir",
        str(tmp_path / "run"),
        "--shard-model",
        "2",
    ]
    assert train.main([*words, "--shard-model", "2"]) == 2
    assert "--shard-model 2 works on the jax backend only; this is tensorflow" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def started(number, cache, *words, **variables):
    """Start Python on that many CPU devices of jax."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={number} --xla_backend_optimization_level=0",
        # Compiled once: each attempt would compile the same step for several seconds.
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
        **variables,
    }
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([sys.executable, *words], cwd=ROOT, env=environment, text=True, **pipes)


def finished(process):
    """Return what a process has written to stdout and stderr, once it has ended well."""
    out, err = process.communicate(timeout=3000)
    assert process.returncode == 0, err[-3000:]
    return out, err


def state(folder):
    """Return (step, arrays) of a run, whatever devices it has run on."""
    step, arrays = checkpoints.load(folder / "checkpoints")
    return step, arrays.read() if isinstance(arrays, StoredArrays) else arrays


@pytest.mark.slow
@pytest.mark.reliability(
    "SIGKILL while all devices' parts of a checkpoint are written, or before it is current",
    "the run goes on from the checkpoint before, and ends with the same bits",
)
def test_a_run_killed_while_it_saves_ends_as_the_one_that_lived_and_goes_on_anywhere(dataset, tmp_path):
    words = [str(KILLED_RUNS), str(dataset), str(tmp_path), "5", "7", *FLAGS.split()]
    words += ["--batch-size-per-device", "1", "--shard-model", "2"]
    out, err = finished(started(4, tmp_path / "cache", *words))
    (_, _, whole), *killed, (_, _, rest) = json.loads(out.splitlines()[-1])
    assert (whole, rest) == (0, 0), err[-3000:]
    assert sum(ended == -9 for _, _, ended in killed) >= 4, killed
    assert "half written" in err
    (step, ours), (_, theirs) = (state(tmp_path / name) for name in ("killed", "whole"))
    assert step == 36
    assert set(ours) == set(theirs)
    assert [name for name in ours if ours[name].tobytes() != theirs[name].tobytes()] == []
    kept = sorted(path.name for path in (tmp_path / "killed" / "checkpoints").iterdir())
    assert kept == ["newest.json", "step-000000033", "step-000000036"]

    # On four devices in four parts, on two that have all weights, on one: the same but for rounding.
    ends = {}
    for number, ways in ((4, 4), (2, 1), (1, 1)):
        folder = tmp_path / f"on{number}"
        shutil.copytree(tmp_path / "whole", folder)
        words = [*FLAGS.split(), "--dataset", str(dataset), "--run-dir", str(folder), "--epochs", "4"]
        words += ["--batch-size-per-device", str(4 // number), "--shard-model", str(ways)]
        _, err = finished(started(number, tmp_path / "cache", str(ROOT / "train.py"), *words))
        assert "continues after step 36" in err
        ends[number] = state(folder)
    assert {step for step, _ in ends.values()} == {48}
    for number in (2, 4):
        for name, array in ends[1][1].items():
            np.testing.assert_allclose(ends[number][1][name], array, rtol=1e-4, atol=1e-5, err_msg=name)
    assert (tmp_path / "on4" / "checkpoints" / "step-000000048").is_dir()
    assert (tmp_path / "on1" / "checkpoints" / "step-000000048.npz").is_file()


@pytest.mark.slow
def test_two_hosts_that_have_half_of_the_weights_each_end_as_one_host(dataset, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    words = [str(ROOT / "train.py"), *FLAGS.split(), "--batch-size-per-device", "1", "--shard-model", "4"]
    words += ["--epochs", "2", "--dataset", str(dataset), "--run-dir"]
    hosts = []
    for number in ("0", "1"):
        variables = {"JOB_ADDRESSES": address, "NUM_PROCESSES": "2", "PROCESS_ID": number}
        variables = {f"KERAS_DISTRIBUTION_{name}": value for name, value in variables.items()}
        hosts.append(started(2, tmp_path / f"cache{number}", *words, str(tmp_path / "two"), **variables))
    said = [finished(host)[1] for host in hosts]
    assert "4 CPUs of 2 hosts on jax, data-parallel, weights spread over 4" in said[0]
    finished(started(4, tmp_path / "cache", *words, str(tmp_path / "one")))
    (step, ours), (_, theirs) = (state(tmp_path / name) for name in ("two", "one"))
    assert step == 24
    for name, array in theirs.items():
        np.testing.assert_allclose(ours[name], array, rtol=1e-4, atol=1e-5, err_msg=name)
    models = [keras.saving.load_model(tmp_path / name / "model.keras") for name in ("two", "one")]
    for ours, theirs in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
