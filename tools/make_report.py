"""Make a report of a dump: report.html, one file that opens anywhere, and report.csv, one row a tag.

Prints the headline table: per category the F1 where precision equals recall, of a predictor that knows only
tag frequencies and of the model, with 95% intervals over images.
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

from Utils import charts, dumps, results, scores, thresholds
from Utils.commands import Parser, command, print_json
from Utils.files import replacing_folder, require_absent
from Utils.tags import CATEGORIES, category_name

RESAMPLES = 1000
ORDER = (0, 4, 3, 9, 1, 5)  # categories in the order of the headline table
FEWEST = 5  # positives a tag needs to be listed among the worst
WORST = 20
BINS = 20  # of the reliability curve
COLUMNS = ("tag", "category", "count", "positives", "predicted", "TP", "FP", "FN", "P", "R", "F1")


def parser():
    """Return the argument parser."""
    made = Parser(prog="make_report.py", description=__doc__)
    made.add_argument("dump", type=pathlib.Path, metavar="DUMP", help="dump folder, from predict.py")
    made.add_argument(
        "-o", "--output", required=True, type=pathlib.Path, metavar="REPORT", help="folder to write"
    )
    made.add_argument("--overwrite", action="store_true", help="replace an existing report")
    made.add_argument("--json", action="store_true", help="print the headline table as JSON")
    return made


@command
def main(argv=None):
    """Run the command."""
    options = parser().parse_args(argv)
    require_absent(options.output, options.overwrite)
    dump = dumps.load(options.dump).require_labels()
    rows = headline(dump)
    per_tag = scores.count(dump.probabilities, dump.labels, rows[0]["model"]["thres"])
    table = tag_table(dump, per_tag)
    with replacing_folder(options.output, options.overwrite) as beside:
        (beside / "report.html").write_text(page(dump, rows, per_tag, table), encoding="utf-8")
        _write_csv(beside / "report.csv", dump, table)
    if options.json:
        print_json({"name": dump.name, "images": len(dump.labels), "rows": rows})
    else:
        print(text_table(dump, rows))
        print(f"\nreport: {options.output / 'report.html'}")
    return 0


# Numbers


def headline(dump):
    """Score model and frequencies per category: a list of dicts, all tags first."""
    kinds = {"all": np.arange(len(dump.tags))}
    present = set(dump.tags["category"])
    for code in [*(code for code in ORDER if code in present), *sorted(present - set(ORDER))]:
        kinds[category_name(code)] = np.flatnonzero(dump.tags["category"].to_numpy() == code)
    if len(kinds) == 2:
        kinds.popitem()  # the only category is all of it
    wanted = scores.positives(dump.labels)
    frequencies = np.broadcast_to(dump.tags["count"].to_numpy(np.float64), dump.probabilities.shape)
    columns = list(kinds.values())
    model, known = (_scored(p, dump.labels, wanted, columns) for p in (dump.probabilities, frequencies))
    return [
        {"category": name, "tags": len(kinds[name]), "frequencies": known[i], "model": model[i]}
        for i, name in enumerate(kinds)
    ]


def _scored(probabilities, labels, wanted, selections):
    """Score every selection of columns at its own P = R threshold, with intervals."""
    asked = [(int(wanted[columns].sum()), columns) for columns in selections]
    cuts = thresholds.p_equals_r_of(probabilities, asked)
    found, images = [], []
    for cut, columns in zip(cuts, selections, strict=True):
        counts = scores.count(probabilities, labels, cut.threshold).select(columns)
        total = counts.total()
        found.append(
            {
                **scores.summary(total, cut.threshold),
                "macro_F1": scores.macro_f1(counts),
                **{name.upper(): value for name, value in dataclasses.asdict(total).items()},
                "ties": cut.ties,
            }
        )
        images.append(scores.count_per_image(probabilities, labels, cut.threshold, columns))
    low, high = scores.bootstrap_f1(np.stack(images, axis=1), RESAMPLES)
    return [
        {**one, "F1_low": float(a), "F1_high": float(b)} for one, a, b in zip(found, low, high, strict=True)
    ]


def tag_table(dump, counts):
    """Return one tuple a tag, as COLUMNS names them; a score without a denominator is None."""
    scored = (scores.precision(counts), scores.recall(counts), scores.f_beta(counts))
    columns = (
        dump.tags["name"].to_list(),
        [category_name(code) for code in dump.tags["category"]],
        dump.tags["count"].to_list(),
        *(part.tolist() for part in (counts.positives, counts.predicted, counts.tp, counts.fp, counts.fn)),
        *([None if math.isnan(x) else x for x in part.tolist()] for part in scored),
    )
    return list(zip(*columns, strict=True))


def _write_csv(path, dump, table):
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("tag_id", *COLUMNS))
        writer.writerows((tag_id, *row) for tag_id, row in zip(dump.tags["tag_id"], table, strict=True))


# The table on the terminal


def text_table(dump, rows):
    """Return the headline table as aligned text."""
    lines = [("", "", "frequencies only", "", "model", "", "", "", "")]
    lines.append(("category", "tags", "F1", "95%", "F1", "95%", "macro F1", "MCC", "threshold"))
    for row in rows:
        known, model = row["frequencies"], row["model"]
        interval = (_interval(known), _interval(model))
        numbers = (_score(known["F1"]), interval[0], _score(model["F1"]), interval[1])
        rest = (_score(model["macro_F1"]), _score(model["MCC"]), f"{model['thres']:.4f}")
        lines.append((row["category"], str(row["tags"]), *numbers, *rest))
    widths = [max(len(line[i]) for line in lines[1:]) for i in range(len(lines[1]))]
    shown = ["  ".join(_aligned(line, widths)) for line in lines[1:]]
    groups = " " * (sum(widths[:2]) + 4)
    groups += f"{'frequencies only':<{sum(widths[2:4]) + 4}}model"
    title = f"{dump.name}: {len(dump.labels)} images, micro F1 where precision = recall"
    return "\n".join([title, "", groups, *shown])


def _aligned(line, widths):
    return [
        cell.ljust(width) if i == 0 else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]


def _score(value):
    return "-" if math.isnan(value) else f"{value:.4f}"


def _interval(values, between=" to "):
    return f"{_score(values['F1_low'])}{between}{_score(values['F1_high'])}"


# The page


def page(dump, rows, per_tag, table):
    """Return the report as one HTML document without outside parts."""
    template = pathlib.Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
    worst, note = _worst(table)
    filled = {
        "title": html.escape(dump.name),
        "facts": _facts(dump),
        "headline": _headline_html(rows),
        "resamples": f"{RESAMPLES:,}",
        "figures": _figures(dump, rows, table),
        "worst_note": note,
        "worst": _html_table(COLUMNS, worst),
        "threshold": f"{rows[0]['model']['thres']:.4f}",
        "head": json.dumps(COLUMNS),
        "rows": json.dumps([_rounded(row) for row in table], ensure_ascii=False).replace("<", "\\u003c"),
    }
    return re.sub(r"\{\{(\w+)\}\}", lambda found: filled[found[1]], template)


def _rounded(row):
    return [round(value, 4) if isinstance(value, float) else value for value in row]


def _facts(dump):
    info = dump.info
    facts = {
        "images": f"{len(dump.labels):,}",
        "tags": f"{len(dump.tags):,}",
        "true labels an image": f"{scores.positives(dump.labels).sum() / max(1, len(dump.labels)):.1f}",
        "model": info.get("definition_name"),
        "parameters": results.params_human(info["params"]) if info.get("params") else None,
        "image size": info.get("image_size"),
        "dataset": info.get("dataset"),
        "split": info.get("split"),
        "padding": info.get("padding"),
    }
    known = {name: value for name, value in facts.items() if value is not None}
    return "".join(f"<li>{name} <b>{html.escape(str(value))}</b></li>" for name, value in known.items())


def _headline_html(rows):
    head = ("category", "model F1", "frequencies only F1", "P", "R", "macro F1", "MCC", "threshold")
    cells = []
    for row in rows:
        known, model = row["frequencies"], row["model"]
        part = "".join(f"<td>{_score(model[name])}</td>" for name in ("P", "R", "macro_F1", "MCC"))
        cells.append(
            f"<tr><td>{html.escape(row['category'])}<small>{row['tags']:,} tags</small></td>"
            f"<td><b>{_score(model['F1'])}</b><small>{_interval(model, '–')}</small></td>"
            f"<td>{_score(known['F1'])}<small>{_interval(known, '–')}</small></td>"
            f"{part}<td>{model['thres']:.4f}</td></tr>"
        )
    top = "".join(f"<th>{name}</th>" for name in head)
    return f'<table class="headline"><thead><tr>{top}</tr></thead><tbody>{"".join(cells)}</tbody></table>'


def _html_table(head, rows):
    top = "".join(f"<th>{html.escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(_cell(value, i) for i, value in enumerate(row))}</tr>" for row in rows)
    return f"<table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value, column):
    shown = "–" if value is None else f"{value:.4f}" if isinstance(value, float) else str(value)
    return f"<td{' class=name' if column == 0 else ''}>{html.escape(shown)}</td>"


def _worst(table):
    """The tags of lowest F1 among those that are true often enough to say so."""
    fewest = min(FEWEST, max((row[3] for row in table), default=0))
    seen = [row for row in table if row[3] >= max(1, fewest)]
    rows = sorted(seen, key=lambda row: (row[-1], -row[3]))[:WORST]
    rare = len(table) - len(seen)
    note = f"Among tags that are true on {fewest} images or more; {rare} tags are rarer than that."
    return rows, note


# Figures


def _figures(dump, rows, table):
    """Return the four figures."""
    names = [row["category"] for row in rows]
    codes = dump.tags["category"].to_numpy()
    columns = [None, *(np.flatnonzero(codes == _code(name)) for name in names[1:])]
    tables = [scores.histograms(dump.probabilities, dump.labels, part) for part in columns]
    edges = scores.bucket_values(dump.probabilities.dtype)
    figures = (
        (
            "Precision and recall",
            _precision_recall(names, tables),
            "Every threshold, from strict (left) to generous (right). Dots: where both are equal.",
        ),
        (
            "The threshold",
            _by_threshold(tables[0], edges, rows[0]["model"]["thres"]),
            "Scores of all tags at other thresholds. The dot is the threshold where precision equals recall.",
        ),
        (
            "F1 and how often a tag is true",
            _by_frequency(table),
            "One dot a tag, at the threshold of all tags. Dots at the bottom are tags that are never right.",
        ),
        _calibration(tables[0], edges),
    )
    return "".join(
        f"<figure><h3>{title}</h3>{svg}<figcaption>{note}</figcaption></figure>"
        for title, svg, note in figures
    )


def _code(name):
    return CATEGORIES[name] if name in CATEGORIES else int(name)


def _cumulative(table):
    """Return TP and predicted counts at every bucket edge, strictest first."""
    falling = table[:, ::-1].cumsum(axis=1)
    return falling[1], falling.sum(axis=0)


def _points(table):
    """Return precision, recall and the bucket they start at, without repetitions."""
    hit, predicted = _cumulative(table)
    kept = np.flatnonzero(table[:, ::-1].sum(axis=0))
    with np.errstate(invalid="ignore"):
        precision, recall = hit[kept] / predicted[kept], hit[kept] / max(1, hit[-1])
    return precision, recall, len(hit) - 1 - kept


def _color(name):
    """Return the color of a category, the same in every chart; 0 is that of all tags together."""
    names = ["all", *map(category_name, ORDER)]
    return names.index(name) % 6


def _precision_recall(names, tables):
    series = []
    for name, table in zip(names, tables, strict=True):
        if table[1].any():
            precision, recall, _ = _points(table)
            kept = _spread(recall)
            points = list(zip(recall[kept].tolist(), precision[kept].tolist(), strict=True))
            series.append(charts.Series(name, points, _color(name)))
            equal = int(np.argmin(np.abs(precision - recall)))
            series.append(
                charts.Series("", [(recall[equal], precision[equal])], _color(name), lines=False, large=True)
            )
    axes = charts.Axis("recall", 0, 1), charts.Axis("precision", 0, 1)
    return charts.chart(*axes, series[::-1], "Precision against recall for every category")


def _spread(values, steps=200):
    """Return positions at which rising values pass the next of ``steps`` equal steps, both ends included."""
    places = np.searchsorted(values, np.linspace(values[0], values[-1], steps))
    return np.unique(np.r_[0, np.minimum(places, len(values) - 1), len(values) - 1])


def _by_threshold(table, edges, threshold):
    precision, recall, buckets = _points(table)
    at = np.clip(edges[buckets], 0, 1)
    kept = _spread(-at)
    with np.errstate(invalid="ignore"):
        f1 = 2 * precision * recall / (precision + recall)
    series = []
    for number, (name, values) in enumerate((("F1", f1), ("precision", precision), ("recall", recall))):
        points = [
            (x, y) for x, y in zip(at[kept].tolist(), values[kept].tolist(), strict=True) if not math.isnan(y)
        ]
        series.append(charts.Series(name, points, number))
    equal = int(np.argmin(np.abs(at - threshold)))
    if not math.isnan(f1[equal]):
        series.append(
            charts.Series(f"P = R at {threshold:.3f}", [(at[equal], f1[equal])], 0, lines=False, large=True)
        )
    axes = charts.Axis("threshold", 0, 1), charts.Axis("score", 0, 1)
    return charts.chart(*axes, series, "F1, precision and recall against the threshold")


def _by_frequency(table):
    seen = [row for row in table if row[3] > 0]
    most = max((row[3] for row in seen), default=1)
    series = []
    for name in dict.fromkeys(row[1] for row in seen):
        rows = [row for row in seen if row[1] == name]
        points = [(row[3], row[-1]) for row in rows]
        texts = [f"{row[0]}: F1 {row[-1]:.3f}, true on {row[3]} images" for row in rows]
        series.append(charts.Series(name, points, _color(name), lines=False, texts=texts))
    axes = charts.Axis("images on which the tag is true", 1, max(10, most), log=True), charts.Axis("F1", 0, 1)
    return charts.chart(*axes, series, "F1 of every tag against its number of positives")


def _calibration(table, edges):
    """Return title, chart and note of the reliability curve: how often a tag is true where p is said."""
    inner = np.clip(edges, 0, 1)
    middle = (inner + np.r_[inner[1:], 1]) / 2
    count = table.sum(axis=0)
    bins = np.minimum((middle * BINS).astype(int), BINS - 1)
    total, true, said = (np.bincount(bins, part, BINS) for part in (count, table[1], count * middle))
    kept = total > 0
    points = list(zip((said[kept] / total[kept]).tolist(), (true[kept] / total[kept]).tolist(), strict=True))
    error = float(np.abs(true - said).sum() / max(1, total.sum()))
    series = [
        charts.Series("calibrated", [(0, 0), (1, 1)], 5, dashed=True),
        charts.Series("model", points, 0),
        charts.Series("", points, 0, lines=False),
    ]
    axes = charts.Axis("probability given", 0, 1), charts.Axis("share that is true", 0, 1)
    svg = charts.chart(*axes, series, "Reliability: share of true labels against the probability given")
    note = f"Bins of 0.05. Under the diagonal the model is too sure. Expected calibration error {error:.4f}."
    return "Reliability", svg, note


if __name__ == "__main__":
    sys.exit(main())
