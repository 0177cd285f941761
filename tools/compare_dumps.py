"""Compare two dumps on the images and tags that both have, each at its own P = R threshold.

Both are scored on the same resamples of the images (paired bootstrap): what is hard in a resample is hard for
both. Where the 95% interval of the difference holds 0 they are not distinguishable, and this says so.

A and B may be folders of dumps, such as those of one recipe trained from several seeds: means of their scores
are compared then, every run at its own threshold. --truth scores by labels that the dumps do not have.
"""

import math
import pathlib
import sys

from Utils.command.cli import Parser, UserError, command, print_json
from Utils.evaluation import alignment, bootstrap, ground_truth, paired_bootstrap, predictions

FEW = 100  # resamples below which an interval of 95% says nothing


def parser():
    """Return the argument parser."""
    made = Parser(prog="compare_dumps.py", description=__doc__)
    made.add_argument("first", metavar="A", type=pathlib.Path, help="dump folder, or a folder of them")
    made.add_argument("second", metavar="B", type=pathlib.Path, help="dump folder, or a folder of them")
    made.add_argument("-c", "--category", help="only this category, by name or code")
    made.add_argument("--truth", metavar="TRUTH.csv", type=pathlib.Path, help="labels: image_id,tags")
    made.add_argument("--resamples", type=int, default=1000, help="resamples of the images (1000)")
    made.add_argument("--seed", type=int, default=0, help="of the resamples (0)")
    made.add_argument("--json", action="store_true", help="print one JSON object, in full precision")
    return made


@command
def main(argv=None):
    """Run the command."""
    options = parser().parse_args(argv)
    if options.resamples < FEW:
        raise UserError(f"--resamples must be {FEW} or more; got {options.resamples}")
    if options.seed < 0:
        raise UserError(f"--seed must be 0 or more; got {options.seed}")
    truth = ground_truth.read(options.truth) if options.truth else None
    pair = [predictions.load_runs(path) for path in (options.first, options.second)]
    names = _names(pair, (options.first, options.second))
    found = compare(pair, names, options.category, options.resamples, options.seed, truth)
    if options.json:
        print_json(found)
    else:
        print(text(found))
    return 0


def compare(pair, names, category=None, resamples=1000, seed=0, truth=None):
    """Return scores of two sides on what all dumps have, and the intervals of their differences, as a dict.

    pair: the dumps of each side, its runs; names: what to call the sides; truth: from
    `Utils.evaluation.ground_truth.read`.
    """
    runs = [dump for side in pair for dump in side]
    aligned = alignment.align(runs)
    left_out = aligned.left_out
    if truth is not None:
        common = len(aligned.probabilities[0])
        aligned = ground_truth.labeled(aligned, truth)
    elif aligned.truth is None:
        runs[0].require_labels()
    aligned = aligned.selected(predictions.select(aligned.tags, category))
    drawn = bootstrap.weights(len(aligned.truth), resamples, seed)
    scored = [paired_bootstrap.side(view, aligned.truth, drawn) for view in aligned.probabilities]
    entries = [
        {"name": dump.folder.name, "threshold": float(side.threshold), **_scores(side)}
        | {"tags_left_out": tags, "images_left_out": images}
        for dump, side, (tags, images) in zip(runs, scored, left_out, strict=True)
    ]
    cut = len(pair[0])
    sides = [paired_bootstrap.mean(part) for part in (scored[:cut], scored[cut:])]
    return {
        "images": len(aligned.truth),
        "tags": len(aligned.tags),
        "resamples": resamples,
        "labels_that_differ": sum(aligned.disagreements()),
        "images_without_truth": 0 if truth is None else common - len(aligned.truth),
        "dumps": [_entry(*each) for each in zip(names, sides, (entries[:cut], entries[cut:]), strict=True)],
        "differences": {kind: _difference(*sides, kind) for kind in paired_bootstrap.KINDS},
    }


def _names(pair, folders):
    """Return the names of runs or of folders of runs; the paths as given where those are equal."""
    names = [
        side[0].name if len(side) == 1 else folder.resolve().name
        for side, folder in zip(pair, folders, strict=True)
    ]
    return names if names[0] != names[1] else list(map(str, folders))


def _entry(name, side, runs):
    """Return one side: the very run where there is one, else the means and its runs."""
    if len(runs) == 1:
        return runs[0] | {"name": name}
    return {"name": name, "threshold": None, **_scores(side), "runs": runs}


def _scores(side):
    found = {}
    for kind in paired_bootstrap.KINDS:
        found |= {kind: side.values[kind], f"{kind}_interval": list(side.interval(kind))}
    return found


def _difference(first, second, kind):
    lead = paired_bootstrap.difference(first, second, kind)
    interval = [lead.low, lead.high]
    return {"difference": lead.value, "interval": interval, "distinguishable": lead.distinguishable}


def text(found):
    """Return the comparison as lines of text."""
    head = f"{found['images']:,} images and {found['tags']:,} tags that all have"
    lines = [f"{head}; each dump at its own P = R threshold; {found['resamples']:,} resamples of the images"]
    if found["labels_that_differ"]:
        lines.append(f"{found['labels_that_differ']:,} labels differ between the dumps; those of A are used")
    if found["images_without_truth"]:
        lines.append(f"{found['images_without_truth']:,} images that the truth does not name are left out")
    rows = []
    for letter, side in zip("AB", found["dumps"], strict=True):
        runs = side.get("runs", [])
        mean = f", mean of {len(runs)}" if runs else ""
        rows += [(f"{letter}  {side['name']}{mean}", side), *((f"   {run['name']}", run) for run in runs)]
    width = max(len(name) for name, _ in rows)
    lines += ["", f"{'':<{width}}  threshold  micro F1                95%  macro F1                95%"]
    lines += ["  ".join([name.ljust(width), *_cells(scored)]).rstrip() for name, scored in rows]
    lines.append("")
    return "\n".join([*lines, *(_verdict(kind, one) for kind, one in found["differences"].items())])


def _cells(scored):
    cells = [f"{'' if scored['threshold'] is None else format(scored['threshold'], '.4f'):>9}"]
    for kind in paired_bootstrap.KINDS:
        cells += [f"{_score(scored[kind]):>8}", f"{_range(scored[f'{kind}_interval']):>17}"]
    return cells


def _verdict(kind, one):
    if one["distinguishable"]:
        said = "B is better" if one["difference"] > 0 else "A is better"
    else:
        said = "not distinguishable"
    low, high = (f"{value:+.4f}" for value in one["interval"])
    return f"{kind.replace('_', ' ')}: B - A = {one['difference']:+.4f} ({low} to {high}): {said}"


def _range(pair):
    return f"{_score(pair[0])} to {_score(pair[1])}"


def _score(value):
    return "-" if math.isnan(value) else f"{value:.4f}"


if __name__ == "__main__":
    sys.exit(main())
