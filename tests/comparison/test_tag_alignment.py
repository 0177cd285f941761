"""Rows of several tag lists that are one tag: by spelling, alias and id."""

import numpy as np
import pandas as pd

from Utils.comparison import tag_alignment


def tags(*rows):
    columns = ["tag_id", "name", "category", "count"]
    return pd.DataFrame([(*row, 0) for row in rows], columns=columns).astype({"name": "str"})


def names_together(lists, **options):
    """The names that are one tag, of every tag that more than one list has."""
    aligned = tag_alignment.align(lists, **options)
    rows = [
        [frame["name"].iloc[row] for frame, row in zip(lists, column, strict=True) if row >= 0]
        for column in aligned.columns.T
    ]
    return [row for row in rows if len(row) > 1]


def test_spellings_of_one_name():
    first = tags((1, "long_hair", 0), (2, "^_^", 0), (3, "saber_(fate)", 4), (4, "o'_neil", 0))
    second = tags((9, "Long hair", 0), (8, "^ ^", 0), (7, "saber \\(fate\\)", 4), (6, "o&#39;_neil", 0))
    assert len(names_together([first, second])) == 4


def test_aliases_in_chains_and_circles():
    first, second = tags((1, "c", 0), (2, "y", 0)), tags((5, "a", 0), (6, "x", 0))
    assert names_together([first, second], aliases={"a": "b", "b": "c", "x": "y", "y": "x"}) == [["c", "a"]]
    assert names_together([first, second]) == []


def test_ids_count_where_most_go_with_equal_names():
    old = tags((1, "same", 0), (2, "old_name", 0), (3, "other", 0))
    new = tags((1, "same", 0), (2, "new_name", 0), (3, "other", 0))
    assert ["old_name", "new_name"] in names_together([old, new])
    elsewhere = tags((1, "old_name", 0), (2, "same", 0), (3, "third", 0))  # numbers of another booru
    assert sorted(names_together([new, elsewhere])) == [["same", "same"]]


def test_a_name_that_both_have_is_never_matched_by_id():
    first = tags((1, "a", 0), (2, "b", 0), (3, "c", 0), (4, "d", 0))
    second = tags((2, "a", 0), (1, "b", 0), (3, "c", 0), (4, "d", 0))
    assert names_together([first, second]) == [["a", "a"], ["b", "b"], ["c", "c"], ["d", "d"]]


def test_a_rating_is_no_tag_of_its_name():
    first, second = tags((1, "general", 9)), tags((2, "general", 0))
    assert names_together([first, second]) == []


def test_of_two_rows_of_one_tag_the_one_of_its_name_is_compared():
    frame = tags((1, "old", 0), (2, "new", 0), (3, "else", 0))
    aligned = tag_alignment.align([frame, tags((9, "new", 0))], {"old": "new"})
    tag = aligned.tag_of[1][0]
    assert aligned.columns[:, tag].tolist() == [1, 0]
    assert aligned.doubled(0).tolist() == [0]
    assert aligned.tags["name"].iloc[tag] == "new"
    np.testing.assert_array_equal(aligned.in_all([0, 1]), [True, False])
