"""Compare two dumps on the images and tags that both have, each at its own P = R threshold.

Both are scored on the same resamples of the images (paired bootstrap; for macro F1 the jackknife, which is
right for rare tags too): a hard resample is hard for both. If the 95% interval of the difference holds 0
they are not distinguishable, and the output says so.

A and B may be folders of dumps, for example of one recipe trained from several seeds: then the means of their
scores are compared, every run at its own threshold. --truth scores by labels that the dumps do not have.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import math
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from Utils.command import programs
from Utils.command.cli import Parser, command, number, print_json
from Utils.command.text import counted
from Utils.evaluation import alignment, bootstrap, ground_truth, paired_bootstrap, predictions
from Utils.evaluation.predictions import Dump


def parser() -> Parser:
    """Return the argument parser."""
    arguments = Parser(prog="compare_dumps.py", description=__doc__)
    arguments.add_argument("first", metavar="A", type=pathlib.Path, help="dump folder, or a folder of them")
    arguments.add_argument("second", metavar="B", type=pathlib.Path, help="dump folder, or a folder of them")
    arguments.add_argument("-c", "--category", help="only this category, by name or code")
    arguments.add_argument("--truth", metavar="TRUTH.csv", type=pathlib.Path, help="labels: image_id,tags")
    arguments.add_argument(
        "--resamples",
        type=number(least=bootstrap.MIN_RESAMPLES),
        default=1000,
        help="resamples of the images (1000)",
    )
    arguments.add_argument("--seed", type=number(least=0), default=0, help="of the resamples (0)")
    arguments.add_argument("--json", action="store_true", help="print one JSON object, in full precision")
    return arguments


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    truth = ground_truth.read(options.truth) if options.truth else None
    pair = [predictions.load_runs(path) for path in (options.first, options.second)]
    names = _names(pair, (options.first, options.second))
    comparison = compare(pair, names, options.category, options.resamples, options.seed, truth)
    if options.json:
        print_json(comparison)
    else:
        print(text(comparison))
        better = pair[comparison["differences"]["micro_F1"]["difference"] > 0][0].folder
        print(programs.next_line("make_report", better, "-o", f"{better}_report"), file=sys.stderr)
    return 0


def compare(
    pair: Sequence[list[Dump]],
    names: Sequence[str],
    category: str | None = None,
    resamples: int = 1000,
    seed: int = 0,
    truth: ground_truth.Truth | None = None,
) -> dict[str, Any]:
    """Return scores of two sides on what all dumps have, and the intervals of their differences, as a dict.

    Args:
        pair: the runs of either side.
        names: of the sides.
        category: of the tags that are scored; None for all.
        resamples: of the images.
        seed: of the resamples.
        truth: from `Utils.evaluation.ground_truth.read`; None for the labels of the dumps.
    """
    runs = [dump for side in pair for dump in side]
    aligned = alignment.align(runs)
    common_images = len(aligned.probabilities[0])
    if truth is not None:
        aligned = ground_truth.with_true_labels(aligned, truth)
    elif aligned.truth is None:
        runs[0].require_labels()  # raises the error that says which file is missing
    aligned = aligned.select_columns(predictions.select(aligned.tags, category))
    labels = aligned.require_truth()
    counts = bootstrap.resample_counts(len(labels), resamples, seed)
    scored = [paired_bootstrap.score(view, labels, counts) for view in aligned.probabilities]
    entries = [
        {"name": dump.folder.name, "threshold": float(model.threshold), **_score_cells(model)}
        | {"tags_left_out": tags, "images_left_out": images}
        for dump, model, (tags, images) in zip(runs, scored, aligned.dropped, strict=True)
    ]
    runs_of_a = len(pair[0])
    a, b = (paired_bootstrap.mean(part) for part in (scored[:runs_of_a], scored[runs_of_a:]))
    return {
        "images": len(labels),
        "tags": len(aligned.tags),
        "resamples": resamples,
        "labels_that_differ": sum(aligned.label_disagreements()),
        "images_without_truth": 0 if truth is None else common_images - len(labels),
        "dumps": [_entry(names[0], a, entries[:runs_of_a]), _entry(names[1], b, entries[runs_of_a:])],
        "differences": {metric: _difference(a, b, metric) for metric in paired_bootstrap.METRICS},
    }


def _names(pair: Sequence[list[Dump]], folders: Sequence[pathlib.Path]) -> list[str]:
    """Return the names of runs or of folders of runs; the paths as typed if those are equal."""
    names = [
        runs[0].name if len(runs) == 1 else folder.resolve().name
        for runs, folder in zip(pair, folders, strict=True)
    ]
    return names if names[0] != names[1] else list(map(str, folders))


def _entry(name: str, mean: paired_bootstrap.ResampledScores, runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return one side: its run if there is only one, else the mean of its runs and these."""
    if len(runs) == 1:
        return runs[0] | {"name": name}
    return {"name": name, "threshold": None, **_score_cells(mean), "runs": runs}


