"""The study behind the default of --head: which head learns a drawn booru best, and where do its maps point?

    python tools/studies/heads.py runs/heads --dataset faces/dataset --booru faces/booru

The network of the recipe `small` with each head, on the same number of presentations, one thread, for each
seed: averages over the whole picture (`gap`) and over its quarters (`cells`), attention pooling (`map`), and
ML-Decoder (`ml_decoder`). Then the pointing game (tools/studies/pointing.py) on the validation pictures.

A run that is there is not trained again, so the command continues where it was stopped; --report only writes
results/heads/ of what is there: runs.csv and pointing.csv.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import dataclasses
import pathlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from Utils.bench import learning, learning_curves
from Utils.bench.learning import Run
from Utils.command.cli import Parser, WorkError, command, number
from Utils.command.machine import require_linux
from Utils.files import csv_tables
from Utils.recipe.recipe import load_recipe

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "results" / "heads"
NETWORK = ("depths=1,1,1,1", "stem=convolutions", "shortcut_norm=true")
# ML-Decoder has four tags a group here, and a width that fits a network of 512 channels for 64 px.
HEADS = {
    "cells": ("pool_cells=2", "pool_overlap=true"),
    "gap": (),
    "map": ("head=map",),
    "ml_decoder": ("head=ml_decoder", "decoder_groups=36", "decoder_width=256"),
}
RATE, EVALUATIONS = 1.5e-3, 4  # the rate is the recipe's
TABLE = ("head", "ms_per_step", *learning_curves.TABLE)


def parser() -> Parser:
    """Return the argument parser."""
    parser = Parser(prog="tools/studies/heads.py", description=__doc__)
    add = parser.add_argument
    add("output", metavar="OUT", type=pathlib.Path, help="folder of the runs")
    add(
        "--dataset",
        required=True,
        type=pathlib.Path,
        help="the packed dataset of a drawn booru",
    )
    add("--booru", required=True, type=pathlib.Path, help="the booru itself, with truth_boxes.csv")
    add("--seeds", type=number(above=0), default=3, help="seeds of each head (3)")
    add("--heads", nargs="+", choices=tuple(HEADS), default=list(HEADS), help="which heads (all)")
    add("--presentations", type=number(above=0), default=24_320, help="images seen by each run (24,320)")
    add("--report", action="store_true", help="train nothing, write results/heads/ of the runs there are")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    require_linux("tools/studies/heads.py")
    options = parser().parse_args(argv)
    runs = list(plan(options))
    if not options.report:
        for place, (head, run) in enumerate(runs, 1):
            learning.train(run, options.output / "runs")
            point(head, run, options)
            print(f"{place} of {len(runs)} runs: {run.name}", flush=True)
    write_report(runs, options)
    return 0


def plan(options: argparse.Namespace) -> Iterator[tuple[str, Run]]:
    """Yield the runs with the name of their head, one seed of all heads after another."""
    recipe = learning.with_presentations(load_recipe("small"), options.presentations, EVALUATIONS)
    for seed in range(options.seeds):
        for head in options.heads:
            changed = dataclasses.replace(recipe, model_options=(*NETWORK, *HEADS[head]))
            run = learning.make_run("ours", str(options.dataset.resolve()), changed, RATE, seed)
            yield head, dataclasses.replace(run, name=f"{run.name}-{head}")


def point(head: str, run: Run, options: argparse.Namespace) -> None:
    """Play the pointing game with a finished run, unless that was done."""
    place = options.output / "runs" / run.name
    if (place / "pointing.csv").exists():
        return
    words = [sys.executable, "tools/studies/pointing.py", str(place / "run"), str(options.booru.resolve())]
    words += ["--dataset", run.dataset, "--which", "last", "-o", str((place / "pointing.csv").resolve())]
    result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    if result.returncode:
        raise WorkError(f"pointing.py failed for {head}: {result.stderr.strip()[-1000:]}")


def write_report(runs: list[tuple[str, Run]], options: argparse.Namespace) -> None:
    """Write results/heads/ of the finished runs, and print the table and the differences from `gap`."""
    places: dict[str, list[pathlib.Path]] = {}
    for head, run in runs:
        place = options.output / "runs" / run.name
        if place.exists():
            places.setdefault(head, []).append(place)
    if not places:  # results of others are not replaced by an empty table
        raise WorkError(f"no run is finished in {options.output}")
    rows, scores, pointed = [], {}, []
    for head, same in places.items():
        row, scores[head] = learning_curves.row(options.dataset.name, "ours", "ResNet/18", RATE, same)
        rows.append({"head": head, "ms_per_step": round(milliseconds(same, runs), 1), **row})
        for place in same:
            for line in _pointing(place):
                pointed.append([head, place.name, *line.values()])
    RESULTS.mkdir(parents=True, exist_ok=True)
    csv_tables.write_rows(RESULTS / "runs.csv", TABLE, [[row[name] for name in TABLE] for row in rows])
    if pointed:
        names = ("head", "run", *_pointing(next(iter(places.values()))[0])[0])
        csv_tables.write_rows(RESULTS / "pointing.csv", names, pointed)
    for row in rows:
        print(
            f"{row['head']:<12}{row['ms_per_step']:>7.1f} ms a step  micro {row['micro_F1']:.4f} "
            f"({row['micro_low']:.4f} to {row['micro_high']:.4f})  macro {row['macro_F1']:.4f} "
            f"({row['macro_low']:.4f} to {row['macro_high']:.4f})  seeds: {row['seeds']}"
        )
    for head, one in scores.items():
        if head != "gap" and "gap" in scores:
            print(learning_curves.difference_line(f"{head} above gap", scores["gap"], one))


def milliseconds(places: Sequence[pathlib.Path], runs: list[tuple[str, Run]]) -> float:
    """Return the mean CPU time of a step, from the second epoch on: the first one has the start in it."""
    size = runs[0][1].recipe.batch_size_per_device
    curves = [learning.curve(place) for place in places]
    steps = sum((curve[-1]["images"] - curve[0]["images"]) / size for curve in curves)
    return 1000 * sum(curve[-1]["cpu_seconds"] - curve[0]["cpu_seconds"] for curve in curves) / steps


def _pointing(place: pathlib.Path) -> list[dict[str, Any]]:
    path = place / "pointing.csv"
    return csv_tables.read_texts(path, "a pointing game") if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
