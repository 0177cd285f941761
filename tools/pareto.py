"""Draw images/s against F1 of the models in results tables, the frontier marked; print the same as a table.

A model is on the frontier if no other is both as fast and as good. A scored row takes its images/s from
itself, else from a row of the same run, else from one of the same definition and image size, which
tools/bench.py infer --append writes.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import dataclasses
import math
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from Utils.command import programs
from Utils.command.cli import Parser, UserError, command, print_json
from Utils.command.text import markdown_table
from Utils.evaluation import results_table
from Utils.files.output_files import replacing_file, require_replaceable_file
from Utils.report import svg_charts
from Utils.tags import tag_categories

MAX_LABELED = 12  # up to so many points all have labels; of more, only those on the frontier


@dataclasses.dataclass(frozen=True)
class Point:
    """One scored model with its speed."""

    run_name: str
    definition_name: str
    image_size: float
    params: float
    images_per_second: float
    F1: float
    frontier: bool = False

    @property
    def label(self) -> str:
        """A short name: definition and image size, or the run's name if it has no definition."""
        if self.definition_name in ("", "-"):
            return self.run_name
        return self.definition_name + ("" if math.isnan(self.image_size) else f" {self.image_size:.0f}")


def parser() -> Parser:
    """Return the argument parser."""
    arguments = Parser(prog="pareto.py", description=__doc__)
    arguments.add_argument(
        "tables", nargs="+", type=pathlib.Path, metavar="results.csv", help="results tables"
    )
    arguments.add_argument("-o", "--output", required=True, type=pathlib.Path, metavar="pareto.svg")
    arguments.add_argument("-c", "--category", default="all", help="rows of this category (all)")
    arguments.add_argument(
        "--from-rank", type=int, default=0, help="rows of the tags from this rank down (0)"
    )
    arguments.add_argument("--dataset", help="rows of this dataset, if the tables have several")
    arguments.add_argument("--split", help="rows of this split, if the tables have several")
    arguments.add_argument("--overwrite", action="store_true", help="replace an existing file")
    arguments.add_argument("--json", action="store_true", help="print the points as one JSON object")
    return arguments


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    if options.output.suffix != ".svg":
        raise UserError(f"-o must end in .svg; got {options.output}")
    require_replaceable_file(options.output, svg_charts.CHART, options.overwrite)
    tables = [results_table.read(path, _warn) for path in options.tables]
    rows = pd.concat(tables, ignore_index=True)
    models = mark_frontier(points(rows, options))
    with replacing_file(options.output, svg_charts.CHART, options.overwrite) as beside:
        beside.write_text(svg_charts.standalone(chart(models)), encoding="utf-8")
    if options.json:
        print_json({"points": [dataclasses.asdict(point) for point in models]})
    else:
        print(table(models))
        on_frontier = [point for point in models if point.frontier]
        best, fastest = max(models, key=lambda point: point.F1), models[0]
        print(
            f"{options.output}: {len(on_frontier)} of {len(models)} models are on the frontier, from "
            f"{fastest.run_name} ({fastest.images_per_second:.4g} images/s, F1 {fastest.F1:.4f}) to "
            f"{best.run_name} ({best.images_per_second:.4g} images/s, F1 {best.F1:.4f})",
            file=sys.stderr,  # the table alone can be put into a page
        )
        line = programs.next_line("export_model", "RUN", "-o", "RELEASE")
        print(f"{line}   (RUN: the model of your choice)", file=sys.stderr)
    return 0


def _warn(sentence: str) -> None:
    print(f"warning: {sentence}", file=sys.stderr)  # the chart shows F1 alone


def points(rows: pd.DataFrame, options: argparse.Namespace) -> list[Point]:
    """Return the `Point` of every row that is asked for and has both scores and speed."""
    category = options.category
    if category not in ("all", *rows["category"]):
        category = tag_categories.name_of(tag_categories.code_of(category))
    scored = rows.loc[
        (rows["category"] == category) & (rows["from_rank"] == options.from_rank) & rows["F1"].notna()
    ]
    for column in ("dataset", "split"):
        if getattr(options, column) is not None:
            scored = scored.loc[scored[column] == getattr(options, column)]
    speeds = _Speeds(rows)
    speed = [speeds.find(row) for row in scored.to_dict("records")]
    complete = scored.assign(images_per_second=speed).dropna(subset="images_per_second")
    if len(complete) < len(scored):
        names = ", ".join(dict.fromkeys(scored["run_name"].drop(complete.index)))
        count = len(scored) - len(complete)
        print(f"{count} scored rows have no images/s and are left out: {names}", file=sys.stderr)
    if not len(complete):
        raise UserError(
            f"of {len(rows)} rows, {len(scored)} are of category {category} from rank {options.from_rank} "
            "with an F1, and none of these has images per second, which tools/bench.py infer MODEL --append "
            "CSV adds"
        )
    _require_same_images(complete)
    names = [field.name for field in dataclasses.fields(Point)][:-1]
    return [Point(**{name: row[name] for name in names}) for row in complete.to_dict("records")]


