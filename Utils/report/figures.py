"""The figures of a report on a dump: curves over thresholds, F1 by frequency, reliability; as SVG."""

import math

import numpy as np

from Utils.evaluation import calibration
from Utils.report import svg_charts
from Utils.tags.tag_list import category_name

ORDER = (0, 4, 3, 9, 1, 5)  # categories in the order of tables and colors
BANDS = 4  # of tag frequency, a decade
GRAY = 5


def color(name):
    """Return the color of a category, the same in every chart; 0 is that of all tags together."""
    names = ["all", *map(category_name, ORDER)]
    return names.index(name) % 6 if name in names else GRAY


def _points(table):
    """Return precision, recall and the bucket they start at, strictest first, without repetitions."""
    falling = table[:, ::-1].cumsum(axis=1)
    hit, predicted = falling[1], falling.sum(axis=0)
    kept = np.flatnonzero(table[:, ::-1].sum(axis=0))
    with np.errstate(invalid="ignore"):
        precision, recall = hit[kept] / predicted[kept], hit[kept] / max(1, hit[-1])
    return precision, recall, len(hit) - 1 - kept


def precision_recall(tables):
    """Draw precision against recall of every ``{category: histogram}`` of
    `Utils.evaluation.scores.histograms`."""
    series = []
    for name, table in tables.items():
        if table[1].any():
            precision, recall, _ = _points(table)
            kept = _spread(recall)
            points = list(zip(recall[kept].tolist(), precision[kept].tolist(), strict=True))
            series.append(svg_charts.Series(name, points, color(name)))
            equal = int(np.argmin(np.abs(precision - recall)))
            dot = [(recall[equal], precision[equal])]
            series.append(svg_charts.Series("", dot, color(name), lines=False, large=True))
    axes = svg_charts.Axis("recall", 0, 1), svg_charts.Axis("precision", 0, 1)
    return svg_charts.chart(*axes, series[::-1], "Precision against recall for every category")


def _spread(values, steps=200):
    """Return positions at which rising values pass the next of ``steps`` equal steps, both ends included."""
    places = np.searchsorted(values, np.linspace(values[0], values[-1], steps))
    return np.unique(np.r_[0, np.minimum(places, len(values) - 1), len(values) - 1])


def by_threshold(table, edges, threshold):
    """Draw F1, precision and recall of a histogram against the threshold, with a dot at ``threshold``."""
    precision, recall, buckets = _points(table)
    at = np.clip(edges[buckets], 0, 1)
    kept = _spread(-at)
    with np.errstate(invalid="ignore"):
        f1 = 2 * precision * recall / (precision + recall)
    series = []
    for number, (name, values) in enumerate((("F1", f1), ("precision", precision), ("recall", recall))):
        points = zip(at[kept].tolist(), values[kept].tolist(), strict=True)
        series.append(svg_charts.Series(name, [(x, y) for x, y in points if not math.isnan(y)], number))
    equal = int(np.argmin(np.abs(at - threshold)))
    if not math.isnan(f1[equal]):
        dot = [(at[equal], f1[equal])]
        series.append(svg_charts.Series(f"P = R at {threshold:.3f}", dot, 0, lines=False, large=True))
    axes = svg_charts.Axis("threshold", 0, 1), svg_charts.Axis("score", 0, 1)
    return svg_charts.chart(*axes, series, "F1, precision and recall against the threshold")


def by_frequency(rows):
    """Draw one dot a tag; rows are ``(tag, category, positives, F1)``, and their mean by frequency a line."""
    seen = [row for row in rows if row[2] > 0]
    most = max((row[2] for row in seen), default=1)
    series = []
    for name in dict.fromkeys(row[1] for row in seen):
        mine = [row for row in seen if row[1] == name]
        texts = [f"{row[0]}: F1 {row[3]:.3f}, true on {row[2]} images" for row in mine]
        points = [row[2:] for row in mine]
        series.append(svg_charts.Series(name, points, color(name), lines=False, texts=texts))
    if series:
        series.append(svg_charts.Series("mean", _mean_by_band(seen), GRAY))
    axes = (
        svg_charts.Axis("images on which the tag is true", 1, max(10, most), log=True),
        svg_charts.Axis("F1", 0, 1),
    )
    return svg_charts.chart(*axes, series, "F1 of every tag against its number of positives")


def _mean_by_band(rows):
    """Mean F1 and geometric mean of the frequency of the tags of every band."""
    logs = np.log10([row[2] for row in rows])
    f1 = np.array([row[3] for row in rows])
    bands = np.floor(logs * BANDS)
    return [
        (float(10 ** logs[bands == band].mean()), float(f1[bands == band].mean()))
        for band in np.unique(bands)
    ]


def reliability(found):
    """Draw how often a tag is true where a probability is given, of a `calibration.Reliability`."""
    said, true = found.points()
    points = list(zip(said.tolist(), true.tolist(), strict=True))
    counts = found.count[found.count > 0].tolist()
    texts = [f"{x:.3f} given, {y:.3f} true, {n:,} pairs" for (x, y), n in zip(points, counts, strict=True)]
    series = [
        svg_charts.Series("calibrated", [(0, 0), (1, 1)], GRAY, dashed=True),
        svg_charts.Series("model", points, 0),
        svg_charts.Series("", points, 0, lines=False, texts=texts),
    ]
    axes = svg_charts.Axis("probability given", 0, 1), svg_charts.Axis("share that is true", 0, 1)
    return svg_charts.chart(*axes, series, "Reliability: share of true labels against the probability given")


def about_calibration(found, temperature):
    """Say a calibration in words."""
    above, first = found.error(first=1), found.count[0] / max(1, found.count.sum())
    words = (
        f"Bins {1 / calibration.BINS:g} wide; under the diagonal the model is too sure. Expected calibration "
        f"error {found.error():.4f} over all pairs of image and tag"
    )
    if not math.isnan(above):
        words += f", {above:.4f} without the first bin, which holds {first:.0%} of them"
    words += ". "
    if math.isnan(temperature.value):
        return f"{words}No temperature fits best."
    side = "too sure" if temperature.value > 1 else "not sure enough"
    return (
        f"{words}Fitted temperature {temperature.value:.3f} ({side}): logits divided by it take the cross "
        f"entropy from {temperature.loss_before:.5f} to {temperature.loss_after:.5f}."
    )