def _score_cells(model: paired_bootstrap.ResampledScores) -> dict[str, Any]:
    cells = {}
    for metric in paired_bootstrap.METRICS:
        cells |= {metric: model.values[metric], f"{metric}_interval": list(model.interval(metric))}
    return cells


def _difference(
    first: paired_bootstrap.ResampledScores, second: paired_bootstrap.ResampledScores, metric: str
) -> dict[str, Any]:
    gain = paired_bootstrap.difference(first, second, metric)
    interval = [gain.low, gain.high]
    return {"difference": gain.value, "interval": interval, "distinguishable": gain.distinguishable}


def text(comparison: dict[str, Any]) -> str:
    """Return the comparison as lines of text."""
    keys = ("images", "tags", "resamples", "labels_that_differ", "images_without_truth")
    images, tags, resamples, differing, unnamed = (comparison[key] for key in keys)
    head = f"{counted(images, 'image')} and {counted(tags, 'tag')} that all have"
    lines = [f"{head}; each dump at its own P = R threshold; {resamples:,} resamples of the images"]
    if differing:
        lines.append(
            f"{counted(differing, 'label differs', 'labels differ')} between the dumps; those of A are used"
        )
    if unnamed:
        lines.append(f"left out: {counted(unnamed, 'image')} that the truth does not name")
    rows = []
    for letter, side in zip("AB", comparison["dumps"], strict=True):
        runs = side.get("runs", [])
        mean = f", mean of {len(runs)}" if runs else ""
        rows += [(f"{letter}  {side['name']}{mean}", side), *((f"   {run['name']}", run) for run in runs)]
    width = max(len(name) for name, _ in rows)
    lines += ["", f"{'':<{width}}  threshold  micro F1                95%  macro F1                95%"]
    lines += ["  ".join([name.ljust(width), *_cells(scored)]).rstrip() for name, scored in rows]
    lines.append("")
    return "\n".join([*lines, *(_verdict(*item) for item in comparison["differences"].items())])


def _cells(scored: dict[str, Any]) -> list[str]:
    cells = [f"{'' if scored['threshold'] is None else format(scored['threshold'], '.4f'):>9}"]
    for metric in paired_bootstrap.METRICS:
        cells += [f"{_score(scored[metric]):>8}", f"{_range(scored[f'{metric}_interval']):>17}"]
    return cells


def _verdict(metric: str, difference: dict[str, Any]) -> str:
    gain = difference["difference"]
    verdict = "not distinguishable"
    if difference["distinguishable"]:
        verdict = "B is better" if gain > 0 else "A is better"
    values = (gain, *difference["interval"])
    gain, low, high = ("-" if math.isnan(value) else f"{value:+.4f}" for value in values)
    return f"{metric.replace('_', ' ')}: B - A = {gain} ({low} to {high}): {verdict}"


def _range(interval: Sequence[float]) -> str:
    return f"{_score(interval[0])} to {_score(interval[1])}"


def _score(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


if __name__ == "__main__":
    sys.exit(main())
