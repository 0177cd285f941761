"""Compare two dumps on the images and tags that both have, each at its own P = R threshold.

Both are scored on the same resamples of the images (paired bootstrap): what is hard in a resample is hard for
both. Where the 95% interval of the difference holds 0 they are not distinguishable, and this says so.
"""

import math
import pathlib
import sys

from Utils import alignment, bootstrap, comparison, dumps
from Utils.commands import Parser, UserError, command, print_json

FEW = 100  # resamples below which an interval of 95% says nothing


def parser():
    """Return the argument parser."""
    made = Parser(prog="compare_dumps.py", description=__doc__)
    made.add_argument("first", metavar="A", type=pathlib.Path, help="dump folder")
    made.add_argument("second", metavar="B", type=pathlib.Path, help="dump folder")
    made.add_argument("-c", "--category", help="only this category, by name or code")
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
    pair = [dumps.load(path) for path in (options.first, options.second)]
    found = compare(pair, options.category, options.resamples, options.seed)
    if options.json:
        print_json(found)
    else:
        print(text(found))
    return 0


def compare(pair, category=None, resamples=1000, seed=0):
    """Return scores of two dumps on what both have, and the intervals of their differences, as a dict."""
    aligned = alignment.align(pair)
    if aligned.truth is None:
        pair[0].require_labels()
    aligned = aligned.selected(dumps.select(aligned.tags, category))
    drawn = bootstrap.weights(len(aligned.truth), resamples, seed)
    sides = [comparison.side(view, aligned.truth, drawn) for view in aligned.probabilities]
    return {
        "images": len(aligned.truth),
        "tags": len(aligned.tags),
        "resamples": resamples,
        "labels_that_differ": sum(aligned.disagreements()),
        "dumps": [
            _dump(name, side, left)
            for name, side, left in zip(_names(pair), sides, aligned.left_out, strict=True)
        ],
        "differences": {kind: _difference(*sides, kind) for kind in comparison.KINDS},
    }


def _names(pair):
    """Return the runs' names, or the folders where the names are equal."""
    names = [dump.name for dump in pair]
    return names if names[0] != names[1] else [str(dump.folder) for dump in pair]


def _dump(name, side, left_out):
    found = {"name": name, "threshold": float(side.threshold)}
    for kind in comparison.KINDS:
        found |= {kind: side.values[kind], f"{kind}_interval": list(side.interval(kind))}
    return found | {"tags_left_out": left_out[0], "images_left_out": left_out[1]}


def _difference(first, second, kind):
    lead = comparison.difference(first, second, kind)
    interval = [lead.low, lead.high]
    return {"difference": lead.value, "interval": interval, "distinguishable": lead.distinguishable}


def text(found):
    """Return the comparison as lines of text."""
    head = f"{found['images']:,} images and {found['tags']:,} tags that both have"
    lines = [f"{head}; each dump at its own P = R threshold; {found['resamples']:,} resamples of the images"]
    if found["labels_that_differ"]:
        lines.append(f"{found['labels_that_differ']:,} labels differ between the dumps; those of A are used")
    lines.append("")
    width = max(len(dump["name"]) for dump in found["dumps"]) + 3
    lines.append(f"{'':<{width}}  threshold  micro F1                95%  macro F1                95%")
    for letter, dump in zip("AB", found["dumps"], strict=True):
        cells = [f"{letter}  {dump['name']}".ljust(width), f"{dump['threshold']:9.4f}"]
        for kind in comparison.KINDS:
            cells += [f"{_score(dump[kind]):>8}", f"{_range(dump[f'{kind}_interval']):>17}"]
        lines.append("  ".join(cells))
    lines.append("")
    return "\n".join([*lines, *(_verdict(kind, one) for kind, one in found["differences"].items())])


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
