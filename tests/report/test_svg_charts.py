"""Utils/report/svg_charts.py: ticks at round values, points in their places, labels that meet nothing."""

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from Utils.report import svg_charts
from Utils.report.svg_charts import Axis, Series

X, Y = Axis("x", 0, 1), Axis("y", 0, 1)
MIDDLE = (
    (svg_charts.LEFT + svg_charts.WIDTH - svg_charts.RIGHT) / 2,
    (svg_charts.TOP + svg_charts.HEIGHT - svg_charts.BOTTOM) / 2,
)


def test_axes_have_round_ticks():
    assert [text for _, text in X.ticks()] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert [text for _, text in Axis("", -0.05, 0.05).ticks()] == ["-0.04", "-0.02", "0", "0.02", "0.04"]
    assert [text for _, text in Axis("", 1, 3000, log=True).ticks()] == ["1", "10", "100", "1,000"]
    assert [text for _, text in Axis("", 20, 100, log=True).ticks()] == ["20", "50", "100"]


def test_round_numbers_are_1_2_5_times_powers_of_ten():
    assert svg_charts.round_numbers(0.2, 30) == pytest.approx([0.2, 0.5, 1, 2, 5, 10, 20])


def test_values_beyond_an_axis_lie_at_its_ends():
    assert Axis("", 0, 2).share(7) == 1
    assert Axis("", 0, 2).share(-1) == 0
    assert Axis("", 1, 100, log=True).share(10) == pytest.approx(0.5)
    assert Axis("", 1, 100, log=True).share(0) == 0
    assert Axis("", 3, 3).share(3) == 0.5


def test_a_chart_places_points_and_escapes_text():
    series = [Series("a<b", [(0, 0), (1, 1)]), Series("", [(0.5, 0.5)], lines=False, texts=['"x"'])]
    svg = svg_charts.chart(X, Y, series, "a & b")
    assert f'cx="{MIDDLE[0]:.1f}" cy="{MIDDLE[1]:.1f}"' in svg
    assert "<title>&quot;x&quot;</title>" in svg
    assert "a&lt;b" in svg
    assert 'aria-label="a &amp; b"' in svg
    assert svg.count("<circle") == 1
    left, right = svg_charts.LEFT, svg_charts.WIDTH - svg_charts.RIGHT
    top, bottom = svg_charts.TOP, svg_charts.HEIGHT - svg_charts.BOTTOM
    assert f'd="M{left:.1f} {bottom:.1f}L{right:.1f} {top:.1f}"' in svg


def test_series_without_points_are_left_out_and_unnamed_ones_have_no_legend():
    svg = svg_charts.chart(X, Y, [Series("empty", []), Series("", [(0, 0), (1, 1)])], "")
    assert "empty" not in svg
    assert svg.count('class="line"') == 1
    assert f'viewBox="0 0 {svg_charts.WIDTH} {svg_charts.HEIGHT}"' in svg


def test_a_long_line_is_thinned_and_keeps_both_ends():
    points = [(i / 999, i / 999) for i in range(1000)]
    path = re.search(r'class="line"[^>]* d="M([^"]*)"', svg_charts.chart(X, Y, [Series("", points)], ""))[1]
    drawn = path.split("L")
    assert 100 < len(drawn) <= svg_charts.MAX_POINTS + 1
    ends = svg_charts.chart(X, Y, [Series("", [points[0], points[-1]])], "")
    assert f"M{drawn[0]}L{drawn[-1]}" in ends


def test_labels_meet_neither_dots_nor_one_another():
    places = [(float(x), float(y)) for x, y in np.random.default_rng(0).random((10, 2)) * 0.4 + 0.3]
    series = Series("", places, lines=False, labels=["ConvNext/T 320"] * 10)
    svg = svg_charts.chart(Axis("", 0, 1), Axis("", 0, 1), [series], "")
    at = re.findall(r'<text class="label" x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">ConvNext', svg)
    assert len(at) >= 6
    width, shift = svg_charts.LETTER * 14, {"start": 0, "middle": 0.5, "end": 1}
    lefts = [float(x) - shift[anchor] * width for x, _, anchor in at]
    boxes = [
        (left, float(y) - 10, left + width, float(y) + 3) for left, (_, y, _) in zip(lefts, at, strict=True)
    ]
    dots = [(float(x), float(y)) for x, y in re.findall(r'<circle cx="([\d.]+)" cy="([\d.]+)"', svg)]

    def overlap(a, b):
        return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]

    for i, box in enumerate(boxes):
        assert not any(overlap(box, other) for other in boxes[:i])
        assert not any(overlap(box, (x - 4, y - 4, x + 4, y + 4)) for x, y in dots)
        assert svg_charts.LEFT <= box[0] <= box[2] <= svg_charts.WIDTH


def test_a_standalone_chart_is_xml_and_has_every_color_in_both_schemes():
    svg = svg_charts.standalone(svg_charts.chart(X, Y, [Series("a & b", [(0, 0), (1, 1)], 5)], "chart"))
    assert ET.fromstring(svg).get("aria-label") == "chart"
    assert all(svg.count(f"--s{color}: #") == 2 for color in range(6))
