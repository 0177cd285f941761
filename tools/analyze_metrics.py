"""Score dumps: micro F1, F2, MCC, accuracy, recall and precision at one threshold.

A tag is predicted where its probability is greater than the threshold, compared as stored. By default the
threshold is where precision equals recall: as many tags are predicted as are true.
"""

import dataclasses
import math
import pathlib
import shlex
import sys

import numpy as np

from Utils.command.cli import Parser, UserError, command, print_json
from Utils.evaluation import (
    average_precision,
    per_tag_thresholds,
    predictions,
    results_table,
    scores,
    thresholds,
)
from Utils.evaluation.chunked_matrix import stored
from Utils.tags.tag_list import category_code, category_name

TABLES = ("seed",)
NAMES = ("thres", "F1", "F2", "MCC", "A", "R", "P")
MACRO = ("macro_F1", "macro_F2", "macro_P", "macro_R", "AP", "macro_AP")


def parser():
    """Return the argument parser."""
    made = Parser(prog="analyze_metrics.py", description=__doc__)
    made.add_argument(
        "-d", "--dump", action="append", required=True, type=pathlib.Path, metavar="DUMP",
        help="a dump folder, or a .npy of probabilities with --labels and --tags; may be given several times",
    )  # fmt: skip
    made.add_argument("--labels", type=pathlib.Path, help="labels (.npy) for -d FILE.npy")
    made.add_argument("--tags", type=pathlib.Path, help="selected_tags.csv for -d FILE.npy")
    how = made.add_mutually_exclusive_group()
    how.add_argument("-a", "--auto", action="store_true", help="threshold where P = R (the default)")
    how.add_argument("-t", "--threshold", type=number, help="this threshold")
    made.add_argument("-c", "--category", help="only this category, by name or code")
    made.add_argument("-s", "--start", type=int, default=0, help="first rank by count within the selection")
    made.add_argument("-e", "--end", type=int, default=-1, help="rank to stop before; -1: all")
    made.add_argument("--table", choices=TABLES, help="the four tables of the original project")
    made.add_argument(
        "--ranks", type=int, nargs=2, default=(2380, 2000), metavar=("ALL", "GENERAL"),
        help="--table seed: first ranks of the rarer tags, of all and of the general ones (2380 2000)",
    )  # fmt: skip
    made.add_argument(
        "--macro", action="store_true",
        help="also means over the tags and average precision, over all thresholds; takes longer",
    )  # fmt: skip
    made.add_argument("--append", type=pathlib.Path, metavar="CSV", help="add the rows to a results table")
    made.add_argument("--json", action="store_true", help="full precision, with counts and ties")
    return made


def number(text):
    """Read a threshold; NaN is no number."""
    value = float(text)
    if math.isnan(value):
        raise ValueError(text)
    return value


@command
def main(argv=None):
    """Run the command."""
    options = parser().parse_args(argv)
    opened = _named([_open(path, options) for path in options.dump])
    words = shlex.join(sys.argv[1:] if argv is None else [str(word) for word in argv])
    if options.table:
        return _tables(opened, options, words)
    if options.append and options.end != -1:
        raise UserError("a results table has no column for the last rank: --append cannot go with -e")
    found = {name: score(dump, options) for name, dump in opened.items()}
    if options.macro:
        found = {name: {**values, **macro(opened[name], values, options)} for name, values in found.items()}
    if options.append:
        rows = [
            row(name, opened[name], found[name], options.category, options.start, words) for name in found
        ]
        results_table.append(options.append, rows)
    if options.json:
        print_json(found)
        return 0
    for name, values in found.items():
        print(f"{name}: {shown(values)}")
    return 0


def _open(path, options):
    if path.suffix != ".npy":
        return predictions.load(path).require_labels()
    if options.labels is None or options.tags is None:
        raise UserError(
            f"-d {path} needs --labels labels.npy and --tags selected_tags.csv; or give a dump folder"
        )
    return predictions.of_files(path, options.labels, options.tags)


def _named(opened):
    names = [dump.name for dump in opened]
    return {
        (name if names.count(name) == 1 else f"{name} ({dump.folder})"): dump
        for name, dump in zip(names, opened, strict=True)
    }


def score(dump, options):
    """Score one dump on the selection of the options: thres, F1 ... P, counts, and how the threshold cuts."""
    columns = predictions.select(dump.tags, options.category, options.start, options.end)
    if options.threshold is None:
        (found,) = thresholds.find(dump.probabilities, dump.labels, [thresholds.Ask(columns)])
        return full(found.counts, found.cut.threshold, found.cut.ties, dump, columns)
    threshold = stored(options.threshold, dump.probabilities.dtype)
    per_tag = scores.count(dump.probabilities, dump.labels, threshold)
    return full(per_tag.select(columns).total(), threshold, None, dump, columns)


