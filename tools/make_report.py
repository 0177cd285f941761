"""Make a report of a dump: report.html, one file that opens anywhere, and report.csv, one row a tag.

Prints the headline table: per category the F1 where precision equals recall, of a predictor that knows only
tag frequencies and of the model, with 95% intervals over images. headline.csv, confused.csv and padding.csv
hold the other tables of the page. --images or --dataset put sample images beside the worst and the most
confused tags. --groups says by how much near-duplicates of training images inflate the score (leaks.csv).
"""

import csv
import dataclasses
import html
import json
import math
import pathlib
import re
import sys

import numpy as np

from Utils.command.cli import Parser, UserError, command, print_json
from Utils.data import dataset_folder, post_images
from Utils.evaluation import duplicate_groups, leakage, predictions, results_table, scores
from Utils.files.atomic import replacing_folder, require_absent
from Utils.report import figures, html_page, report


def parser():
    """Return the argument parser."""
    made = Parser(prog="make_report.py", description=__doc__)
    made.add_argument("dump", type=pathlib.Path, metavar="DUMP", help="dump folder, from predict.py")
    made.add_argument(
        "-o", "--output", required=True, type=pathlib.Path, metavar="REPORT", help="folder to write"
    )
    where = made.add_mutually_exclusive_group()
    where.add_argument("--images", type=pathlib.Path, metavar="DIR", help="sample images from this folder")
    where.add_argument("--dataset", type=pathlib.Path, help="sample images from the records of this dataset")
    made.add_argument(
        "--black", type=pathlib.Path, metavar="DUMP",
        help="the same model and images, predicted with --padding black",
    )  # fmt: skip
    made.add_argument(
        "--groups", type=pathlib.Path, metavar="CSV",
        help="groups of near-duplicates, from find_duplicates.py: the score without those of --dataset's "
        "training images",
    )  # fmt: skip
    made.add_argument("--overwrite", action="store_true", help="replace an existing report")
    made.add_argument("--json", action="store_true", help="print the headline table as JSON")
    return made


@command
def main(argv=None):
    """Run the command."""
    options = parser().parse_args(argv)
    require_absent(options.output, options.overwrite)
    dump = predictions.load(options.dump).require_labels()
    black = options.black and predictions.load(options.black)
    found = report.gather(dump, _pictures(options), black, _leaked(dump, options))
    with replacing_folder(options.output, options.overwrite) as beside:
        (beside / "report.html").write_text(page(found), encoding="utf-8")
        _write_csv(beside / "report.csv", ("tag_id", *found.columns), found.rows_with_ids())
        _write_csv(beside / "headline.csv", ("predictor", *report.HEADLINE), found.headline_rows())
        _write_csv(beside / "confused.csv", report.CONFUSIONS, [row[:-1] for row in found.confused])
        if found.paddings is not None:
            _write_csv(beside / "padding.csv", report.PADDINGS, found.padding_rows())
        if found.leaks is not None:
            _write_csv(beside / "leaks.csv", leakage.COLUMNS, found.leaks.rows())
    if options.json:
        leaking = {} if found.leaks is None else {"leaks": dataclasses.asdict(found.leaks)}
        print_json({"name": dump.name, "images": len(dump.labels), "rows": found.headline, **leaking})
    else:
        print(text_table(dump, found.headline))
        if found.leaks is not None:
            print(f"\n{leaks_text(found.leaks)}")
        print(f"\nreport: {options.output / 'report.html'}")
    return 0


def _pictures(options):
    """Return a function from ids to the bytes of their images."""
    if options.images is not None:
        return post_images.of_folder(options.images)
    return post_images.of_dataset(options.dataset) if options.dataset is not None else lambda ids: {}


def _leaked(dump, options):
    """Return which images of the dump have a near-duplicate that was trained on; None without --groups."""
    if options.groups is None:
        return None
    if options.dataset is None or dump.image_ids is None:
        raise UserError(
            "--groups needs --dataset, which says what was trained on, and a dump with image_ids.npy"
        )
    trained = dataset_folder.load(options.dataset).post_ids("train")
    is_leaked = leakage.leaked(duplicate_groups.read(options.groups), np.asarray(dump.image_ids), trained)
    if is_leaked.all():
        raise UserError(f"every image of {dump.folder} is or resembles a training image; none is left")
    return is_leaked


def _write_csv(path, head, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)


# The table on the terminal


