"""Utils/bench/stage_bars.py: segments as long as their stages, names as text, the same bytes."""

import xml.etree.ElementTree as ET

from Utils.bench import stage_bars

BARS = {"a & b": {"read": 1.0, "write": 3.0}, "c": {"write": 2.0}, "nothing": {}}


def test_the_bars_name_what_they_show():
    svg = stage_bars.render("<title>", "ms", BARS)
    words = {text.strip() for text in ET.fromstring(svg.partition("?>")[2]).itertext()}
    assert {"<title>", "a & b: 4 ms", "c: 2 ms", "nothing: 0 ms", "read", "write", "1", "2", "3"} <= words
    assert stage_bars.render("<title>", "ms", BARS) == svg


def test_segments_are_as_long_as_their_stages_and_lie_end_to_end(monkeypatch):
    from matplotlib.axes import Axes

    drawn, barh = {}, Axes.barh

    def recorded(axes, names, widths, left, label):
        drawn[label] = list(zip(left, widths, strict=True))
        return barh(axes, names, widths, left=left, label=label)

    monkeypatch.setattr(Axes, "barh", recorded)
    stage_bars.render("title", "ms", BARS)
    assert drawn == {"read": [(0, 1), (0, 0), (0, 0)], "write": [(1, 3), (0, 2), (0, 0)]}
