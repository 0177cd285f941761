"""tools/write_records.py --engine ray: workers that are killed in turn leave the bytes as they would be."""

import contextlib
import os
import pathlib
import signal
import threading
import time

import pytest
from helpers import slow_shards, small_dataset

from tools import write_records
from Utils.data import shard_writer

ROOT = pathlib.Path(__file__).resolve().parents[2]


def kill_in_turn(folder, killed, until):
    """Kill each process that writes a shard, up to three different ones, one after another."""
    while len(killed) < 3 and not until.is_set():
        for path in list(folder.glob("*")) if folder.exists() else []:
            number = int(path.name)
            if number not in killed and len(killed) < 3:
                path.unlink(missing_ok=True)
                with contextlib.suppress(ProcessLookupError):
                    os.kill(number, signal.SIGKILL)
                    killed.append(number)
                time.sleep(0.2)
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:os.fork")  # of JAX, where another test has started it
@pytest.mark.reliability("Workers of a Ray cluster that die while they write shards", "the same bytes")
def test_ray_workers_killed_in_turn(tmp_path, monkeypatch):
    ray = pytest.importorskip("ray")
    reference = small_dataset(tmp_path / "whole", shard_size=4)
    dataset = small_dataset(tmp_path / "killed", records=False)
    monkeypatch.setattr(shard_writer, "write_shard", slow_shards.write_shard)
    variables = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "CUDA_VISIBLE_DEVICES": "-1"}
    ray.init(num_cpus=3, include_dashboard=False, log_to_driver=False, runtime_env={"env_vars": variables})
    killed, done = [], threading.Event()
    killer = threading.Thread(target=kill_in_turn, args=(dataset.parent / "workers", killed, done))
    killer.start()
    try:
        words = [
            str(dataset),
            "--images",
            str(dataset.parent / "images"),
            "--shard-size",
            "4",
            "--engine",
            "ray",
        ]
        assert write_records.main(words) == 0
    finally:
        done.set()
        killer.join()
        ray.shutdown()
    assert len(set(killed)) == 3
    names = sorted(path.relative_to(reference) for path in reference.rglob("*.tfrecord"))
    assert names == sorted(path.relative_to(dataset) for path in dataset.rglob("*.tfrecord"))
    for name in names:
        assert (dataset / name).read_bytes() == (reference / name).read_bytes(), name