def text_table(dump, rows):
    """Return the headline table as aligned text."""
    lines = [("category", "tags", "F1", "95%", "F1", "95%", "macro F1", "MCC", "threshold")]
    for row in rows:
        known, model = row["frequencies"], row["model"]
        numbers = (_score(known["F1"]), _interval(known), _score(model["F1"]), _interval(model))
        rest = (_score(model["macro_F1"]), _score(model["MCC"]), f"{model['thres']:.4f}")
        lines.append((row["category"], str(row["tags"]), *numbers, *rest))
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    shown = ["  ".join(_aligned(line, widths)) for line in lines]
    groups = " " * (sum(widths[:2]) + 4)
    groups += f"{'frequencies only':<{sum(widths[2:4]) + 4}}model"
    title = f"{dump.name}: {len(dump.labels)} images, micro F1 where precision = recall"
    return "\n".join([title, "", groups, *shown])


def leaks_text(found):
    """Return what near-duplicates of training images do to the score, as a sentence."""
    ends = html_page.interval(*(html_page.signed(end) for end in found.interval))
    ends = f"{html_page.signed(found.inflation)} (95%: {ends}){_doubt(found)}"
    return (
        f"{found.counts['leaked']} of {found.counts['all']} images have a near-duplicate among the training "
        f"images: F1 is {_score(found.values['all'])} with them, {_score(found.values['clean'])} without, "
        f"{_score(found.values['leaked'])} on them alone\ninflated by {ends}"
    )


def _aligned(line, widths):
    return [
        cell.ljust(width) if i == 0 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]


def _score(value):
    return "-" if math.isnan(value) else f"{value:.4f}"


def _interval(values):
    return f"{_score(values['F1_low'])} to {_score(values['F1_high'])}"


# The page


def page(found):
    """Return the report as one HTML document without outside parts."""
    template = pathlib.Path(report.__file__).with_suffix(".html").read_text(encoding="utf-8")
    rows = json.dumps([[_rounded(value) for value in row] for row in found.table], ensure_ascii=False)
    filled = {
        "title": html.escape(found.dump.name),
        "facts": _facts(found.dump),
        "headline": _headline_html(found.headline),
        "resamples": f"{report.RESAMPLES:,}",
        "figures": _figures(found),
        "paddings": _paddings_html(found),
        "leaks": _leaks_html(found.leaks),
        "worst": _worst_html(found),
        "confused": _confused_html(found),
        "threshold": f"{found.threshold:.4f}",
        "head": json.dumps(found.columns),
        "rows": rows.replace("<", "\\u003c"),
    }
    filled["nav"] = html_page.links(_substituted(template, filled | {"nav": ""}))
    return _substituted(template, filled)


def _substituted(template, filled):
    return re.sub(r"\{\{(\w+)\}\}", lambda name: filled[name[1]], template)


def _rounded(value):
    return round(value, 4) if isinstance(value, float) else value


def _facts(dump):
    info = dump.info
    named = {name.replace("_", " "): info.get(name) for name in ("image_size", "dataset", "split", "padding")}
    return html_page.facts(
        {
            "images": f"{len(dump.labels):,}",
            "tags": f"{len(dump.tags):,}",
            "true labels an image": f"{scores.positives(dump.labels).sum() / max(1, len(dump.labels)):.1f}",
            "model": info.get("definition_name"),
            "parameters": results_table.params_human(info["params"]) if info.get("params") else None,
            **named,
        }
    )


def _headline_html(rows):
    head = ("category", "model F1", "frequencies only F1", "P", "R", "macro F1", "MCC", "threshold")
    cells = []
    for row in rows:
        model = row["model"]
        both = (
            (side["F1"], html_page.interval(side["F1_low"], side["F1_high"], "–"))
            for side in (model, row["frequencies"])
        )
        first = (row["category"], f"{row['tags']:,} tags")
        cells.append((first, *both, *(model[name] for name in ("P", "R", "macro_F1", "MCC", "thres"))))
    return html_page.table(head, cells, "headline")


