"""The pointing game of a tagger on a drawn booru: the share of maps whose peak lies in a box of their tag.

    python tools/studies/pointing.py demo/run demo/booru --dataset demo/dataset

For every true tag that has a box (truth_boxes.csv) and that the model knows, in the pictures of a split: maps
by each method that the model allows, beside the middle of the picture and chance, which is the area of the
boxes. A second row is of boxes that cover a quarter of the picture or less. Intervals are over pictures.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import pathlib
import sys
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from Utils.command.backend import prepare_backend
from Utils.command.cli import Parser, UserError, command, number, progress
from Utils.data import dataset_folder
from Utils.evaluation import pointing
from Utils.files import csv_tables
from Utils.files.output_files import FileKind, has_header, require_replaceable_file
from Utils.images import codec, image_reader
from Utils.images.image_folder import bucket_path
from Utils.serving import onnx_tagger, tag_maps

TABLE = ("model", "method", "boxes", "pictures", "maps", "share", "low", "high", "ms_per_picture")
KIND = FileKind("a table of pointing games", has_header(TABLE))


class Task(NamedTuple):
    """A picture, and the boxes (K, 4) of each of its true tags that the model knows, by column."""

    post_id: int
    boxes: dict[int, np.ndarray]


class Result(NamedTuple):
    """The peak of a map: in a box or not (or the chance of it), whose boxes cover so much of the picture."""

    post_id: int
    hit: float
    covered: float


def parser() -> Parser:
    """Return the argument parser."""
    parser = Parser(prog="tools/studies/pointing.py", description=__doc__)
    add = parser.add_argument
    add("model", metavar="RUN|FILE.keras|RELEASE", help="the tagger")
    add("booru", metavar="BOORU", type=pathlib.Path, help="folder of make_demo_booru.py")
    add("--dataset", required=True, type=pathlib.Path, help="the dataset that was packed from it")
    add("--split", default="validation", help="whose pictures (validation)")
    add("--which", choices=("best", "last"), default="best", help="model of a run (best)")
    add("--pictures", type=number(above=0), default=150, help="at most so many pictures (150)")
    add("--methods", nargs="+", choices=tag_maps.METHODS[1:], help="of maps (all that the model allows)")
    add("-o", "--output", type=pathlib.Path, metavar="CSV", help="table to write")
    add("--overwrite", action="store_true", help="replace an existing table")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parser().parse_args(argv)
    if options.output is not None:
        require_replaceable_file(options.output, KIND, options.overwrite)
    boxes = read_boxes(options.booru / "truth_boxes.csv")
    ids = dataset_folder.load(options.dataset).post_ids(options.split).tolist()
    prepare_backend()
    import Models  # here: it starts the backend
    from Models import localization

    tagger = onnx_tagger.load(options.model, lambda path: Models.load(path, which=options.which))
    tasks = make_tasks(ids, boxes, tagger.tags["name"].tolist())[: options.pictures]
    if not tasks:
        raise UserError(f"no picture of the split {options.split} has a box of a tag that the model knows")
    inner = [] if tagger.keras_model is None else localization.methods(tagger.keras_model)
    rows = []
    for method in options.methods or [*inner, "occlusion"]:
        mapper, _ = tag_maps.open_mapper(tagger, method, localization.mapper)
        started = time.process_time()
        results = play(tasks, tagger, mapper, options.booru, method)
        milliseconds = 1000 * (time.process_time() - started) / len(tasks)
        rows += table(tagger.name, method, results, f"{milliseconds:.1f}")
    rows += table(tagger.name, "middle", middles(tasks), "")
    rows += table(tagger.name, "chance", middles(tasks, by_chance=True), "")
    if options.output is not None:
        csv_tables.write_rows(options.output, TABLE, rows)
    for row in rows:
        print(f"{row[1]:<12}{row[2]:<8}{row[4]:>6} maps  {row[5]} ({row[6]} to {row[7]})  {row[8]}")
    return 0


def read_boxes(path: pathlib.Path) -> dict[int, dict[str, list[list[int]]]]:
    """Return ``{post id: {tag: boxes}}`` of a drawn booru."""
    boxes: dict[int, dict[str, list[list[int]]]] = {}
    columns = ("image_id", "tag", "x0", "y0", "x1", "y1")
    for row in csv_tables.read_texts(path, "the boxes of a drawn booru", columns):
        place = [int(row[name]) for name in columns[2:]]
        boxes.setdefault(int(row["image_id"]), {}).setdefault(row["tag"], []).append(place)
    return boxes


def make_tasks(
    ids: Sequence[int], boxes: dict[int, dict[str, list[list[int]]]], names: Sequence[str]
) -> list[Task]:
    """Return the pictures that have a box of a tag that the model knows."""
    column_of = {name: column for column, name in enumerate(names)}
    tasks = []
    for post_id in ids:
        known = {
            column_of[name]: np.array(places)
            for name, places in boxes.get(post_id, {}).items()
            if name in column_of
        }
        if known:
            tasks.append(Task(post_id, known))
    return tasks


def play(
    tasks: Sequence[Task],
    tagger: onnx_tagger.ServingTagger,
    mapper: tag_maps.Mapper,
    booru: pathlib.Path,
    method: str,
) -> list[Result]:
    """Return the results of the maps of all tasks; pictures that are broken or missing are left out."""
    results = []
    for task in progress(tasks, label=method, unit="pictures"):
        try:
            data = image_reader.read_bytes(booru / "512px" / bucket_path(task.post_id))
            prepared, picture = tagger.prepare(data, None), codec.decode(data)
        except (codec.ImageError, OSError):
            continue
        view = tag_maps.View.of(tagger, picture)
        maps = mapper(prepared, list(task.boxes))
        for places, values in zip(task.boxes.values(), maps, strict=True):
            hit = pointing.is_hit(places, *view.peak(values))
            results.append(Result(task.post_id, hit, pointing.covered(places, view.width, view.height)))
    return results


def middles(tasks: Sequence[Task], by_chance: bool = False, side: int = 512) -> list[Result]:
    """Return the results of pointing at the middle of every picture, or anywhere."""
    results = []
    for task in tasks:
        for places in task.boxes.values():
            covered = pointing.covered(places, side, side)
            hit = covered if by_chance else pointing.is_hit(places, side / 2, side / 2)
            results.append(Result(task.post_id, hit, covered))
    return results


def table(model: str, method: str, results: Sequence[Result], cost: str) -> list[tuple]:
    """Return a row for all boxes and one for small ones."""
    rows = []
    for name, most in (("all", 1.0), ("small", pointing.SMALL)):
        chosen = [result for result in results if result.covered <= most]
        one = pointing.share([result.hit for result in chosen], [result.post_id for result in chosen])
        numbers = (f"{value:.4f}" for value in (one.value, one.low, one.high))
        pictures = len({result.post_id for result in chosen})
        rows.append((model, method, name, pictures, one.maps, *numbers, cost))
    return rows


if __name__ == "__main__":
    sys.exit(main())
