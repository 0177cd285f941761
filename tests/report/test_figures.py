"""Utils/report/figures.py: known curves are drawn where they must be."""

import math
import re

import numpy as np
import pytest

from Utils.evaluation import calibration, scores
from Utils.report import figures, svg_charts

UNIT = svg_charts.Axis("", 0, 1)


@pytest.fixture
def drawn(monkeypatch):
    """What a figure asks to be drawn: a list of (axes, series, label)."""
    calls = []

    def recorded(x, y, series, label):
        calls.append(((x, y), list(series), label))
        return "<svg>"

    monkeypatch.setattr(svg_charts, "chart", recorded)
    return calls


def histogram_of(p, y):
    return scores.histograms(np.asarray(p, np.float32)[:, None], np.asarray(y)[:, None])


def test_categories_keep_their_color():
    assert figures.category_color("all") == 0
    colors = [figures.category_color(name) for name in ("general", "character", "copyright", "rating")]
    assert colors == [1, 2, 3, 4]
    assert figures.category_color("category 77") == figures.GRAY


def test_precision_and_recall_are_those_of_every_threshold(drawn):
    figures.precision_recall_curves({"all": histogram_of([0.9, 0.8, 0.7, 0.2], [1, 0, 1, 0])})
    ((_, series, _),) = drawn
    (curve,) = [part for part in series if part.lines]
    # Of points of one recall the first is enough: it has the highest precision.
    np.testing.assert_allclose(curve.points, [(0.5, 1.0), (1.0, 2 / 3), (1.0, 0.5)])
    (dot,) = [part for part in series if not part.lines]
    assert dot.points == [(0.5, 0.5)]  # where both are equal
    assert curve.color == dot.color == 0


def test_a_category_without_a_true_label_has_no_curve(drawn):
    figures.precision_recall_curves({"all": histogram_of([0.9, 0.1], [0, 0])})
    assert drawn[0][1] == []


def test_all_tags_are_drawn_last_over_the_others(drawn):
    histogram = histogram_of([0.9, 0.1], [1, 0])
    figures.precision_recall_curves({"all": histogram, "general": histogram})
    assert [part.name for part in drawn[0][1] if part.lines] == ["general", "all"]


def test_the_dot_of_the_threshold_lies_on_the_curve_of_f1(drawn):
    histogram = histogram_of([0.9, 0.8, 0.7, 0.2], [1, 0, 1, 0])
    edges = scores.bucket_values(np.dtype(np.float32))
    figures.scores_by_threshold(histogram, edges, 0.7)
    series = {part.name: part for part in drawn[0][1]}
    assert list(series) == ["F1", "precision", "recall", "P = R at 0.700"]
    ((x, y),) = series["P = R at 0.700"].points
    assert x == pytest.approx(0.7, abs=0.01)
    assert y == pytest.approx(0.8)  # P 2/3, R 1
    assert max(value for _, value in series["F1"].points) == pytest.approx(0.8)


def test_evenly_spaced_places_are_few_and_include_both_ends():
    values = np.linspace(0, 1, 100_000) ** 3
    places = figures._evenly_spaced(values, steps=50)
    assert places[0] == 0
    assert places[-1] == len(values) - 1
    assert len(places) <= 52
    assert np.diff(values[places]).max() < 0.03
    assert figures._evenly_spaced(np.zeros(1)).tolist() == [0]


def test_tags_are_dots_of_their_category_and_bands_have_means(drawn):
    rows = [("hat", "general", 10, 0.4), ("bow", "general", 12, 0.6), ("alice", "character", 1000, 0.9),
            ("never", "general", 0, 0.0)]  # fmt: skip
    figures.f1_by_frequency(rows)
    axes, series, _ = drawn[0]
    named = {part.name: part for part in series}
    assert named["general"].points == [(10, 0.4), (12, 0.6)]
    assert named["general"].texts[0] == "hat: F1 0.400, true on 10 images"
    np.testing.assert_allclose(named["mean"].points, [(120**0.5, 0.5), (1000, 0.9)])
    assert (axes[0].high, axes[0].log) == (1000, True)
    assert "never" not in str(series)


def test_without_a_true_tag_there_are_no_dots(drawn):
    figures.f1_by_frequency([("never", "general", 0, 0.0)])
    assert drawn[0][1] == []


def test_reliability_shows_every_filled_bin():
    p = np.array([[0.1], [0.1], [0.9], [0.9]], np.float32)
    reliability, _ = calibration.calibrate(p, np.array([[0], [0], [1], [0]]))
    svg = figures.reliability_diagram(reliability)
    hints = re.findall(r"<title>([^<]*)</title>", svg)
    assert hints == ["0.100 given, 0.000 true, 2 pairs", "0.900 given, 0.500 true, 2 pairs"]


def test_the_note_on_calibration_says_which_way_the_model_is_wrong():
    random = np.random.default_rng(0)
    z = random.normal(-1, 1.5, (400, 20))
    y = random.random(z.shape) < 1 / (1 + np.exp(-z))
    for steepness, words in ((2, "too sure"), (0.5, "not sure enough")):
        p = (1 / (1 + np.exp(-z * steepness))).astype(np.float32)
        text = figures.calibration_text(*calibration.calibrate(p, y))
        assert f"({words})" in text
        assert "without the first bin" in text
    never_wrong = figures.calibration_text(*calibration.calibrate(p, p > 0.5))
    assert never_wrong.endswith("No temperature fits best.")


def test_the_note_leaves_out_a_first_bin_that_holds_everything():
    p = np.full((4, 1), 0.01, np.float32)
    reliability, temperature = calibration.calibrate(p, np.array([[1], [0], [0], [0]]))
    assert math.isnan(reliability.expected_calibration_error(first_bin=1))
    assert "without the first bin" not in figures.calibration_text(reliability, temperature)