def _figures(found):
    """Return the four figures."""
    edges = scores.bucket_values(found.dump.probabilities.dtype)
    parts = (
        (
            "Precision and recall",
            figures.precision_recall(found.histograms),
            "Every threshold, from strict (left) to generous (right). Dots: where both are equal.",
        ),
        (
            "The threshold",
            figures.by_threshold(found.histograms["all"], edges, found.threshold),
            "Scores of all tags at other thresholds. The dot is the threshold where precision equals recall.",
        ),
        (
            "F1 and how often a tag is true",
            figures.by_frequency([(row[0], row[1], row[3], row[10]) for row in found.table]),
            "One dot a tag, at the threshold of all tags. Dots at the bottom are tags that are never right.",
        ),
        (
            "Calibration",
            figures.reliability(found.calibration[0]),
            figures.about_calibration(*found.calibration),
        ),
    )
    return "".join(html_page.figure(*part) for part in parts)


def _paddings_html(found):
    if found.paddings is None:
        return ""
    cells = []
    for (*_, lead), row in zip(found.paddings, found.padding_rows(), strict=True):
        better = "black is better" if lead.value > 0 else "white is better"
        verdict = better if lead.distinguishable else "not distinguishable"
        name, white, *white_ends, black, black_low, black_high, difference, low, high = row
        ends = html_page.interval(html_page.signed(low), html_page.signed(high))
        cells.append(
            (
                (name, verdict),
                (white, html_page.interval(*white_ends, "–")),
                (black, html_page.interval(black_low, black_high, "–")),
                (html_page.signed(difference), ends),
            )
        )
    tables = html_page.table(("category", "white F1", "black F1", "black − white"), cells, "headline")
    changed = [(*row, html_page.signed(row[3] - row[2])) for row in found.changed_by_padding()]
    if changed:
        tables += "<h3>Tags that change most</h3>"
        tables += html_page.table(("tag", "positives", "white F1", "black F1", "black − white"), changed)
    note = (
        "The same images, padded white and padded black where they are not square; each side at its own "
        f"threshold, with 95% intervals over the same {report.RESAMPLES:,} resamples of the images."
    )
    return html_page.section("padding", "White and black padding", note, tables)


def _leaks_html(found):
    if found is None:
        return ""
    names = ("all images", "without near-duplicates of training images", "only those near-duplicates")
    cells = [
        (name, found.counts[kind], (found.values[kind], html_page.interval(*found.intervals[kind], "–")))
        for name, kind in zip(names, leakage.KINDS, strict=True)
    ]
    ends = html_page.interval(*(html_page.signed(end) for end in found.interval))
    note = (
        "What images that resemble training images add to F1, at the one threshold of the headline: "
        f"{html_page.signed(found.inflation)} (95%: {ends}, over {report.RESAMPLES:,} resamples of "
        f"the images)"
        f"{_doubt(found)}."
    )
    return html_page.section(
        "leaks", "Leaks", note, html_page.table(("images scored", "images", "F1"), cells, "headline")
    )


def _doubt(found):
    low, high = found.interval
    return ", not distinguishable from none" if low <= 0 <= high else ""


def _worst_html(found):
    rare = sum(row[3] < found.fewest for row in found.table)
    note = f"Among tags that are true on {found.fewest} images or more; {rare} tags are rarer than that. "
    shots = [shots for _, shots in found.worst]
    note += _about_pictures("missed or wrong, with the probability of the tag", shots)
    cards = []
    for column, shots in found.worst:
        tag, _, _, positives, predicted, hits, *_, f1 = found.table[column][: len(report.COLUMNS)]
        text = f"F1 {html_page.shown(f1)} · true {positives:,} · predicted {predicted:,} · both {hits:,}"
        cards.append(html_page.card(tag, text, shots))
    return html_page.section("lowest", "Lowest F1", note, html_page.cards(cards) if cards else "")


def _confused_html(found):
    note = (
        "The first tag predicted, wrongly, where the second is true, and missed; ranked by how much oftener "
        "than if the two mistakes had nothing to do with one another. "
    )
    note += _about_pictures("with the probabilities of the two", [row[-1] for row in found.confused])
    cards = [
        html_page.card(f"{first} for {second}", f"on {images:,} images; by chance {expected:.1f}", shots)
        for first, second, images, expected, shots in found.confused
    ]
    return html_page.section("confused", "Most confused tags", note, html_page.cards(cards) if cards else "")


def _about_pictures(what, shots):
    addresses = [address for some in shots for address, _ in some]
    missing = sum(address is None for address in addresses)
    if not addresses or missing == len(addresses):
        return ""
    return f"Images: {what}." + (f" {missing} images were not found." if missing else "")


if __name__ == "__main__":
    sys.exit(main())
