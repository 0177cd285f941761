"""memory, FLOPs and traffic of recipes' training steps on TPUs that are not here, by the TPU's compiler.

Every row is `train.py RECIPE --dry-run --topology T` on a dataset that has tags and no pictures to speak of:
the recipe's own step. The limits are the chip's memory and its published peaks (Utils/training/chips.py). A
step takes minutes of a core; what was compiled before is taken from the cache. Nothing is written but with
-o, where rows that are there already are kept.
"""

import argparse
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from Utils.bench import compiled_steps, timing
from Utils.command import accelerators
from Utils.command.cli import Parser, UserError, WorkError, number
from Utils.data import dataset_folder
from Utils.files import atomic, tfrecord
from Utils.recipe.recipe import load_recipe, recipe_names
from Utils.tags import tag_list
from Utils.training import topology

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
STEPS = 1000  # an epoch: a number in the program, of no weight


def add_arguments(parser: Parser) -> None:
    """Declare the options."""
    add = parser.add_argument
    recipes = [name for name in recipe_names() if load_recipe(name).model]
    add("--recipes", nargs="+", default=recipes, choices=recipes, metavar="RECIPE", help="(all with a model)")
    add(
        "--topologies",
        nargs="+",
        default=["v5e-8", "v6e-8", "v4-8", "v3-8"],
        metavar="NAME",
        help="(v5e-8 v6e-8 v4-8 v3-8)",
    )
    add(
        "--dtype",
        choices=list(POLICIES),
        default="bfloat16",
        help="of computations; weights are float32 (bfloat16)",
    )
    add(
        "--rematerialize",
        choices=["none", "blocks", "needed"],
        default="needed",
        help="blocks; needed: where the step does not fit without",
    )
    add("--num-labels", type=number(above=0), default=5500, help="labels (5500)")
    add("--image-size", type=number(above=0), help="side of the images (the recipe's)")
    add("--batch-size", type=number(above=0), help="images on each device (the recipe's)")
    add("--effort", choices=["low", "full"], default="low", help="of the compiler (low)")
    add("-o", "--output", type=pathlib.Path, metavar="FILE.csv", help="add the rows to a table, one by one")
    add("--overwrite", action="store_true", help="with -o: also compile what the table has already")


def run_benchmark(options: argparse.Namespace) -> dict[str, Any]:
    """Compile the steps; return their rows. Raises WorkError at the end if the compiler failed for some."""
    if not accelerators.has_libtpu():
        raise UserError("compile needs the package libtpu; pip install -r requirements-tpu.txt")
    if options.overwrite and not options.output:
        raise UserError("--overwrite compiles again what a table has; name the table with -o")
    names = [topology.canonical(name) for name in options.topologies]
    table: dict[tuple[Any, ...], compiled_steps.Row] = {}
    if options.output and options.output.exists():
        table = {compiled_steps.key_of(row): row for row in compiled_steps.read(options.output)}
    keys, failures = [], {}
    with tempfile.TemporaryDirectory() as folder:
        write_dataset(pathlib.Path(folder), options.num_labels)
        for name, recipe in itertools.product(names, options.recipes):
            for key in _keys(options, recipe, name, table):
                place = tuple(key.values())
                keys.append(place)
                if place in table and not (options.overwrite and place not in keys[:-1]):
                    continue
                try:
                    answer = dry_run(pathlib.Path(folder), key)
                except WorkError as error:
                    failures[f"{recipe} on {name}"] = str(error)
                    break
                table[place] = compiled_steps.row(key, answer, topology.versions())
                if options.output:
                    compiled_steps.write(options.output, table.values())
    rows = [table[place] for place in keys if place in table]
    if failures:
        raise WorkError("; ".join(f"{step}: {message}" for step, message in failures.items()))
    setup = {"effort": options.effort, "dtype": options.dtype, **topology.versions()}
    lines = ["", *compiled_steps.details(rows).splitlines()]
    return {
        "part": "compile",
        "unit": "",
        "setup": setup,
        "figures": {},
        "ratios": {},
        "rows": rows,
        "lines": lines,
    }


def _keys(
    options: argparse.Namespace, name: str, target: str, table: dict[tuple[Any, ...], compiled_steps.Row]
) -> Iterator[dict[str, Any]]:
    """Yield what to compile of a recipe, the second after the first has got its row."""
    recipe = load_recipe(name)
    key = {
        "recipe": name,
        "topology": target,
        "image_size": options.image_size or recipe.image_size,
        "num_labels": options.num_labels,
        "batch_size_per_device": options.batch_size or recipe.batch_size_per_device,
        "dtype": options.dtype,
        "rematerialize": "none" if options.rematerialize == "needed" else options.rematerialize,
        "effort": options.effort,
    }
    yield key
    first = table.get(tuple(key.values()))
    if options.rematerialize == "needed" and first and not first["fits"]:
        yield key | {"rematerialize": "blocks"}


def dry_run(dataset: pathlib.Path, key: dict[str, Any]) -> dict[str, Any]:
    """Return what ``train.py --dry-run --topology --json`` says; WorkError where it fails."""
    words = [
        key["recipe"], "--dataset", dataset, "--dry-run", "--topology", key["topology"], "--json",
        "--effort", key["effort"], "--dtype-policy", POLICIES[key["dtype"]],
        "--rematerialize", key["rematerialize"],
        "--image-size", key["image_size"], "--batch-size-per-device", key["batch_size_per_device"],
        "--steps-per-epoch", STEPS,
    ]  # fmt: skip
    print(
        f"{key['recipe']} on {key['topology']}, rematerialize {key['rematerialize']}",
        file=sys.stderr,
        flush=True,
    )
    done = subprocess.run(
        [sys.executable, "train.py", *map(str, words)],
        cwd=atomic.ROOT,
        env=os.environ | {"KERAS_BACKEND": "jax"},
        stdout=subprocess.PIPE,
        text=True,
    )
    if not done.stdout:  # a step that does not fit has its answer, and exit code 1
        raise WorkError(f"train.py --dry-run ended with exit code {done.returncode}")
    return json.loads(done.stdout)


def write_dataset(folder: pathlib.Path, num_labels: int) -> None:
    """Write a dataset of one record with so many tags: of a step's shapes it decides the labels only."""
    columns = {"tag_id": np.arange(1, num_labels + 1), "name": [f"tag_{tag}" for tag in range(num_labels)]}
    tag_list.write(pd.DataFrame({**columns, "category": 0, "count": 1}), folder / dataset_folder.TAGS)
    (folder / "train").mkdir()
    with (
        atomic.replacing(folder / "train" / "one-00000-of-00001.tfrecord") as part,
        tfrecord.Writer(part) as writer,
    ):
        image = timing.draw_jpeg(np.random.default_rng(0), 64)
        writer.write_record(tfrecord.encode_example(1, image, [0]))
