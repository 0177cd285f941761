"""Score one model under the preprocessing of every client: what their resizing and padding cost in F1.

Clients of WD taggers prepare images differently: they treat transparency, pad to a square, shrink and enlarge
in their own ways. The images of a split are prepared in each way, as they are stored and made small (0.6 of
the model's side), wide (the middle half of their height) and transparent (white turned into alpha). One
threshold serves all: where precision equals recall as prepared here. The 95% intervals resample the images,
in the same way for all clients.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import dataclasses
import pathlib
import sys
from typing import Any

import numpy as np

from Utils.clients import OURS, hard_cases, score_effects
from Utils.clients.score_effects import ScoreEffect
from Utils.command import programs
from Utils.command.backend import deferred
from Utils.command.cli import Parser, UserError, command, number, print_json
from Utils.command.text import counted, join_names
from Utils.data import dataset_folder, picture_contents
from Utils.evaluation import bootstrap
from Utils.files import csv_tables, hub, parquet_files
from Utils.files.atomic import provenance, to_path, write_json
from Utils.files.model_files import RELEASE
from Utils.files.output_folders import FolderKind, replacing_folder, require_replaceable_folder
from Utils.images import image_limits, image_reader, picture_index
from Utils.images.census import warn_of_unreadable
from Utils.images.places import Place, open_place
from Utils.recipe.recipe import RECIPE_FILE
from Utils.report import svg_charts
from Utils.serving import onnx_tagger
from Utils.tags import tag_matching

COMPARISON = FolderKind(
    "a comparison of preprocessing", ("report.json", "report.csv"),
    tuple(f"{case}.svg" for case in hard_cases.CASES), inventory="report.json",
)  # fmt: skip

COLUMNS = tuple(field.name for field in dataclasses.fields(ScoreEffect))


def parser() -> Parser:
    """Return the command's parser."""
    command_line = Parser(prog="tools/compare_preprocessing.py", description=__doc__)
    add = command_line.add_argument
    add("model", metavar="RELEASE|RUN|FILE.keras|TIMM|HUB_ID", type=hub.argument)
    add("--dataset", required=True, type=to_path, help="dataset folder whose posts.parquet has the labels")
    add("--images", required=True, metavar="PLACE", help="the posts' images: a folder; tar, zip ... files")
    add("--split", nargs="+", default=["validation"], help="splits (validation)")
    add("--cases", nargs="+", choices=hard_cases.CASES, default=list(hard_cases.CASES), help="(all)")
    add("--most", type=number(least=2), default=1000, help="images at most (1000)")
    add(
        "--resamples",
        type=number(least=bootstrap.MIN_RESAMPLES),
        default=1000,
        help="resamples of the images (1000)",
    )
    add("-o", "--output", required=True, type=pathlib.Path, metavar="REPORT")
    image_reader.add_max_pixels(command_line)
    add("--json", action="store_true", help="print one JSON object")
    add("--overwrite", action="store_true", help="replace an existing report")
    return command_line


@command
def main(argv: list[str] | None = None) -> None:
    """Measure, write the report, print the table."""
    options = parser().parse_args(argv)
    image_limits.allow_pixels(options.max_pixels)
    require_replaceable_folder(options.output, COMPARISON, options.overwrite)
    dataset = dataset_folder.load(options.dataset)
    place = open_place(options.images, options.output)
    tagger = onnx_tagger.load(options.model, deferred("Models.load"))
    paths, labels = _labeled_images(dataset, place, options.split, options.most)
    columns, label_columns = _common_tags(tagger, dataset)
    if not labels[:, label_columns].any():
        raise UserError(
            f"none of the {len(columns)} tags that the model and {dataset.folder} have in common is true on "
            f"one of the {len(paths)} pictures: there is no F1; take more pictures (--most, --split)"
        )
    effects, threshold = score_effects.measure_effects(
        tagger,
        paths,
        labels[:, label_columns],
        options.cases,
        columns,
        options.resamples,
        read_file=place.open,
    )
    facts = {
        "images": len(paths),
        "tags": len(columns),
        "image_size": tagger.image_size,
        "threshold": threshold,
    }
    with replacing_folder(options.output, COMPARISON, options.overwrite) as folder:
        _write(folder, effects, facts)
    if options.json:
        print_json(facts | {"effects": [dataclasses.asdict(effect) for effect in effects]})
    else:
        print(text(effects, facts))
        print(f"\n{largest_loss(effects)}\nreport: {options.output / 'report.csv'}, a chart for each case")
        print(next_line(options.model))


def largest_loss(effects: list[ScoreEffect]) -> str:
    """Return a sentence on the client that costs most F1, and whether it is told from chance."""
    worst = min((effect for effect in effects if effect.client != OURS), key=lambda effect: effect.difference)
    if worst.difference >= 0:
        return "no client has less F1 than our preprocessing"
    chance = "more than chance explains" if worst.difference_high < 0 else "no more than chance may do"
    loss = f"{worst.difference:+.4f} in micro F1"
    return f"largest loss: {worst.client} on pictures {worst.case}, {loss}, {chance}"


def next_line(model: pathlib.Path | str) -> str:
    """Return the command that follows: a release of this project is verified, a model of it released."""
    path = pathlib.Path(model)
    if (path / RELEASE.markers[0]).is_file():
        return programs.next_line("verify_release", model)
    if (path / RECIPE_FILE).is_file() or path.suffix == ".keras":
        return programs.next_line("export_model", model, "-o", "RELEASE")
    return programs.next_line("tag_images", model, "PICTURES")


