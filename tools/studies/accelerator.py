"""What an accelerator gives, in ten minutes and without an edit: for the day one is at hand.

    python tools/studies/accelerator.py -o results/accelerator

Training steps in bfloat16 on jax (`tools/bench.py train`), where torch and timm are installed beside timm's,
compiled; what large matrix products reach; and the whole loop from shards (`train.py`), with the share of the
time in which it waited for images. The most telling comes first; what is left when the time is up, and what
failed, is named as missing. After each measurement the output is whole.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import csv
import dataclasses
import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from Utils.bench import timing
from Utils.bench.matrix_products import POLICIES
from Utils.command import accelerators, machine
from Utils.command.cli import Parser, command, number, print_json
from Utils.data import dataset_folder
from Utils.files import atomic, tfrecord
from Utils.tags import tag_list

MODELS = ("ConvNext/B", "ViT/B16", "NFNet/L1", "ResNet/50")
LABELS_PER_IMAGE = 30
SHARDS = 8
OUTPUT = "accelerator.json"


@dataclasses.dataclass(frozen=True)
class Measurement:
    """One of the things to measure: its name, and the words after ``python`` that print its figures."""

    name: str
    words: tuple[str, ...]
    run: str = ""  # the run folder whose history has the figures, for the loop


def parser() -> Parser:
    """Return the argument parser."""
    arguments = Parser(prog="accelerator.py", description=__doc__)
    add = arguments.add_argument
    add("-o", "--output", required=True, type=pathlib.Path, metavar="DIR", help=f"gets {OUTPUT}")
    add("--minutes", type=number(float, above=0), default=9.5, help="when to stop (9.5)")
    add("--models", nargs="+", default=MODELS, metavar="FAMILY/VARIANT", help=f"({' '.join(MODELS)})")
    add("--image-sizes", nargs="+", type=number(above=0), default=[448, 224], help="(448 224)")
    add("--batch-size", type=number(above=0), default=64, help="images on the device (64)")
    add("--num-labels", type=number(above=0), default=5500, help="labels (5500)")
    add("--steps", type=number(above=0), default=10, help="steps of a round (10)")
    add("--loop-steps", type=number(above=0), default=60, help="steps of the loop from shards (60)")
    add("--images", type=number(above=0), default=2048, help="JPEGs of 512 px drawn for the loop (2048)")
    add("--backend", choices=("jax", "tensorflow"), default="jax", help="of Keras (jax)")
    add("--dtype", choices=POLICIES, default="bfloat16", help="of the computation (bfloat16)")
    add("--json", action="store_true", help="print the output, too, as one JSON object")
    return arguments


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    end = time.monotonic() + 60 * options.minutes
    options.output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options, pathlib.Path(folder), end)
    if options.json:
        print_json(result)
    else:
        print("\n".join(lines(result)))
    return 0


def measure(options: argparse.Namespace, folder: pathlib.Path, end: float) -> dict[str, Any]:
    """Take one measurement after another until ``end`` of the monotonic clock; return all that there is."""
    write_dataset(folder / "dataset", options.images, options.num_labels)
    result: dict[str, Any] = {
        "machine": {
            "processor": machine.cpu_name(),
            "cores": machine.num_cores(),
            "accelerators": accelerators.describe(),
        },
        "settings": {name: value for name, value in vars(options).items() if name not in ("output", "json")},
        "command": "python tools/studies/accelerator.py",
        "measured": {},
        "missing": {},
    }
    environment = {
        "KERAS_BACKEND": options.backend,
        "JAX_COMPILATION_CACHE_DIR": str(folder / "compiled"),  # the loop compiles what a step has compiled
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",  # torch needs memory beside jax
        "WANDB_MODE": "offline",
    }
    for item in measurements(options, folder):
        left = end - time.monotonic()
        error = "no time was left" if left <= 0 else _taken(item, environment, left, result["measured"])
        if error:
            result["missing"][item.name] = error
        result["machine"] |= _environment(item)
        atomic.write_json(options.output / OUTPUT, result | atomic.provenance())
    return result


def measurements(options: argparse.Namespace, folder: pathlib.Path) -> list[Measurement]:
    """Return what to measure, the most telling first: the loop comes after the first two steps."""
    has_peer = all(importlib.util.find_spec(package) for package in ("torch", "timm"))
    peer = ("--peer", "timm", "--compile-peer") if has_peer else ()
    shared = (
        "--batch-size", str(options.batch_size), "--num-labels", str(options.num_labels),
        "--steps", str(options.steps), "--rounds", "3", "--dtype", options.dtype,
        "--backend", options.backend,
    )  # fmt: skip
    steps = [
        Measurement(
            f"step of {model} at {size} px",
            ("tools/bench.py", "train", "--model", model, "--image-size", str(size), *shared, "--limit",
             *peer, "--json"),
        )
        for size in options.image_sizes
        for model in options.models
    ]  # fmt: skip
    model, size, run = str(options.models[0]), str(options.image_sizes[0]), str(folder / "run")
    policy = POLICIES[options.dtype]
    loop = (
        "train.py", "convnext_b", "--model", model, "--image-size", size,
        "--batch-size-per-device", str(options.batch_size), "--dtype-policy", policy,
        "--dataset", str(folder / "dataset"), "--run-dir", run, "--tracker", "none",
        "--steps-per-epoch", str(options.loop_steps), "--epochs", "2", "--checkpoint-every", "1h",
    )  # fmt: skip
    return [*steps[:2], Measurement(f"loop of {model} at {size} px from shards", loop, run), *steps[2:]]


def _taken(item: Measurement, environment: dict[str, str], seconds: float, measured: dict[str, Any]) -> str:
    """Take a measurement into ``measured``; return what went wrong, "" for nothing."""
    print(f"{item.name} ({seconds:.0f} s left)", file=sys.stderr, flush=True)
    try:
        code, out, errors = run(item.words, environment, seconds)
    except subprocess.TimeoutExpired:
        return f"stopped after {seconds:.0f} s: the time was up"
    if code:
        return (errors.strip().splitlines() or [f"exit code {code}"])[-1]
    measured[item.name] = _loop(item.run) if item.run else json.loads(out)
    return ""


def run(words: Sequence[str], environment: dict[str, str], seconds: float) -> tuple[int, str, str]:
    """Run a command of this project; return its exit code, stdout and stderr.

    Raises subprocess.TimeoutExpired after so many seconds, when it and all that it started is ended.
    """
    with subprocess.Popen(
        [sys.executable, *words],
        cwd=atomic.ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            out, errors = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    return process.returncode, out, errors


def _loop(run: str) -> dict[str, Any]:
    """Return the row of the last epoch of a run: the first compiles."""
    with (pathlib.Path(run) / "history.csv").open(encoding="utf-8") as file:
        row = list(csv.DictReader(file))[-1]
    names = [name for name in row if name.startswith("share_") or name in ("images_per_second", "seconds")]
    return {name: float(row[name]) for name in names}


def _environment(item: Measurement) -> dict[str, Any]:
    """Return what a run has recorded of its devices, packages and flags; nothing of other measurements."""
    path = pathlib.Path(item.run) / "environment.json"
    if not item.run or not path.is_file():
        return {}
    recorded = atomic.read_json(path)
    return {name: recorded[name] for name in ("devices", "packages", "compiler_flags", "python")}


def write_dataset(folder: pathlib.Path, images: int, num_labels: int) -> None:
    """Write shards of drawn JPEGs, as `tools/write_records.py` makes them, and a tag list."""
    random = np.random.default_rng(0)
    columns = {"tag_id": np.arange(1, num_labels + 1), "name": [f"tag_{tag}" for tag in range(num_labels)]}
    (folder / "train").mkdir(parents=True)
    tag_list.write(pd.DataFrame({**columns, "category": 0, "count": 1}), folder / dataset_folder.TAGS)
    drawn = [timing.draw_jpeg(random, 512) for _ in range(min(images, 64))]  # decoded anew each time
    for shard in range(SHARDS):
        path = folder / "train" / f"drawn-{shard:05d}-of-{SHARDS:05d}.tfrecord"
        with tfrecord.Writer(path) as writer:
            for number_of in range(shard, images, SHARDS):
                labels = np.unique(random.integers(0, num_labels, LABELS_PER_IMAGE))
                writer.write_record(tfrecord.encode_example(number_of, drawn[number_of % len(drawn)], labels))


def lines(result: dict[str, Any]) -> list[str]:
    """Return the output in words."""
    texts = [", ".join(f"{name} {value}" for name, value in result["machine"].items() if value)]
    for name, figures in result["measured"].items():
        if "part" not in figures:
            texts.append(f"{name}: " + ", ".join(f"{key} {value:g}" for key, value in figures.items()))
            continue
        texts.append(name)
        texts += [f"  {side:<60}{value:10.1f} images/s" for side, value in figures["figures"].items()]
        texts += [f"  ratio {side:<54}{value:10.2f}" for side, value in figures["ratios"].items()]
    return texts + [f"MISSING {name}: {reason}" for name, reason in result["missing"].items()]


if __name__ == "__main__":
    sys.exit(main())
