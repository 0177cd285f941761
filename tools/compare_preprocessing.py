"""Score one model under the preprocessing of every client: what their resizing and padding cost in F1.

Clients of WD's taggers prepare pictures differently: how they treat transparency, pad to a square, shrink and
enlarge. The pictures of a split are prepared in each way, as they are stored and made small (0.6 of the
model's side), wide (the middle half of their height) and transparent (white turned into alpha). One threshold
serves all: where precision equals recall as prepared here. Intervals (95%) are of the images drawn anew, the
same for all.
"""

import dataclasses
import pathlib
import sys

import numpy as np
import pyarrow.parquet

from Utils.clients import hard_cases, score_effects
from Utils.command.backend import deferred
from Utils.command.cli import Parser, UserError, command, print_json
from Utils.data import dataset_folder
from Utils.files import csv_tables
from Utils.files.atomic import provenance, replacing_folder, require_absent, require_file, to_path, write_json
from Utils.images import image_folder
from Utils.report import svg_charts
from Utils.serving import onnx_tagger
from Utils.tags import tag_list

COLUMNS = ("case", "client", "images", "pixels", "f1", "low", "high", "difference", "difference_low",
           "difference_high")  # fmt: skip


def parser():
    """Return the command line's parser."""
    words = Parser(prog="tools/compare_preprocessing.py", description=__doc__)
    words.add_argument("model", metavar="RELEASE|RUN|FILE.keras", type=pathlib.Path)
    words.add_argument("--dataset", required=True, type=to_path, help="whose posts.parquet has the labels")
    words.add_argument("--images", required=True, type=pathlib.Path, help="folder with the posts' pictures")
    words.add_argument("--split", nargs="+", default=["validation"], help="splits (validation)")
    words.add_argument(
        "--cases", nargs="+", choices=hard_cases.CASES, default=list(hard_cases.CASES), help="(all)"
    )
    words.add_argument("--most", type=int, default=1000, help="pictures at most (1000)")
    words.add_argument("--resamples", type=int, default=1000, help="resamples of the images (1000)")
    words.add_argument("-o", "--output", required=True, type=pathlib.Path, metavar="REPORT")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    words.add_argument("--overwrite", action="store_true", help="replace an existing report")
    return words


@command
def main(argv=None):
    """Measure, write the report, print the table."""
    options = parser().parse_args(argv)
    for flag, least in (("most", 2), ("resamples", 100)):
        if getattr(options, flag) < least:
            raise UserError(f"--{flag} must be {least} or more; got {getattr(options, flag)}")
    require_absent(options.output, options.overwrite)
    dataset = dataset_folder.load(options.dataset)
    paths, labels = _labeled(dataset, options)
    tagger = onnx_tagger.load(options.model, deferred("Models.load"))
    columns, known = _common(tagger.tags, dataset)
    found, threshold = score_effects.measure(
        tagger, paths, labels[:, known], options.cases, columns, options.resamples
    )
    about = {
        "images": len(paths),
        "tags": len(columns),
        "image_size": tagger.image_size,
        "threshold": threshold,
    }
    with replacing_folder(options.output, options.overwrite) as folder:
        _write(folder, found, about)
    if options.json:
        print_json(about | {"effects": [dataclasses.asdict(one) for one in found]})
    else:
        print(text(found, about))


