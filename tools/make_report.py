"""Make a report of a dump: report.html, one file that opens anywhere, and report.csv, one row a tag.

Prints the headline table: per category the F1 where precision equals recall, of a predictor that knows only
tag frequencies and of the model, with 95% intervals over images. headline.csv, confused.csv and padding.csv
hold the other tables of the page. --images or --dataset put sample images beside the worst and the most
confused tags. --groups says by how much near-duplicates of training images inflate the score (leaks.csv).
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import dataclasses
import math
import pathlib
import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from Utils.command import programs, text
from Utils.command.cli import Parser, UserError, command, print_json
from Utils.data import dataset_folder, picture_contents, post_images
from Utils.evaluation import duplicate_groups, ground_truth, leakage, predictions, same_pictures
from Utils.files import csv_tables
from Utils.files.output_folders import FolderKind, replacing_folder, require_replaceable_folder
from Utils.images import places
from Utils.report import map_cards, report_page, run_history
from Utils.report import report as reporting
from Utils.tags import tag_matching

REPORT = FolderKind(
    "a report", ("report.html", "report.csv"), ("headline.csv", "confused.csv", "padding.csv", "leaks.csv")
)


def parser() -> Parser:
    """Return the argument parser."""
    parser = Parser(prog="make_report.py", description=__doc__)
    parser.add_argument("dump", type=pathlib.Path, metavar="DUMP", help="dump folder, from predict.py")
    parser.add_argument(
        "-o", "--output", required=True, type=pathlib.Path, metavar="REPORT", help="folder to write"
    )
    pictures = parser.add_mutually_exclusive_group()
    pictures.add_argument("--images", metavar="PLACE", help="sample images from a folder; tar, zip ... files")
    pictures.add_argument(
        "--dataset", type=pathlib.Path, help="sample images from the records of this dataset"
    )
    parser.add_argument(
        "--black", type=pathlib.Path, metavar="DUMP",
        help="the same model and images, predicted with --padding black",
    )  # fmt: skip
    parser.add_argument(
        "--groups", type=pathlib.Path, metavar="CSV",
        help="groups of near-duplicates, from find_duplicates.py: the score without those of --dataset's "
        "training images",
    )  # fmt: skip
    parser.add_argument(
        "--maps", type=pathlib.Path, metavar="FOLDER", help="where tags are seen, from tag_images.py --maps"
    )
    parser.add_argument("--run", metavar="RUN", help="the run folder of the model: curves of its history")
    parser.add_argument(
        "--truth", type=pathlib.Path, metavar="CSV",
        help="all true tags (image_id,tags): what a perfect tagger would reach against these labels",
    )  # fmt: skip
    parser.add_argument("--overwrite", action="store_true", help="replace an existing report")
    parser.add_argument("--json", action="store_true", help="print the headline table as JSON")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    require_replaceable_folder(options.output, REPORT, options.overwrite)
    dump = predictions.load(options.dump).require_labels()
    black = options.black and predictions.load(options.black)
    truth = options.truth and ground_truth.read(options.truth)
    ids = [] if dump.image_ids is None else dump.image_ids.tolist()
    if truth is not None and not any(post in truth for post in ids):
        raise UserError(f"{options.truth} names none of the {len(ids)} image ids of {options.dump}")
    if truth is not None:
        names = dump.tags["name"].to_list()
        ground_truth.require_same_pictures(truth, dump.labels, np.asarray(ids), names, options.dump)
    if options.dataset is not None:
        _require_posts(dataset_folder.load(options.dataset), dump)
    history = None if options.run is None else run_history.read(options.run)
    maps = "" if options.maps is None else map_cards.section(options.maps)
    report = reporting.compute(
        dump, _find_pictures(options, dump), black, _is_leaked(dump, options), truth, history
    )
    with replacing_folder(options.output, REPORT, options.overwrite) as folder:
        _write(report, folder, maps)
    if options.json:
        leaks = {} if report.leaks is None else {"leaks": dataclasses.asdict(report.leaks)}
        print_json({"name": dump.name, "images": len(dump.probabilities), "rows": report.headline, **leaks})
    else:
        print(text_table(dump, report.headline))
        if report.leaks is not None:
            print(f"\n{leaks_text(report.leaks)}")
        print(f"\nreport: {options.output / 'report.html'}")
        words = "-o", "thresholds.csv", "--rule", "p-equals-r"
        print(programs.next_line("find_thresholds", options.dump, *words), file=sys.stderr)
    return 0


def _require_posts(dataset: dataset_folder.Dataset, dump: predictions.Dump) -> None:
    """Raise UserError for a dataset that has none of the posts of a dump, or other pictures of that name.

    It is not that of the model. `Utils.evaluation.same_pictures` has the rule.
    """
    ids = dump.image_ids
    known = [dataset.post_ids(split) for split in dataset.splits if dataset.has_post_ids(split)]
    if ids is None or not known:
        return
    if not np.isin(np.concatenate(known), ids).any():
        raise UserError(f"{dataset.folder} has a record of none of the {len(ids)} image ids of {dump.folder}")
    columns = tag_matching.matching_rows(dataset.tags, dump.tags, by_id=False)
    same_pictures.compare_posts(
        same_pictures.label_blocks(dataset),
        np.flatnonzero(columns >= 0),
        same_pictures.Rows(ids),
        lambda rows: dump.labels[rows][:, columns[columns >= 0]],
    ).require(dump.folder, dataset.folder)


def _find_pictures(options: argparse.Namespace, dump: predictions.Dump) -> post_images.ReadImages:
    """Return a function from post ids to the bytes of their images, which says how many are others now."""
    if options.images is not None:
        read = post_images.place_reader(places.open_place(options.images, options.output))

        def find(ids: Collection[int]) -> dict[int, bytes]:
            pictures, sizes = read(ids), dump.picture_sizes
            if others := sum(sizes.get(post, len(data)) != len(data) for post, data in pictures.items()):
                print(
                    f"{others} of {text.counted(len(pictures), 'picture')} shown of {options.images} have "
                    f"other sizes than those that were predicted: {picture_contents.CHANGED_OR_OTHERS}",
                    file=sys.stderr,
                )
            return pictures

        return find
    return post_images.dataset_reader(options.dataset) if options.dataset is not None else lambda ids: {}


def _is_leaked(dump: predictions.Dump, options: argparse.Namespace) -> np.ndarray | None:
    """Return which images have a near-duplicate that was trained on, bool (N,); None without --groups."""
    if options.groups is None:
        return None
    if options.dataset is None or dump.image_ids is None:
        raise UserError(
            "--groups needs --dataset, which says what was trained on, and a dump with image_ids.npy"
        )
    trained = dataset_folder.load(options.dataset).post_ids("train")
    is_leaked = leakage.find_leaked(
        duplicate_groups.read(options.groups), np.asarray(dump.image_ids), trained
    )
    if is_leaked.all():
        raise UserError(f"every image of {dump.folder} is or resembles a training image; none is left")
    return is_leaked


def _write(report: reporting.Report, folder: pathlib.Path, maps: str) -> None:
    (folder / "report.html").write_text(report_page.render(report, maps), encoding="utf-8")
    csv_tables.write_rows(folder / "report.csv", ("tag_id", *report.columns), report.rows_with_ids())
    csv_tables.write_rows(folder / "headline.csv", ("predictor", *reporting.HEADLINE), report.headline_rows())
    csv_tables.write_rows(
        folder / "confused.csv", reporting.CONFUSIONS, [pair[:-1] for pair in report.confused]
    )
    if report.paddings is not None:
        csv_tables.write_rows(folder / "padding.csv", reporting.PADDINGS, report.padding_rows())
    if report.leaks is not None:
        csv_tables.write_rows(folder / "leaks.csv", leakage.COLUMNS, report.leaks.rows())


# The table on the terminal


def text_table(dump: predictions.Dump, rows: Iterable[Mapping[str, Any]]) -> str:
    """Return the headline table as aligned text."""
    rows = list(rows)
    has_ceiling = not all(math.isnan(row["model"]["ceiling"]) for row in rows)
    head = ("category", "tags", "F1", "95%", "F1", "95%", "macro F1", "MCC", "threshold")
    lines: list[tuple[str, ...]] = [(*head, "ceiling") if has_ceiling else head]
    for row in rows:
        baseline, model = row["frequencies"], row["model"]
        f1 = (_score(baseline["F1"]), _interval(baseline), _score(model["F1"]), _interval(model))
        others = (_score(model["macro_F1"]), _score(model["MCC"]), f"{model['thres']:.4f}")
        others += (_score(model["ceiling"]),) if has_ceiling else ()
        lines.append((row["category"], str(row["tags"]), *f1, *others))
    aligned = text.pad_columns(lines)
    widths = [len(cell) for cell in aligned[0]]
    predictors = " " * (sum(widths[:2]) + 4)
    predictors += f"{'frequencies only':<{sum(widths[2:4]) + 2}}  model"
    title = (
        f"{dump.name}: {text.counted(len(dump.probabilities), 'image')}, micro F1 where precision = recall"
    )
    text_lines = [title, "", predictors, *("  ".join(line) for line in aligned)]
    if has_ceiling:
        text_lines += [
            "",
            "ceiling: F1 of a perfect tagger against these labels, which lack some of what is true",
        ]
    return "\n".join(text_lines)


def leaks_text(leaks: leakage.Leakage) -> str:
    """Return what near-duplicates of training images do to the score, as a sentence."""
    return (
        f"{leaks.counts['leaked']} of {leaks.counts['all']} images have a near-duplicate among the training "
        f"images: F1 is {_score(leaks.values['all'])} with them, {_score(leaks.values['clean'])} without, "
        f"{_score(leaks.values['leaked'])} on them alone\n"
        f"inflated by {report_page.inflation_text(leaks)}"
    )


def _score(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.4f}"


def _interval(scored: Mapping[str, float]) -> str:
    return f"{_score(scored['F1_low'])} to {_score(scored['F1_high'])}"


if __name__ == "__main__":
    sys.exit(main())
