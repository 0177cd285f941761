"""The study behind the default of --head: which head learns tags best, and where do its maps point?

    python tools/studies/heads.py runs/heads --datasets faces/dataset=faces/booru emoji/unseen_vendor

The network of the recipe `small` with each head, on the same number of presentations, one thread, for each
seed: averages over the whole picture (`gap`) and over its quarters (`cells`), attention pooling (`map`), and
ML-Decoder (`ml_decoder`). Then, where the drawn booru is given, the pointing game (tools/studies/pointing.py)
on the validation pictures.

A run that is there is not trained again, so the command continues where it was stopped; --report only writes
results/heads/ of what is there: runs.csv and pointing.csv.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import dataclasses
import itertools
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from Utils.bench import learning, learning_curves, scripts
from Utils.bench.learning import Run
from Utils.command.cli import Parser, WorkError, command, number
from Utils.command.machine import require_linux
from Utils.files import atomic, csv_tables
from Utils.recipe.recipe import load_recipe

RESULTS = atomic.ROOT / "results" / "heads"
# ML-Decoder has four tags a group here, and a width that fits a network of 512 channels for 64 px.
HEADS = {
    "cells": ("pool_cells=2", "pool_overlap=true"),
    "gap": (),
    "map": ("head=map",),
    "ml_decoder": ("head=ml_decoder", "decoder_groups=36", "decoder_width=256"),
}
EVALUATIONS = 4
TABLE = ("head", "ms_per_step", *learning_curves.TABLE)


@dataclasses.dataclass(frozen=True)
class Trial:
    """A run with one head, and the booru whose boxes its maps should point into; None for no such game."""

    head: str
    run: Run
    booru: pathlib.Path | None


def parser() -> Parser:
    """Return the argument parser."""
    parser = Parser(prog="tools/studies/heads.py", description=__doc__)
    add = parser.add_argument
    add("output", metavar="OUT", type=pathlib.Path, help="folder of the runs")
    add(
        "--datasets",
        required=True,
        nargs="+",
        metavar="DATASET[=BOORU]",
        help="packed datasets, a drawn one with its booru, which has truth_boxes.csv",
    )
    add("--seeds", type=number(above=0), default=3, help="seeds of each head (3)")
    add("--heads", nargs="+", choices=tuple(HEADS), default=list(HEADS), help="which heads (all)")
    add(
        "--learning-rates",
        type=number(float, above=0),
        nargs="+",
        default=[load_recipe("small").learning_rate],
        help="the highest of the schedule, one after another (that of small)",
    )
    add("--presentations", type=number(above=0), default=24_320, help="images seen by each run (24,320)")
    add("--report", action="store_true", help="train nothing, write results/heads/ of the runs there are")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    require_linux("tools/studies/heads.py")
    options = parser().parse_args(argv)
    options.output = options.output.resolve()  # runs are trained from the project's folder
    trials = list(plan(options))
    if not options.report:
        for place, trial in enumerate(trials, 1):
            learning.train(trial.run, options.output / "runs")
            if trial.booru:
                point(trial, options.output / "runs" / trial.run.name)
            print(f"{place} of {len(trials)} runs: {trial.run.name}", flush=True)
    write_report(trials, options.output / "runs")
    return 0


def plan(options: argparse.Namespace) -> Iterator[Trial]:
    """Yield the runs, one seed of all heads after another."""
    recipe = learning.with_presentations(load_recipe("small"), options.presentations, EVALUATIONS)
    network = [option for option in recipe.model_options if not option.startswith("pool_")]
    choices = options.datasets, options.learning_rates, range(options.seeds), options.heads
    for text, rate, seed, head in itertools.product(*choices):
        dataset, _, booru = text.partition("=")
        changed = dataclasses.replace(recipe, model_options=(*network, *HEADS[head]))
        folder = str(pathlib.Path(dataset).resolve())
        run = learning.make_run("ours", folder, changed, rate, seed)
        run = dataclasses.replace(run, name=f"{run.name}-{head}")
        yield Trial(head, run, pathlib.Path(booru).resolve() if booru else None)


def point(trial: Trial, place: pathlib.Path) -> None:
    """Play the pointing game with a finished run, unless that was done."""
    if (place / "pointing.csv").exists():
        return
    words = [(place / "run").resolve(), trial.booru, "--dataset", trial.run.dataset, "--which", "last"]
    scripts.run("tools/studies/pointing.py", *words, "-o", (place / "pointing.csv").resolve())


def write_report(trials: Sequence[Trial], folder: pathlib.Path) -> None:
    """Write results/heads/ of the finished runs, print the table and the differences from the best `gap`."""
    places: dict[tuple[str, str, float], list[pathlib.Path]] = {}
    for trial in trials:
        place, recipe = folder / trial.run.name, trial.run.recipe
        if place.exists():
            key = (pathlib.Path(trial.run.dataset).name, trial.head, recipe.learning_rate)
            places.setdefault(key, []).append(place)
    if not places:  # results of others are not replaced by an empty table
        raise WorkError(f"no run is finished in {folder}")
    rows, scores, pointed = [], {}, []
    batch_size = trials[0].run.recipe.batch_size_per_device
    for (dataset, head, rate), same in places.items():
        row, score = learning_curves.row(dataset, "ours", "ResNet/18", rate, same)
        scores.setdefault(dataset, []).append((head, rate, score))
        rows.append({"head": head, "ms_per_step": round(milliseconds(same, batch_size), 1), **row})
        for place in same:
            pointed += [
                {"dataset": dataset, "head": head, "run": place.name, **line} for line in _pointing(place)
            ]
    RESULTS.mkdir(parents=True, exist_ok=True)
    csv_tables.write_rows(RESULTS / "runs.csv", TABLE, [[row[name] for name in TABLE] for row in rows])
    if pointed:
        lines = [list(line.values()) for line in pointed]
        csv_tables.write_rows(RESULTS / "pointing.csv", tuple(pointed[0]), lines)
    for row in rows:
        print(
            f"{row['dataset']:<16}{row['head']:<12}{row['learning_rate']:<8}"
            f"{row['ms_per_step']:>7.1f} ms a step  "
            f"micro {row['micro_F1']:.4f} ({row['micro_low']:.4f} to {row['micro_high']:.4f})  "
            f"macro {row['macro_F1']:.4f} ({row['macro_low']:.4f} to {row['macro_high']:.4f})  "
            f"seeds: {row['seeds']}"
        )
    for dataset, heads in scores.items():
        gaps = [score for head, _, score in heads if head == "gap"]
        for head, rate, score in heads if gaps else []:
            if head != "gap":
                gap = max(gaps, key=lambda one: one.mean.values["micro_F1"])
                name = f"{dataset}: {head}, {rate:g}, above gap"
                print(learning_curves.difference_line(name, gap, score))


def milliseconds(places: Sequence[pathlib.Path], batch_size: int) -> float:
    """Return the mean CPU time of a step, from the second epoch on: the first one has the start in it."""
    curves = [learning.curve(place) for place in places]
    steps = sum((curve[-1]["images"] - curve[0]["images"]) / batch_size for curve in curves)
    return 1000 * sum(curve[-1]["cpu_seconds"] - curve[0]["cpu_seconds"] for curve in curves) / steps


def _pointing(place: pathlib.Path) -> list[dict[str, Any]]:
    path = place / "pointing.csv"
    return csv_tables.read_texts(path, "a pointing game") if path.exists() else []


if __name__ == "__main__":
    sys.exit(main())
