"""Two processes on one machine train as two hosts of the jax backend, through train.py itself."""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import helpers
import numpy as np
import pytest

from Utils.training import checkpoints
from Utils.training.history import History

ROOT = pathlib.Path(__file__).resolve().parents[2]
HELPER = ROOT / "tests" / "helpers" / "one_host.py"
FLAGS = """resnet50 --model ResNet/basic-test --image-size 32 --tracker none --mixup-alpha 0.4 --epochs 2
--steps-per-epoch 15 --learning-rate 0.01 --learning-rate-batch-size 0 --stochastic-depth 0 --dropout 0
--optimizer sgd --checkpoint-every 5steps --keep-checkpoints 1"""
QUICK = "--xla_backend_optimization_level=0"  # to compile


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return helpers.dotted_shards(tmp_path_factory.mktemp("data"), train=20, validation=6)


def started(dataset, folder, stop=0, more=(), **environment):
    words = [
        sys.executable,
        str(HELPER),
        str(stop),
        *FLAGS.split(),
        *more,
    ]
    return subprocess.Popen(
        [*words, "--dataset", str(dataset), "--run-dir", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "XLA_FLAGS": QUICK,
            "PYTHONPATH": str(ROOT),
            **environment,
        },
    )


def two_hosts(dataset, folder, stop=0):
    """Train on two hosts, the second of which gets SIGTERM at step ``stop``; return what both said."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    hosts = []
    for number in range(2):
        variables = {"JOB_ADDRESSES": address, "NUM_PROCESSES": "2", "PROCESS_ID": str(number)}
        variables = {f"KERAS_DISTRIBUTION_{name}": value for name, value in variables.items()}
        more = ["--batch-size-per-device", "4"]
        hosts.append(started(dataset, folder, stop if number else 0, more, **variables))
    return [finished(host) for host in hosts]


def finished(process):
    out, err = process.communicate(timeout=3000)
    assert process.returncode == 0, err[-3000:]
    said = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    ours = [line for line in err.splitlines() if "epoch" in line or "step" in line]
    return [line for line in said if "state" in line], said[-1]["read"], ours


@pytest.mark.slow
def test_two_hosts_agree_stop_together_and_continue_as_one_device_does(dataset, tmp_path):
    (first, _, lines), (second, _, silent_lines) = two_hosts(dataset, tmp_path / "run", stop=4)
    step = checkpoints.load(tmp_path / "run" / "checkpoints")[0]
    assert 4 <= step < 30, "both stopped, soon after the second host's SIGTERM"
    assert first[-1] == second[-1]
    assert "2 CPUs of 2 hosts on jax" in lines[0]
    assert "the same command continues" in lines[-1]
    assert silent_lines == []
    shutil.copytree(tmp_path / "run", tmp_path / "one")
    (first, ours, lines), (second, theirs, silent_lines) = two_hosts(dataset, tmp_path / "run")
    assert f"continues after step {step}" in "".join(lines)
    assert first[-1] == second[-1]
    assert silent_lines == []
    numbers = len(ours), len(theirs)  # a host may have read ahead a few batches more
    assert max(numbers) < 0.6 * sum(numbers), "each host reads half"
    together = History(tmp_path / "run" / "history.csv")
    assert [row["epoch"] for row in together.rows] == [1, 2]
    held = [{number for number in read if number >= 20} for read in (ours, theirs)]
    assert held[0] | held[1] == set(range(20, 26))
    assert not held[0] & held[1], "each host reads its own images"

    finished(started(dataset, tmp_path / "one", more=["--batch-size-per-device", "8"]))  # on one device
    states = [checkpoints.load(tmp_path / name / "checkpoints") for name in ("run", "one")]
    assert states[0][0] == states[1][0] == 30
    for name, array in states[0][1].items():
        np.testing.assert_allclose(states[1][1][name], array, rtol=1e-4, atol=1e-5, err_msg=name)
    alone = History(tmp_path / "one" / "history.csv")
    for ours, theirs in zip(together.rows, alone.rows, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-5), "MixUp's partners are the same"
        assert ours["val_f1"] == pytest.approx(theirs["val_f1"], abs=0.02)
        assert ours["val_loss"] == pytest.approx(theirs["val_loss"], rel=1e-4)