def _labeled(dataset, options):
    """Return paths of the pictures of the splits that are there, and their labels (N, L) uint8."""
    file = require_file(dataset.folder / "posts.parquet", "the posts of a dataset")
    with file.open("rb") as opened:
        table = pyarrow.parquet.read_table(opened, columns=["post_id", "split", "label_indexes"])
    rows = [row for row in table.to_pylist() if row["split"] in options.split]
    index = image_folder.index(options.images)
    places = index.find(np.array([row["post_id"] for row in rows], np.int64))
    there = np.flatnonzero(places >= 0)
    paths = [options.images / name for name in index.paths(places[there])] if len(there) else []
    good, bad = score_effects.readable(paths[: options.most])
    if bad:
        print(f"{bad} pictures cannot be read and are left out", file=sys.stderr)
    if len(good) < 2:
        raise UserError(
            f"two pictures of {' and '.join(options.split)} or more are needed, of {len(rows)} posts; {index}"
        )
    kept = set(good)
    labels = np.zeros((len(good), dataset.num_labels), np.uint8)
    chosen = [rows[at] for at, path in zip(there, paths, strict=True) if path in kept]
    for row, post in enumerate(chosen):
        labels[row, post["label_indexes"]] = 1
    return good, labels


def _common(tags, dataset):
    """Return the model's columns and the dataset's of the tags that both have."""
    found = tag_list.matches(tags, dataset.tags)
    columns = np.flatnonzero(found >= 0)
    if not len(columns):
        raise UserError(f"the model and {dataset.folder} have no tag in common")
    return columns, found[columns]


def _write(folder, found, about):
    """Write the numbers as a table and a chart of each case."""
    rows = ([getattr(one, column) for column in COLUMNS] for one in found)
    csv_tables.write_rows(folder / "report.csv", COLUMNS, rows)
    for case, rows in _by_case(found).items():
        (folder / f"{case}.svg").write_text(svg_charts.standalone(_chart(case, rows)), encoding="utf-8")
    write_json(folder / "report.json", about | provenance())


def _by_case(found):
    cases_in_order = dict.fromkeys(one.case for one in found)
    return {case: [one for one in found if one.case == case] for case in cases_in_order}


class _Rows(svg_charts.Axis):
    """An axis of names, which stand beside the dots."""

    def ticks(self):
        """Return none."""
        return []


def _chart(case, rows):
    """Draw by how much each client's F1 differs from ours, with its interval."""
    rows = [one for one in rows if one.client != score_effects.OURS]
    ends = [value for one in rows for value in (one.difference_low, one.difference_high, 0.0)]
    room = 0.05 * (max(ends) - min(ends)) or 0.01
    x = svg_charts.Axis(
        f"F1 less that of our preprocessing, pictures {case}", min(ends) - room, max(ends) + room
    )
    y = _Rows("", 0, len(rows) + 1)
    heights = range(len(rows), 0, -1)
    bars = [
        svg_charts.Series("", [(one.difference_low, at), (one.difference_high, at)])
        for one, at in zip(rows, heights, strict=True)
    ]
    tips = svg_charts.Series("", [point for bar in bars for point in bar.points], lines=False)
    dots = [(one.difference, at) for one, at in zip(rows, heights, strict=True)]
    names = [one.client for one in rows]
    marks = svg_charts.Series("", dots, lines=False, large=True, labels=names, texts=names)
    zero = svg_charts.Series("", [(0.0, 0), (0.0, len(rows) + 1)], 5, dashed=True)
    return svg_charts.chart(
        x, y, [zero, *bars, tips, marks], f"F1 of clients' preprocessing, pictures {case}"
    )


def text(found, about):
    """Return the scores as lines of text."""
    lines = [
        f"{about['images']} pictures, {about['tags']} tags, {about['image_size']} px, threshold "
        f"{about['threshold']:.4f}; pixels: mean difference from ours"
    ]
    for case, rows in _by_case(found).items():
        lines += ["", f"{case:<24}  pixels  micro F1               95%  less ours                 95%"]
        for one in rows:
            spread = f"{one.low:.4f} to {one.high:.4f}"
            lead = f"{one.difference_low:+.4f} to {one.difference_high:+.4f}"
            said = f"{one.difference:+9.4f}  {lead:>18}" if one.client != score_effects.OURS else ""
            lines.append(f"{one.client:<24}  {one.pixels:6.2f}  {one.f1:8.4f}  {spread:>16}  {said}".rstrip())
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