def _labeled_images(dataset: Any, place: Place, splits: list[str], most: int) -> tuple[list[str], np.ndarray]:
    """Return paths of the splits' images that lie in a place, and their labels (N, L) uint8."""
    columns = {name: dataset_folder.POST_COLUMNS[name] for name in ("post_id", "split", "label_indexes")}
    table = parquet_files.read(dataset.folder / dataset_folder.POSTS, "the posts of a dataset", columns)
    labels = table["label_indexes"].combine_chunks().flatten().to_numpy(zero_copy_only=False)
    dataset_folder.require_labels(dataset.folder / dataset_folder.POSTS, labels, dataset.num_labels)
    known = table["split"].unique().to_pylist()
    for split in splits:
        if split not in known:
            raise UserError(f"{dataset.folder} has no split {split!r}; it has {', '.join(known)}")
    posts = [post for post in table.to_pylist() if post["split"] in splits]
    index = picture_index.index(place)
    warn_of_unreadable(place)
    files = index.find(np.array([post["post_id"] for post in posts], np.int64))
    present = np.flatnonzero(files >= 0)
    paths = index.paths(files[present]) if len(present) else []
    good, bad = score_effects.readable(paths[:most], place.open)
    if bad:
        print(f"left out, unreadable: {counted(len(bad), 'picture')}: {join_names(bad, 3)}", file=sys.stderr)
    if len(good) < 2:
        raise UserError(
            f"two pictures of {' and '.join(splits)} or more are needed, of {len(posts)} posts; {index}"
        )
    labels = np.zeros((len(good), dataset.num_labels), np.uint8)
    post_of = dict(zip(paths, (posts[row] for row in present), strict=True))
    for row, path in enumerate(good):
        labels[row, post_of[path]["label_indexes"]] = 1
    post_ids = {path: post["post_id"] for path, post in post_of.items()}
    picture_contents.warn_of_others(dataset.folder, place, {post_ids[path]: path for path in good})
    return good, labels


def _common_tags(tagger: onnx_tagger.ServingTagger, dataset: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return the model's columns and the dataset's columns of the tags that both have."""
    dataset_column = tag_matching.matching_rows(tagger.tags, dataset.tags)
    columns = np.flatnonzero(dataset_column >= 0)
    if not len(columns):
        raise UserError(f"the model and {dataset.folder} have no tag in common")
    return columns, dataset_column[columns]


def _write(folder: pathlib.Path, effects: list[ScoreEffect], facts: dict[str, Any]) -> None:
    """Write the numbers as a table, and a chart for each case."""
    csv_tables.write_rows(folder / "report.csv", COLUMNS, [dataclasses.astuple(effect) for effect in effects])
    for case, rows in _by_case(effects).items():
        (folder / f"{case}.svg").write_text(svg_charts.standalone(_chart(case, rows)), encoding="utf-8")
    write_json(folder / "report.json", facts | provenance())


def _by_case(effects: list[ScoreEffect]) -> dict[str, list[ScoreEffect]]:
    by_case: dict[str, list[ScoreEffect]] = {}
    for effect in effects:
        by_case.setdefault(effect.case, []).append(effect)
    return by_case


class _NamelessAxis(svg_charts.Axis):
    """An axis without numbers: the clients' names stand beside their dots."""

    def ticks(self) -> list:
        """Return no ticks."""
        return []


def _chart(case: str, effects: list[ScoreEffect]) -> str:
    """Draw the difference of each client's F1 from ours, a dot with its interval."""
    effects = [effect for effect in effects if effect.client != OURS]
    ends = [value for effect in effects for value in (effect.difference_low, effect.difference_high, 0.0)]
    margin = 0.05 * (max(ends) - min(ends)) or 0.01
    x = svg_charts.Axis(
        f"F1 less that of our preprocessing, pictures {case}", min(ends) - margin, max(ends) + margin
    )
    y = _NamelessAxis("", 0, len(effects) + 1)
    heights = range(len(effects), 0, -1)
    intervals = [
        svg_charts.Series("", [(effect.difference_low, height), (effect.difference_high, height)])
        for effect, height in zip(effects, heights, strict=True)
    ]
    interval_ends = svg_charts.Series(
        "", [point for interval in intervals for point in interval.points], lines=False
    )
    dots = [(effect.difference, height) for effect, height in zip(effects, heights, strict=True)]
    names = [effect.client for effect in effects]
    differences = svg_charts.Series("", dots, lines=False, large=True, labels=names, texts=names)
    zero = svg_charts.Series("", [(0.0, 0), (0.0, len(effects) + 1)], 5, dashed=True)
    return svg_charts.chart(
        x, y, [zero, *intervals, interval_ends, differences], f"F1 of clients' preprocessing, pictures {case}"
    )


def text(effects: list[ScoreEffect], facts: dict[str, Any]) -> str:
    """Return the scores as lines of text."""
    lines = [
        f"{counted(facts['images'], 'picture')}, {counted(facts['tags'], 'tag')}, {facts['image_size']} px, "
        f"threshold {facts['threshold']:.4f}; pixels: mean difference from ours"
    ]
    for case, rows in _by_case(effects).items():
        lines += ["", f"{case:<24}  pixels  micro F1               95%  less ours                 95%"]
        for row in rows:
            interval = f"{row.low:.4f} to {row.high:.4f}"
            lead_interval = f"{row.difference_low:+.4f} to {row.difference_high:+.4f}"
            lead = f"{row.difference:+9.4f}  {lead_interval:>18}" if row.client != OURS else ""
            lines.append(
                f"{row.client:<24}  {row.pixels:6.2f}  {row.f1:8.4f}  {interval:>16}  {lead}".rstrip()
            )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
