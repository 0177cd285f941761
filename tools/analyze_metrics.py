"""Score dumps: micro F1, F2, MCC, accuracy, recall and precision at one threshold.

A tag is predicted where its probability is greater than the threshold, compared as stored. By default the
threshold is where precision equals recall: as many tags are predicted as are true. The flags of the original
project's script of this name are accepted, too.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import dataclasses
import math
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np

from Utils.command import programs
from Utils.command.cli import Parser, UserError, command, print_json
from Utils.evaluation import (
    average_precision,
    per_tag_thresholds,
    predictions,
    results_table,
    scores,
    thresholds,
)
from Utils.evaluation.chunked_matrix import as_stored
from Utils.tags import tag_categories

TABLES = ("seed",)
RANKS = (2380, 2000)  # first ranks of the rarer tags, of all and of the general ones
SCORES = ("thres", "F1", "F2", "MCC", "A", "R", "P")
# Where the original's script, run in the project's folder, found labels and tags for its probabilities.
ORIGINAL_LABELS = pathlib.Path("2021_0000_0899_5500/encoded_tags_test.npy")
ORIGINAL_TAGS = pathlib.Path("2021_0000_0899_5500/selected_tags.csv")
MACRO_SCORES = ("macro_F1", "macro_F2", "macro_P", "macro_R", "AP", "macro_AP")


def parser() -> Parser:
    """Return the argument parser."""
    arguments = Parser(prog="analyze_metrics.py", description=__doc__)
    arguments.add_argument(
        "-d", "--dump", action="append", required=True, type=pathlib.Path, metavar="DUMP",
        help="a dump folder, or a .npy of probabilities with --labels and --tags; may be given several times",
    )  # fmt: skip
    arguments.add_argument(
        "--labels", type=pathlib.Path, help=f"labels (.npy) for -d FILE.npy (default: {ORIGINAL_LABELS})"
    )
    arguments.add_argument(
        "--tags", type=pathlib.Path, help=f"selected_tags.csv for -d FILE.npy (default: {ORIGINAL_TAGS})"
    )
    how = arguments.add_mutually_exclusive_group()
    how.add_argument(
        "-a", "--auto", "--analyze", action="store_true", help="threshold where P = R (the default)"
    )
    how.add_argument("-t", "--threshold", type=threshold, help="this threshold")
    arguments.add_argument("-c", "--category", help="only this category, by name or code; -1: all")
    arguments.add_argument(
        "-s", "--start", "--start-index", "-b", "--bottom-index", type=int, default=0,
        help="first rank by count within the selection",
    )  # fmt: skip
    arguments.add_argument(
        "-e", "--end", "--end-index", type=int, default=-1, help="rank to stop before; -1: all"
    )
    arguments.add_argument("--table", choices=TABLES, help="the four tables of the original project")
    arguments.add_argument(
        "--ranks", type=int, nargs=2, metavar=("ALL", "GENERAL"),
        help="--table seed: first ranks of the rarer tags, of all and of the general ones (2380 2000)",
    )  # fmt: skip
    arguments.add_argument(
        "--macro", action="store_true",
        help="also means over the tags and average precision, over all thresholds; takes longer",
    )  # fmt: skip
    arguments.add_argument(
        "--append", type=pathlib.Path, metavar="CSV", help="add the rows to a results table"
    )
    arguments.add_argument("--json", action="store_true", help="full precision, with counts and ties")
    return arguments


def threshold(text: str) -> float:
    """Read a threshold; NaN is no number."""
    value = float(text)
    if math.isnan(value):
        raise ValueError(text)
    return value


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    if options.category == "-1":
        options.category = None
    _refuse_ignored(options)
    dumps = _by_name([_open(path, options) for path in options.dump])
    words = shlex.join(sys.argv[1:] if argv is None else [str(word) for word in argv])
    if options.table:
        return _tables(dumps, options, words)
    if options.append and options.end != -1:
        raise UserError("a results table has no column for the last rank: --append cannot go with -e")
    scored = {name: score(dump, options) for name, dump in dumps.items()}
    if options.macro:
        scored = {name: {**values, **macro(dumps[name], values, options)} for name, values in scored.items()}
    if options.threshold is not None and not 0 <= options.threshold <= 1:
        print(
            f"warning: probabilities lie from 0 to 1, the threshold is {options.threshold:g}: it predicts "
            f"{'every tag' if options.threshold < 0 else 'no tag'} for all images",
            file=sys.stderr,
        )
    if not options.auto and options.threshold is None:
        print(
            "note: without -a or -t the threshold is where P = R; the original used 0.4 (-t 0.4)",
            file=sys.stderr,
        )
    if options.append:
        rows = [
            row(name, dumps[name], values, options.category, options.start, words)
            for name, values in scored.items()
        ]
        results_table.append(options.append, rows)
    if options.json:
        print_json(scored)
        return 0
    for name, values in scored.items():
        print(f"{name}: {terminal_text(values)}")
    if line := _next_line(options.dump):
        print(line, file=sys.stderr)
    return 0


def _next_line(paths: Sequence[pathlib.Path]) -> str:
    """Return the command that follows; empty where single files were scored, which others do not take."""
    if any(path.suffix == ".npy" for path in paths):
        return ""
    if len(paths) == 1:
        return programs.next_line("make_report", paths[0], "-o", f"{paths[0]}_report")
    return f"{programs.next_line('compare_dumps', *paths[:2])}   (is the difference more than chance?)"


def _refuse_ignored(options: argparse.Namespace) -> None:
    """Raise UserError for options that would have no effect beside the others."""
    if options.ranks and not options.table:
        raise UserError("--ranks belongs to --table seed; -s FIRST -e END choose ranks without it")
    if (options.labels or options.tags) and not any(path.suffix == ".npy" for path in options.dump):
        raise UserError(
            f"--labels and --tags belong to -d FILE.npy; {options.dump[0]} has its own. With "
            f"-d {options.dump[0] / predictions.PROBABILITIES} it is judged by others"
        )


def _open(path: pathlib.Path, options: argparse.Namespace) -> predictions.Dump:
    if path.suffix != ".npy":
        return predictions.load(path).require_labels()
    labels, tags = options.labels or ORIGINAL_LABELS, options.tags or ORIGINAL_TAGS
    for flag, value, file in (("--labels", options.labels, labels), ("--tags", options.tags, tags)):
        if value is None and not file.is_file():
            raise UserError(
                f"-d {path} needs --labels labels.npy and --tags selected_tags.csv, or a dump folder in its "
                f"place; without {flag}, {file} is taken, which is not there"
            )
    return predictions.load_files(path, labels, tags)


def _by_name(dumps: list[predictions.Dump]) -> dict[str, predictions.Dump]:
    """Return dumps by their names; of equal ones the folder is added."""
    names = [dump.name for dump in dumps]
    return {
        (name if names.count(name) == 1 else f"{name} ({dump.folder})"): dump
        for name, dump in zip(names, dumps, strict=True)
    }


def score(dump: predictions.Dump, options: argparse.Namespace) -> dict[str, Any]:
    """Score one dump on the selection of the options: thres, F1 ... P, counts, and how the threshold cuts."""
    columns = predictions.select(dump.tags, options.category, options.start, options.end)
    if options.threshold is None:
        (point,) = thresholds.find(dump.probabilities, dump.labels, [thresholds.Query(columns)])
        return full(point.counts, point.threshold, point.ties, dump, columns)
    stored = as_stored(options.threshold, dump.probabilities.dtype)
    per_tag = scores.count(dump.probabilities, dump.labels, stored)
    return full(per_tag.select(columns).total(), stored, None, dump, columns)


def macro(dump: predictions.Dump, values: dict[str, Any], options: argparse.Namespace) -> dict[str, float]:
    """Return means over the tags that are true somewhere, and average precision, micro and macro."""
    columns = predictions.select(dump.tags, options.category, options.start, options.end)
    per_tag = scores.count(dump.probabilities, dump.labels, values["thres"]).select(columns)
    precisions = per_tag_thresholds.average_precisions(dump.probabilities, dump.labels)[columns]
    defined = precisions[~np.isnan(precisions)]  # of tags that are true somewhere
    return {
        "macro_F1": scores.macro_f1(per_tag),
        "macro_F2": scores.macro(per_tag, lambda counts: scores.f_beta(counts, 2)),
        "macro_P": scores.macro(per_tag, scores.precision),
        "macro_R": scores.macro(per_tag, scores.recall),
        "AP": average_precision.average_precision(dump.probabilities, dump.labels, columns),
        "macro_AP": float(np.mean(defined)) if len(defined) else math.nan,
    }


def full(
    total: scores.Counts, threshold: Any, ties: int | None, dump: predictions.Dump, columns: np.ndarray
) -> dict[str, Any]:
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


def terminal_text(values: dict[str, Any]) -> str:
    """Return what a terminal shows: scores to four digits, 0 for a score without a denominator."""
    names = [name for name in (*SCORES, *MACRO_SCORES) if name in values]
    rounded = {name: 0.0 if math.isnan(values[name]) else round(values[name], 4) + 0.0 for name in names}
    return str(rounded)


def _category_name(dump: predictions.Dump, category: str) -> str:
    names = tag_categories.names_of(dump.tags)
    return tag_categories.name_of(tag_categories.code_of(category, names), names)


def row(
    name: str, dump: predictions.Dump, values: dict[str, Any], category: str | None, start: int, words: str
) -> dict[str, Any]:
    """Return one row of a results table; words: of the command line."""
    info = dump.info
    return {
        "run_name": name,
        "definition_name": str(info.get("definition_name") or "-"),
        "params": dump.number("params"),
        "image_size": dump.number("image_size"),
        "dataset": str(info.get("dataset") or ""),
        "split": str(info.get("split") or ""),
        "category": "all" if category is None else _category_name(dump, category),
        "from_rank": start,
        **{key: values[key] for key in SCORES},
        "images_per_second": math.nan,
        "status": "measured",
        "command": f"python tools/analyze_metrics.py {words}",
    }


def _tables(dumps: dict[str, predictions.Dump], options: argparse.Namespace, words: str) -> int:
    """Score and print the four tables of the original project."""
    if (
        options.threshold is not None
        or options.category is not None
        or (options.start, options.end) != (0, -1)
        or options.macro
    ):
        raise UserError(
            "--table seed chooses tags and thresholds itself: leave -t, -c, -s, -e and --macro out"
        )
    tables = results_table.tables_with_ranks(*(options.ranks or RANKS))
    scored = {name: _seed_scores(dump, tables) for name, dump in dumps.items()}
    rows = [
        row(name, dumps[name], values, None if category == "all" else category, rank, words)
        for name, slices in scored.items()
        for (_, category, rank), values in zip(tables, slices, strict=True)
        if values is not None
    ]
    if options.append:
        results_table.append(options.append, rows)
    if options.json:
        keys = [f"{category} from {rank}" for _, category, rank in tables]
        print_json({name: dict(zip(keys, slices, strict=True)) for name, slices in scored.items()})
        return 0
    print(results_table.seed_tables(rows, max(len(dump.tags) for dump in dumps.values()), tables))
    for (_, category, rank), values in zip(tables, next(iter(scored.values())), strict=True):
        if values is None:
            print(f"\nNo table of {category} tags from #{rank} down: there are none. See --ranks.")
    return 0


def _seed_scores(
    dump: predictions.Dump, tables: Sequence[tuple[str, str, int]]
) -> list[dict[str, Any] | None]:
    """Score the four slices, each at the P = R threshold of its whole category; None for an empty one."""
    slices = {(category, rank): _slice(dump, category, rank) for _, category, rank in tables}
    filled = {key: columns for key, columns in slices.items() if columns is not None}
    keys_of = {category: [key for key in filled if key[0] == category] for category, _ in filled}
    queries = [
        thresholds.Query(_slice(dump, category, 0), parts=tuple(filled[key] for key in keys))
        for category, keys in keys_of.items()
    ]
    scored = {}
    points = thresholds.find(dump.probabilities, dump.labels, queries)
    for keys, point in zip(keys_of.values(), points, strict=True):
        for key, counts in zip(keys, point.parts, strict=True):
            ties = point.ties if key[1] == 0 else None
            scored[key] = full(counts, point.threshold, ties, dump, filled[key])
    return [scored.get((category, rank)) for _, category, rank in tables]


def _slice(dump: predictions.Dump, category: str, rank: int) -> np.ndarray | None:
    try:
        return predictions.select(dump.tags, None if category == "all" else category, rank)
    except UserError:
        return None


if __name__ == "__main__":
    sys.exit(main())
