"""Boxes of parts: around what was drawn, moved and scaled with the picture, cut at its edges."""

import numpy as np
import pytest

from Utils.demo_booru import boxes
from Utils.demo_booru.boxes import Box
from Utils.demo_booru.canvas import Extent, Look, Pen


def test_a_box_is_cut_at_the_edges_of_its_picture():
    extent = Extent()
    extent.add(np.array([(-5.0, 10.0), (40.0, 300.0)]), 2.0)
    box = Box.of("cat", extent, (100, 200, 3))
    assert (box.left, box.top, box.right, box.bottom) == (0, 8, 42, 100)
    assert not box.empty
    assert Box("cat", 210, 0, 200, 50).empty


def test_a_box_moves_with_its_picture():
    box = Box("cat", 10, 20, 30, 60).moved(5, -20, (2.0, 0.5), 64)
    assert (box.left, box.top, box.right, box.bottom) == (30, 0, 64, 20)


def test_parts_of_a_pen_are_collected_by_name():
    parts = {}
    pen = Pen(np.zeros((100, 100, 3), np.uint8), Look()).at(50, 50, 10).collecting(parts)
    pen.part("hat").ellipse(0, 0, 1, 2, (0, 0, 255))
    pen.part("hat").at(2, 0).limb([(0, 0), (1, 0)], (0, 0, 255), 0.4, curved=False)
    pen.part("shoe").ellipse(0, 4, 1, 1, (0, 0, 255))
    assert set(parts) == {"hat", "shoe"}
    hat = parts["hat"]
    assert (hat.left, hat.top, hat.bottom) == pytest.approx((40, 30, 70), abs=0.2)
    assert hat.right == pytest.approx(82, abs=0.2)
    found = boxes.of_parts({"hat": {"hat"}, "whole": {"1girl"}, "cape": {"cape"}}, parts, (100, 100, 3))
    assert [box.tag for box in found] == ["hat", "1girl"]
    assert found[1].bottom == pytest.approx(100, abs=0.2)


def test_a_pen_that_collects_nothing_draws_the_same():
    images = [np.zeros((50, 50, 3), np.uint8) for _ in range(2)]
    Pen(images[0], Look()).at(25, 25, 10).part("hat").ellipse(0, 0, 1, 1, (0, 0, 255))
    Pen(images[1], Look()).at(25, 25, 10).collecting({}).part("hat").ellipse(0, 0, 1, 1, (0, 0, 255))
    assert (images[0] == images[1]).all()