class _Speeds:
    """Looks up images/s of a row: its own, its run's, its definition's at its image size; the highest.

    0 is no speed: the axis is logarithmic.
    """

    def __init__(self, rows: pd.DataFrame):
        measured = rows.loc[rows["images_per_second"] > 0]
        self.by_run = measured.groupby("run_name")["images_per_second"].max()
        named = measured.loc[~measured["definition_name"].isin(["", "-"])]
        self.by_shape = named.groupby(["definition_name", "image_size"])["images_per_second"].max()

    def find(self, row: Mapping[Any, Any]) -> float:
        if row["images_per_second"] > 0:
            return row["images_per_second"]
        by_shape = self.by_shape.get((row["definition_name"], row["image_size"]), math.nan)
        return self.by_run.get(row["run_name"], by_shape)


def _require_same_images(rows: pd.DataFrame) -> None:
    """Raise UserError if rows are of several datasets or splits, whose scores cannot be compared."""
    scales = sorted(set(zip(rows["dataset"], rows["split"], strict=True)))
    if len(scales) > 1:
        listed = ", ".join(f"{dataset or '(none)'} {split or '(none)'}" for dataset, split in scales)
        raise UserError(
            f"the rows are scored on different images: {listed}; choose with --dataset and --split"
        )


def mark_frontier(models: Sequence[Point]) -> list[Point]:
    """Return the points by falling speed, with those on the frontier marked."""

    def is_beaten(point: Point) -> bool:
        return any(
            other.images_per_second >= point.images_per_second
            and other.F1 >= point.F1
            and (other.images_per_second, other.F1) != (point.images_per_second, point.F1)
            for other in models
        )

    order = sorted(models, key=lambda point: (-point.images_per_second, -point.F1, point.run_name))
    return [dataclasses.replace(point, frontier=not is_beaten(point)) for point in order]


def chart(models: Sequence[Point]) -> str:
    """Return the chart as an SVG element."""
    frontier = [point for point in models if point.frontier]
    others = [point for point in models if not point.frontier]
    speeds = [point.images_per_second for point in models]
    low, high = _round_limits(min(speeds), max(speeds))
    series = [
        svg_charts.Series("frontier", [_position(point) for point in frontier], 0, dashed=True),
        _dots("", others, 5, len(models) <= MAX_LABELED),
        _dots("", frontier, 0, True),
    ]
    speed_axis = svg_charts.Axis("images/s", low, high, log=True)
    return svg_charts.chart(
        speed_axis, _f1_axis(models), series, "F1 against images per second, one dot a model"
    )


def _dots(name: str, models: Sequence[Point], color: int, labeled: bool) -> svg_charts.Series:
    texts = [
        f"{point.run_name}: {point.images_per_second:.4g} images/s, F1 {point.F1:.4f}" for point in models
    ]
    labels = [point.label for point in models] if labeled else None
    positions = [_position(point) for point in models]
    return svg_charts.Series(name, positions, color, lines=False, large=True, texts=texts, labels=labels)


def _position(point: Point) -> tuple[float, float]:
    return point.images_per_second, point.F1


def _round_limits(low: float, high: float) -> tuple[float, float]:
    """Return the nearest of 1, 2, 5, 10 ... below and above."""
    numbers = svg_charts.round_numbers(low / 10, high * 10)
    return max(x for x in numbers if x <= low * 0.95), min(x for x in numbers if x >= high * 1.05)


def _f1_axis(models: Sequence[Point]) -> svg_charts.Axis:
    scores = [point.F1 for point in models]
    margin = max(0.02, 0.15 * (max(scores) - min(scores)))
    low, high = min(scores) - margin, max(scores) + margin
    # Both ends are multiples of 0.02, outside of the margins.
    return svg_charts.Axis("F1", max(0.0, math.floor(low * 50) / 50), min(1.0, math.ceil(high * 50) / 50))


def table(models: Sequence[Point]) -> str:
    """Return the points as a Markdown table."""
    header = ("run_name", "definition_name", "params_human", "image_size", "images/s", "F1", "frontier")
    rows = [
        (
            point.run_name,
            point.definition_name or "-",
            results_table.params_human(point.params),
            "-" if math.isnan(point.image_size) else f"{point.image_size:.0f}",
            f"{point.images_per_second:.4g}",
            f"{point.F1:.4f}",
            "yes" if point.frontier else "",
        )
        for point in models
    ]
    return markdown_table(header, rows, left=3)


if __name__ == "__main__":
    sys.exit(main())
