"""The charts of a report as SVG: precision and recall, F1 by threshold and by frequency, reliability."""

import math
from collections.abc import Mapping, Sequence

import numpy as np

from Utils.command.text import counted
from Utils.evaluation import calibration
from Utils.report import svg_charts
from Utils.report.svg_charts import Axis, Series
from Utils.tags import tag_categories

CATEGORY_ORDER = (0, 4, 3, 9, 1, 5)  # codes in the order of tables and colors
BANDS_PER_DECADE = 4  # of tag frequency, for the line of means
GRAY = 5


def category_color(name: str) -> int:
    """Return the color of a category, the same in every chart; 0 is that of all tags together."""
    names = ["all", *map(tag_categories.name_of, CATEGORY_ORDER)]
    return names.index(name) % 6 if name in names else GRAY


def _curve(histogram: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return precision, recall and bucket of every threshold that changes a prediction, strictest first."""
    from_the_top = histogram[:, ::-1].cumsum(axis=1)
    true_positives, predicted = from_the_top[1], from_the_top.sum(axis=0)
    filled = np.flatnonzero(histogram[:, ::-1].sum(axis=0))
    with np.errstate(invalid="ignore"):
        precision = true_positives[filled] / predicted[filled]
        recall = true_positives[filled] / max(1, true_positives[-1])
    return precision, recall, len(true_positives) - 1 - filled


def precision_recall_curves(histograms: Mapping[str, np.ndarray]) -> str:
    """Draw precision against recall for every category.

    Args:
        histograms: ``{category: (2, buckets)}``, as `Utils.evaluation.scores.histograms` counts them.
    """
    series = []
    for name, histogram in histograms.items():
        if histogram[1].any():
            points, equal = precision_recall_points(histogram)
            series.append(Series(name, points, category_color(name)))
            series.append(Series("", [equal], category_color(name), lines=False, large=True))
    axes = Axis("recall", 0, 1), Axis("precision", 0, 1)
    # What is drawn last lies on top, and the first category is that of all tags.
    return svg_charts.chart(*axes, series[::-1], "Precision against recall for every category")


def precision_recall_points(
    histogram: np.ndarray,
) -> tuple[list[tuple[float, float]], tuple[float, float]]:
    """Return points ``(recall, precision)`` of a curve, and the one where both are most nearly equal.

    Args:
        histogram: (2, buckets) with something true, as `Utils.evaluation.scores.histograms` counts it.
    """
    precision, recall, _ = _curve(histogram)
    places = _evenly_spaced(recall)
    equal = int(np.argmin(np.abs(precision - recall)))
    points = list(zip(recall[places].tolist(), precision[places].tolist(), strict=True))
    return points, (float(recall[equal]), float(precision[equal]))


def _evenly_spaced(values: np.ndarray, steps: int = 200) -> np.ndarray:
    """Return positions at which rising values pass the next of ``steps`` equal steps, both ends included.

    Most of the thousands of points of a curve lie where nothing can be told apart: near its ends.
    """
    places = np.searchsorted(values, np.linspace(values[0], values[-1], steps))
    return np.unique(np.r_[0, np.minimum(places, len(values) - 1), len(values) - 1])


def scores_by_threshold(histogram: np.ndarray, edges: np.ndarray, threshold: float) -> str:
    """Draw F1, precision and recall against the threshold, with a dot at ``threshold``.

    Args:
        histogram: (2, buckets) pairs of image and tag by probability, false ones and true ones.
        edges: (buckets,) probability of every bucket.
    """
    precision, recall, buckets = _curve(histogram)
    at = np.clip(edges[buckets], 0, 1)
    places = _evenly_spaced(-at)
    with np.errstate(invalid="ignore"):
        f1 = 2 * precision * recall / (precision + recall)
    series = []
    for color, (name, values) in enumerate((("F1", f1), ("precision", precision), ("recall", recall))):
        points = zip(at[places].tolist(), values[places].tolist(), strict=True)
        series.append(Series(name, [(x, y) for x, y in points if not math.isnan(y)], color))
    nearest = int(np.argmin(np.abs(at - threshold)))
    if not math.isnan(f1[nearest]):
        dot = [(at[nearest], f1[nearest])]
        series.append(Series(f"P = R at {threshold:.3f}", dot, 0, lines=False, large=True))
    axes = Axis("threshold", 0, 1), Axis("score", 0, 1)
    return svg_charts.chart(*axes, series, "F1, precision and recall against the threshold")


def f1_by_frequency(rows: Sequence[tuple[str, str, int, float]]) -> str:
    """Draw F1 against the number of positives, a dot a tag and a line of means.

    Args:
        rows: ``(tag, category, positives, F1)``; tags without positives are left out.
    """
    scored = [row for row in rows if row[2] > 0]
    most = max((row[2] for row in scored), default=1)
    series = []
    for category in dict.fromkeys(row[1] for row in scored):
        members = [row for row in scored if row[1] == category]
        texts = [
            f"{tag}: F1 {f1:.3f}, true on {counted(positives, 'image')}" for tag, _, positives, f1 in members
        ]
        points = [row[2:] for row in members]
        series.append(Series(category, points, category_color(category), lines=False, texts=texts))
    if series:
        series.append(Series("mean", _band_means(scored), GRAY))
    axes = Axis("images on which the tag is true", 1, max(10, most), log=True), Axis("F1", 0, 1)
    return svg_charts.chart(*axes, series, "F1 of every tag against its number of positives")


def _band_means(rows: Sequence[tuple[str, str, int, float]]) -> list[tuple[float, float]]:
    """Return ``(geometric mean of the positives, mean F1)`` of every band of frequency."""
    logs = np.log10([row[2] for row in rows])
    f1 = np.array([row[3] for row in rows])
    bands = np.floor(logs * BANDS_PER_DECADE)
    return [
        (float(10 ** logs[bands == band].mean()), float(f1[bands == band].mean()))
        for band in np.unique(bands)
    ]


def reliability_diagram(reliability: calibration.Reliability) -> str:
    """Draw the share of true labels against the predicted probability, a point a bin."""
    probabilities, shares = reliability.points()
    points = list(zip(probabilities.tolist(), shares.tolist(), strict=True))
    counts = reliability.count[reliability.count > 0].tolist()
    texts = [f"{x:.3f} given, {y:.3f} true, {n:,} pairs" for (x, y), n in zip(points, counts, strict=True)]
    series = [
        Series("calibrated", [(0, 0), (1, 1)], GRAY, dashed=True),
        Series("model", points, 0),
        Series("", points, 0, lines=False, texts=texts),
    ]
    axes = Axis("probability given", 0, 1), Axis("share that is true", 0, 1)
    return svg_charts.chart(*axes, series, "Reliability: share of true labels against the probability given")


def calibration_text(reliability: calibration.Reliability, temperature: calibration.Temperature) -> str:
    """Return the note under the reliability diagram: errors, and the effect of a temperature."""
    error_above_first = reliability.expected_calibration_error(first_bin=1)
    share_of_first = reliability.count[0] / max(1, reliability.count.sum())
    words = (
        f"Bins {1 / calibration.BINS:g} wide; under the diagonal the model is too sure. Expected calibration "
        f"error {reliability.expected_calibration_error():.4f} over all pairs of image and tag"
    )
    # Nearly all pairs are sure negatives; they hide how well the others are calibrated.
    if not math.isnan(error_above_first):
        words += f", {error_above_first:.4f} without the first bin, which holds {share_of_first:.0%} of them"
    words += ". "
    if math.isnan(temperature.value):
        return f"{words}No temperature fits best."
    side = "too sure" if temperature.value > 1 else "not sure enough"
    return (
        f"{words}Fitted temperature {temperature.value:.3f} ({side}): logits divided by it take the cross "
        f"entropy from {temperature.loss_before:.5f} to {temperature.loss_after:.5f}."
    )
