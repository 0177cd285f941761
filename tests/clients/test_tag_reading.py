"""Clients name outputs by position or category, and fail where the rows do not fit."""

import pytest

from Utils.clients import tag_reading

ROWS = [
    ["9999999", "general", "9", "0"], ["9999998", "sensitive", "9", "0"],
    ["9999997", "questionable", "9", "0"], ["9999996", "explicit", "9", "0"],
    ["1", "1girl", "0", "9"], ["2", "smile", "0", "8"], ["3", "reimu_(touhou)", "4", "7"],
]  # fmt: skip
VALUES = [0.1, 0.6, 0.2, 0.1, 0.9, 0.2, 0.5]


def test_all_readers_agree_on_the_order_of_wd():
    ratings = list(zip(["general", "sensitive", "questionable", "explicit"], VALUES, strict=False))
    general, character = [("1girl", 0.9), ("smile", 0.2)], [("reimu_(touhou)", 0.5)]
    assert tag_reading.by_arithmetic(ROWS, VALUES) == tag_reading.Reading(ratings, general, character)
    assert tag_reading.by_category(ROWS, VALUES) == tag_reading.Reading(ratings, general, character)
    assert tag_reading.by_slices(ROWS, VALUES) == tag_reading.Reading([], general, character)
    assert tag_reading.ratings_first(ROWS, VALUES) == tag_reading.Reading(ratings, general + character, [])


def test_only_the_categories_count_for_the_reader_by_category():
    turned = tag_reading.by_category(ROWS[::-1], VALUES[::-1])
    assert sorted(turned.general) == [("1girl", 0.9), ("smile", 0.2)]
    assert turned.character == [("reimu_(touhou)", 0.5)]


def test_outputs_without_a_name_are_an_error():
    with pytest.raises(tag_reading.UnreadableError, match="1 outputs have no name among 2 general and 0"):
        tag_reading.by_arithmetic(ROWS[:-1], VALUES)
    with pytest.raises(tag_reading.UnreadableError, match="7 outputs for 6 rows"):
        tag_reading.by_category(ROWS[:-1], VALUES)
    with pytest.raises(tag_reading.UnreadableError, match="category 0"):
        tag_reading.by_slices(ROWS[:4], VALUES[:4])