def macro(dump, values, options):
    """Return means over the tags that are true somewhere, and average precision, micro and macro."""
    columns = predictions.select(dump.tags, options.category, options.start, options.end)
    per_tag = scores.count(dump.probabilities, dump.labels, values["thres"]).select(columns)
    precisions = per_tag_thresholds.average_precisions(dump.probabilities, dump.labels)[columns]
    present = precisions[~np.isnan(precisions)]
    return {
        "macro_F1": scores.macro_f1(per_tag),
        "macro_F2": scores.macro(per_tag, lambda counts: scores.f_beta(counts, 2)),
        "macro_P": scores.macro(per_tag, scores.precision),
        "macro_R": scores.macro(per_tag, scores.recall),
        "AP": average_precision.average_precision(dump.probabilities, dump.labels, columns),
        "macro_AP": float(np.mean(present)) if len(present) else math.nan,
    }


def full(total, threshold, ties, dump, columns):
    """Return scores and counts of one selection as --json prints them."""
    counts = {name.upper(): value for name, value in dataclasses.asdict(total).items()}
    return {
        **scores.summary(total, threshold),
        **counts,
        "positives": total.positives,
        "predicted": total.predicted,
        "ties": ties,
        "images": len(dump.probabilities),
        "tags": len(columns),
    }


def shown(values):
    """Return what a terminal shows: seven scores to four digits, 0 where a score has no denominator."""
    names = [name for name in (*NAMES, *MACRO) if name in values]
    rounded = {name: 0.0 if math.isnan(values[name]) else round(values[name], 4) + 0.0 for name in names}
    return str(rounded)


def row(name, dump, values, category, start, words):
    """Return one row of a results table."""
    info = dump.info
    kind = "all" if category is None else category_name(category_code(category))
    return {
        "run_name": name,
        "definition_name": str(info.get("definition_name") or "-"),
        "params": _known(info.get("params")),
        "image_size": _known(info.get("image_size")),
        "dataset": str(info.get("dataset") or ""),
        "split": str(info.get("split") or ""),
        "category": kind,
        "from_rank": start,
        **{key: values[key] for key in NAMES},
        "images_per_second": math.nan,
        "status": "measured",
        "command": f"python tools/analyze_metrics.py {words}",
    }


def _known(value):
    return float(value) if isinstance(value, (int, float)) else math.nan


def _tables(opened, options, words):
    if (
        options.threshold is not None
        or options.category is not None
        or (options.start, options.end) != (0, -1)
        or options.macro
    ):
        raise UserError(
            "--table seed chooses tags and thresholds itself: leave -t, -c, -s, -e and --macro out"
        )
    tables = results_table.tables_with_ranks(*options.ranks)
    found = {name: _seed_scores(dump, tables) for name, dump in opened.items()}
    rows = [
        row(name, opened[name], values, None if category == "all" else category, rank, words)
        for name, tagged in found.items()
        for (_, category, rank), values in zip(tables, tagged, strict=True)
        if values is not None
    ]
    if options.append:
        results_table.append(options.append, rows)
    if options.json:
        keys = [f"{category} from {rank}" for _, category, rank in tables]
        print_json({name: dict(zip(keys, tagged, strict=True)) for name, tagged in found.items()})
        return 0
    print(results_table.seed_tables(rows, max(len(dump.tags) for dump in opened.values()), tables))
    for (_, category, rank), values in zip(tables, next(iter(found.values())), strict=True):
        if values is None:
            print(f"\nNo table of {category} tags from #{rank} down: there are none. See --ranks.")
    return 0


def _seed_scores(dump, tables):
    """Score the four slices, each at the P = R threshold of the whole slice it belongs to; None if empty."""
    slices = {(kind, rank): _slice(dump, kind, rank) for _, kind, rank in tables}
    filled = {key: columns for key, columns in slices.items() if columns is not None}
    parts = {kind: [key for key in filled if key[0] == kind] for kind, _ in filled}
    asks = [
        thresholds.Ask(_slice(dump, kind, 0), parts=tuple(filled[key] for key in keys))
        for kind, keys in parts.items()
    ]
    scored = {}
    for keys, found in zip(
        parts.values(), thresholds.find(dump.probabilities, dump.labels, asks), strict=True
    ):
        for key, counts in zip(keys, found.parts, strict=True):
            ties = found.cut.ties if key[1] == 0 else None
            scored[key] = full(counts, found.cut.threshold, ties, dump, filled[key])
    return [scored.get((kind, rank)) for _, kind, rank in tables]


def _slice(dump, kind, rank):
    try:
        return predictions.select(dump.tags, None if kind == "all" else kind, rank)
    except UserError:
        return None


if __name__ == "__main__":
    sys.exit(main())
