"""Utils/evaluation/pointing.py: hits, areas, and intervals over pictures."""

import numpy as np
import pytest

from Utils.evaluation import pointing

BOXES = np.array([[2, 3, 5, 6], [4, 5, 8, 9]])


def test_a_box_has_its_first_pixel_and_not_the_one_behind_its_last():
    points = {(2, 3): True, (4.9, 5.9): True, (5, 6): True, (7, 8): True, (8, 8): False, (2, 6): False}
    assert {point: pointing.is_hit(BOXES, *point) for point in points} == points


def test_chance_is_the_area_of_all_boxes_together():
    assert pointing.covered(BOXES, 10, 10) == pytest.approx((9 + 16 - 1) / 100)
    assert pointing.covered(np.array([[-5, -5, 50, 50]]), 10, 10) == 1


def test_intervals_are_over_pictures():
    hits = [1.0, 0.0] * 50
    many = pointing.share(hits, list(range(100)))
    assert (many.maps, many.value) == (100, 0.5)
    assert 0.38 < many.low < 0.42
    assert 0.58 < many.high < 0.62
    two = pointing.share(hits, [0, 1] * 50)  # one picture is right, the other wrong
    assert (two.low, two.high) == (0, 1)
    assert np.isnan(pointing.share([], []).value)
