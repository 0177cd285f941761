"""Choose thresholds on a dump, for all tags or for each category, group or tag; score them on another dump.

Choose on validation, judge on test (--judge): scores on the images that chose are too good. A tag's own
threshold (--per tag) is shrunk toward its category's if few images have the tag, on the scale of logits:
logit(t) = w logit(t of the tag) + (1 - w) logit(t of the category), w = min(1, true images / ENOUGH).
ENOUGH is found by two-fold cross-validation over the images; --enough sets it, 0 shrinks nothing.

Thresholds that fall with a tag's frequency (--per frequency) predict rare tags where the model is less sure:
logit(t) = B + EXPONENT log(count of the tag list), two numbers for all tags (logit adjustment,
arXiv:2007.07314). The rule chooses B. EXPONENT is, by cross-validation, the one with the best macro F1 that
costs at most 0.001 of micro F1; --exponent sets it.

Groups (--per group) are tags that compete, for example hair, expression or camera, and whose probabilities
are on a scale of their own: each gets the threshold that the rule finds within it, so that weak groups are
not lost beside strong ones. The file has a list of tag names or patterns for each group, for example
hair = ["blonde_hair", "*_braid"]; thresholds.csv has a row for a group, without a tag id, and one for each
of its tags.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import dataclasses
import fnmatch
import math
import pathlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from Utils.command import programs
from Utils.command.cli import Parser, UserError, command, number, print_json
from Utils.command.text import composed, counted
from Utils.evaluation import (
    bootstrap,
    frequency_thresholds,
    paired_bootstrap,
    per_tag_thresholds,
    predictions,
    scores,
    threshold_table,
    thresholds,
)
from Utils.evaluation.alignment import MatrixView
from Utils.evaluation.predictions import Dump
from Utils.evaluation.thresholds import OperatingPoint, Rule
from Utils.files import text_files
from Utils.files.output_files import require_replaceable_file, require_replaceable_still
from Utils.tags import tag_categories

PER = ("all", "category", "tag", "group", "frequency")


def parser() -> Parser:
    """Return the argument parser."""
    arguments = Parser(prog="find_thresholds.py", description=__doc__)
    arguments.add_argument(
        "dump", type=pathlib.Path, metavar="DUMP", help="dump folder to choose on: validation"
    )
    arguments.add_argument(
        "-o", "--output", required=True, type=pathlib.Path, metavar="CSV", help="thresholds.csv"
    )
    arguments.add_argument(
        "--rule", default="p-equals-r", metavar="RULE", help=f"{thresholds.RULES} (p-equals-r)"
    )
    arguments.add_argument("--per", choices=PER, default="all", help="what each threshold is for (all)")
    arguments.add_argument("--groups-of-tags", type=pathlib.Path, metavar="TOML", help="for --per group")
    arguments.add_argument(
        "--enough", type=float, help="--per tag: positives of a tag that need no shrinking"
    )
    arguments.add_argument(
        "--exponent", type=float, help="--per frequency: how much thresholds follow it, 0 (not) to 1"
    )
    arguments.add_argument(
        "--judge", type=pathlib.Path, metavar="DUMP", help="dump of other images to judge on: test"
    )
    arguments.add_argument(
        "--resamples",
        type=number(least=bootstrap.MIN_RESAMPLES),
        default=1000,
        help="resamples of the judging images (1000)",
    )
    arguments.add_argument("--seed", type=number(least=0), default=0, help="of the resamples (0)")
    arguments.add_argument("--overwrite", action="store_true", help="replace existing thresholds")
    arguments.add_argument("--json", action="store_true", help="print the result as JSON")
    return arguments


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    rule = thresholds.parse_rule(options.rule)
    _check(options)
    require_replaceable_file(options.output, threshold_table.THRESHOLDS, options.overwrite)
    dump = predictions.load(options.dump).require_labels()
    test = None if options.judge is None else predictions.load(options.judge).require_labels()
    rows, facts = CHOOSERS[options.per](dump, rule, options)
    if not any(row["positives"] for row in rows):
        raise UserError(f"no label of {options.dump} is true, so nothing tells one threshold from another")
    facts |= {"rule": options.rule, "per": options.per, "thresholds": len(rows)}
    if test is not None:  # first: what cannot be judged is not written
        facts["judged"] = score_on(test, dump, threshold_table.table(rows), options)
    require_replaceable_still(options.output, threshold_table.THRESHOLDS, options.overwrite)
    threshold_table.write(options.output, rows)
    if options.json:
        print_json(facts)
    else:
        print(text(facts, options))
    return 0


def _check(options: argparse.Namespace) -> None:
    if (options.groups_of_tags is not None) != (options.per == "group"):
        raise UserError("--per group and --groups-of-tags TOML belong together; got one without the other")
    if options.enough is not None and (options.per != "tag" or not 0 <= options.enough < math.inf):
        raise UserError(
            f"--enough is 0 or more and for --per tag; got {options.enough} and --per {options.per}"
        )
    if options.exponent is not None and (options.per != "frequency" or not 0 <= options.exponent <= 1):
        raise UserError(
            f"--exponent is 0 to 1 and for --per frequency; got {options.exponent} and --per {options.per}"
        )


# Choosing: each function returns the rows of thresholds.csv and facts for the JSON or the terminal

Row = dict[str, Any]
Chosen = tuple[list[Row], dict[str, Any]]


def _for_all(dump: Dump, rule: Rule, options: argparse.Namespace) -> Chosen:
    (point,) = thresholds.find(dump.probabilities, dump.labels, [thresholds.Query(rule=rule)])
    return [_row("all", "all", point, options)], {"ties": point.ties}


def _row(scope: str, name: str, point: OperatingPoint, options: argparse.Namespace, **cells: Any) -> Row:
    return threshold_table.row(scope, name, point.threshold, options.rule, point.counts, **cells)


def _per_category(dump: Dump, rule: Rule, options: argparse.Namespace) -> Chosen:
    rows = [
        _row(
            "category",
            tag_categories.name_of(code, tag_categories.names_of(dump.tags)),
            point,
            options,
            category=code,
        )
        for code, point in _category_points(dump, rule).items()
    ]
    return rows, {}


def _category_points(dump: Dump, rule: Rule) -> dict[int, OperatingPoint]:
    """Return the OperatingPoint of every category by its code."""
    codes = np.unique(dump.tags["category"])
    queries = [thresholds.Query(np.flatnonzero(dump.tags["category"] == code), rule) for code in codes]
    points = thresholds.find(dump.probabilities, dump.labels, queries)
    return dict(zip(codes.tolist(), points, strict=True))


def _per_tag(dump: Dump, rule: Rule, options: argparse.Namespace) -> Chosen:
    threshold_of = {code: float(point.threshold) for code, point in _category_points(dump, rule).items()}
    of_category = np.array([threshold_of[code] for code in dump.tags["category"]])
    choice = per_tag_thresholds.choose(dump.probabilities, dump.labels, rule, of_category, options.enough)
    shrunk = choice.shrunk(of_category, dump.probabilities.dtype)
    facts = {"enough": choice.enough, "shrunk": int(np.count_nonzero(choice.positives < choice.enough))}
    if options.enough is None:
        held_out = choice.held_out_scores.tolist()
        facts["cross_validated"] = dict(zip(per_tag_thresholds.ENOUGH, held_out, strict=True))
    return _tag_rows("tag", dump, np.arange(len(dump.tags)), shrunk, options), facts


def _tag_rows(
    scope: str, dump: Dump, columns: np.ndarray, cutoffs: np.ndarray, options: argparse.Namespace
) -> list[Row]:
    """Return a row for each of these columns; cutoffs: (L,) thresholds."""
    counts = scores.count(dump.probabilities, dump.labels, cutoffs)
    tags = dump.tags.iloc[columns]
    return [
        threshold_table.row(
            scope, name, cutoffs[column], options.rule, counts.select(column), category=code, tag_id=tag_id
        )
        for column, name, code, tag_id in zip(
            columns.tolist(), tags["name"], tags["category"].tolist(), tags["tag_id"].tolist(), strict=True
        )
    ]


def _per_frequency(dump: Dump, rule: Rule, options: argparse.Namespace) -> Chosen:
    counts = dump.tags["count"].to_numpy()
    if not (counts > 0).any():
        raise UserError(f"--per frequency needs the tags' counts; {dump.folder / predictions.TAGS} has none")
    choice = frequency_thresholds.choose(dump.probabilities, dump.labels, rule, counts, options.exponent)
    facts: dict[str, Any] = {"exponent": choice.exponent, "without_count": int((counts < 1).sum())}
    if choice.held_out_scores:
        names = ("micro_F1", "macro_F1")
        facts["cross_validated"] = {
            exponent: dict(zip(names, pair, strict=True)) for exponent, pair in choice.held_out_scores.items()
        }
    return _tag_rows("tag", dump, np.arange(len(dump.tags)), choice.cutoffs, options), facts


def _per_group(dump: Dump, rule: Rule, options: argparse.Namespace) -> Chosen:
    groups = read_groups(options.groups_of_tags, dump.tags["name"].to_list())
    queries = [thresholds.Query(columns, rule) for columns in groups.values()]
    points = thresholds.find(dump.probabilities, dump.labels, queries)
    cutoffs = np.zeros(len(dump.tags), dump.probabilities.dtype)
    for columns, point in zip(groups.values(), points, strict=True):
        cutoffs[columns] = point.threshold
    rows = []
    for (name, columns), point in zip(groups.items(), points, strict=True):
        rows += [_row("group", name, point, options), *_tag_rows("group", dump, columns, cutoffs, options)]
    return rows, {"tags_in_no_group": len(dump.tags) - sum(map(len, groups.values()))}


def read_groups(path: pathlib.Path, names: list[str]) -> dict[str, np.ndarray]:
    """Read groups of tags: a dict of group name to the columns of its tags, in the file's order.

    names: of the tags. Raises UserError on a file that is no TOML of lists of names, a pattern that no tag
    has, and a tag of two groups.
    """
    table = text_files.read_toml(path, "groups of tags (.toml)")
    if not table:
        raise UserError(
            f'{path} has no group; write one a line, for example hair = ["blonde_hair", "*_braid"]'
        )
    groups, group_of = {}, {}
    for group, patterns in table.items():
        if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
            raise UserError(f"{path}: {group} must be a list of tag names or patterns; got {patterns!r}")
        columns = sorted(
            {column for pattern in patterns for column in _matching(path, group, pattern, names)}
        )
        for column in columns:
            if column in group_of:
                raise UserError(
                    f"{path}: {names[column]} is in {group_of[column]} and in {group}; one is allowed"
                )
            group_of[column] = group
        if not columns:
            raise UserError(f"{path}: the group {group} is empty")
        groups[group] = np.array(columns)
    return groups


def _matching(path: pathlib.Path, group: str, pattern: str, names: list[str]) -> list[int]:
    """Return the columns that a name or pattern means; the name first, as tags may be named *_*."""
    pattern = composed(pattern)
    exact = [column for column, name in enumerate(names) if name == pattern]
    matches = exact or [column for column, name in enumerate(names) if fnmatch.fnmatchcase(name, pattern)]
    if not matches:
        raise UserError(f"{path}: no tag of the dump is {pattern!r} ({group})")
    return matches


CHOOSERS: dict[str, Callable[[Dump, Rule, argparse.Namespace], Chosen]] = {
    "all": _for_all,
    "category": _per_category,
    "tag": _per_tag,
    "group": _per_group,
    "frequency": _per_frequency,
}


# Scores on images that did not choose


def score_on(test: Dump, chosen_on: Dump, table: pd.DataFrame, options: argparse.Namespace) -> dict[str, Any]:
    """Score the thresholds of a table on another dump, beside one threshold for all: a dict.

    Both were chosen on the same dump, and are scored on the tags that have a threshold, with paired resamples
    of the images.
    """
    (overall,) = thresholds.find(chosen_on.probabilities, chosen_on.labels, [thresholds.Query()])
    cutoffs = threshold_table.per_tag(table, test.tags)
    columns = np.flatnonzero(~np.isnan(cutoffs))
    if not len(columns):
        raise UserError(f"{test.folder} has none of the tags that thresholds were chosen for")
    if not scores.positives(test.labels)[columns].any():
        raise UserError(f"no label of {test.folder} is true of tags with a threshold, so no F1 is known")
    rows = np.arange(len(test.labels))
    probabilities, labels = (
        MatrixView(matrix, rows, columns) for matrix in (test.probabilities, test.labels)
    )
    resamples = bootstrap.resample_counts(len(rows), options.resamples, options.seed)
    compared = {
        name: paired_bootstrap.score_at(probabilities, labels, resamples, threshold)
        for name, threshold in (("one, P = R", overall.threshold), ("chosen", cutoffs[columns]))
    }
    gains = {
        metric: paired_bootstrap.difference(compared["one, P = R"], compared["chosen"], metric)
        for metric in paired_bootstrap.METRICS
    }
    return {
        "images": len(rows),
        "images_that_chose": _count_common_images(chosen_on, test),
        "tags": len(columns),
        "sides": {name: _score_cells(model) for name, model in compared.items()},
        "gains": {metric: dataclasses.asdict(gain) for metric, gain in gains.items()},
    }


def _count_common_images(first: Dump, second: Dump) -> int:
    """Count the images that both dumps have; 0 if one has no image ids."""
    if first.image_ids is None or second.image_ids is None:
        return 0
    return len(np.intersect1d(first.image_ids, second.image_ids))


def _score_cells(model: paired_bootstrap.ModelScores) -> dict[str, Any]:
    total = model.counts.total()
    intervals = {f"{metric}_interval": list(model.interval(metric)) for metric in paired_bootstrap.METRICS}
    others = {"precision": float(scores.precision(total)), "recall": float(scores.recall(total))}
    return model.values | intervals | others


def text(facts: dict[str, Any], options: argparse.Namespace) -> str:
    """Return what a terminal shows."""
    lines = [
        f"{counted(facts['thresholds'], 'threshold')} ({facts['rule']}, per {facts['per']}): {options.output}"
    ]
    if facts.get("shrunk"):
        lines.append(
            f"shrunk: {counted(facts['shrunk'], 'tag')} with fewer than {facts['enough']:g} true images"
        )
    if "exponent" in facts:
        lines.append(f"thresholds follow the tags' counts with the exponent {facts['exponent']:g}")
        lines += _cross_validated(facts)
    if facts.get("without_count"):
        lines.append(f"taken for tags of one post: {counted(facts['without_count'], 'tag')} without a count")
    if facts.get("tags_in_no_group"):
        lines.append(f"without a threshold: {counted(facts['tags_in_no_group'], 'tag')} in no group")
    if "judged" in facts:
        lines += ["", *_judgment(facts["judged"], options.judge)]
        loses = facts["judged"]["gains"]["micro_F1"]["high"] < 0
        if facts["per"] == "tag" and facts["rule"] == "max-f1" and loses:
            lines.append("so many thresholds need more images; --per frequency has two numbers for all tags")
    words = "RUN", "-o", "RELEASE", "--thresholds", options.output
    lines.append(f"{programs.next_line('export_model', *words)}   (RUN: the run that {options.dump} is of)")
    return "\n".join(lines)


def _cross_validated(facts: dict[str, Any]) -> list[str]:
    """Return the lines that say what other exponents would do."""
    return [
        f"  {exponent:<4g} cross-validated micro F1 {pair['micro_F1']:.4f}  macro F1 {pair['macro_F1']:.4f}"
        for exponent, pair in facts.get("cross_validated", {}).items()
    ]


def _judgment(judged: dict[str, Any], test: pathlib.Path) -> list[str]:
    """Return the lines that say how the thresholds do on other images."""
    sizes = f"{counted(judged['images'], 'image')} and {counted(judged['tags'], 'tag')}"
    lines = [f"judged on {sizes} of {test}; intervals of 95%"]
    if judged["images_that_chose"]:
        lines.append(f"{judged['images_that_chose']:,} of these images also chose: their scores are too good")
    for name, side in judged["sides"].items():
        cells = [f"{_title(metric)} {_with_interval(side, metric)}" for metric in paired_bootstrap.METRICS]
        cells += [f"P {side['precision']:.4f}", f"R {side['recall']:.4f}"]
        lines.append(f"{name:<12}{'  '.join(cells)}")
    for metric, gain in judged["gains"].items():
        low, high = gain["low"], gain["high"]
        verdict = "" if low > 0 or high < 0 else ": not distinguishable"
        lines.append(f"gain in {_title(metric)}: {gain['value']:+.4f} ({low:+.4f} to {high:+.4f}){verdict}")
    return lines


def _title(metric: str) -> str:
    return metric.replace("_", " ")


def _with_interval(side: dict[str, Any], metric: str) -> str:
    low, high = side[f"{metric}_interval"]
    return f"{side[metric]:.4f} ({low:.4f} to {high:.4f})"


if __name__ == "__main__":
    sys.exit(main())
