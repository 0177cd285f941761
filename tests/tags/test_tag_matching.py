"""Rows of two tag lists are one tag by id, else by name; ids of two boorus do not count."""

import pandas as pd
import pytest
from helpers.tag_frames import FRAME, frame_of

from Utils.tags import tag_list, tag_matching


def test_tags_match_by_id_then_by_name():
    reversed_rows = FRAME.iloc[::-1].reset_index(drop=True)
    expected = [6, 5, 4, 3, 2, 1, 0]
    assert tag_matching.matching_rows(FRAME, reversed_rows).tolist() == expected
    renamed = reversed_rows.assign(name=reversed_rows["name"] + "_x")
    assert tag_matching.matching_rows(FRAME, renamed).tolist() == expected, "a renamed tag keeps its id"
    other_ids = reversed_rows.assign(tag_id=reversed_rows["tag_id"] + 10**8)
    assert tag_matching.matching_rows(FRAME, other_ids).tolist() == expected
    assert tag_matching.matching_rows(FRAME.iloc[:2], reversed_rows.iloc[:2]).tolist() == [-1, -1]


def test_one_name_in_two_categories_is_two_tags():
    columns = ["tag_id", "name", "category", "count"]
    ours = pd.DataFrame([(1, "mari", 3, 9), (2, "mari", 4, 8), (3, "hat", 0, 7)], columns=columns)
    theirs = pd.DataFrame([(11, "hat", 5, 7), (12, "mari", 4, 8), (13, "mari", 3, 9)], columns=columns)
    assert tag_matching.matching_rows(ours, theirs).tolist() == [2, 1, 0]
    assert tag_matching.matching_rows(ours, theirs.iloc[:2]).tolist() == [-1, 1, 0]


@pytest.mark.reliability("tag lists of two boorus whose ids mean other tags", "said, and matched by name")
def test_ids_that_name_other_tags_are_said(capsys):
    ours = frame_of("solo", "hat", "sky", "cat", "dog")
    theirs = frame_of("dog", "cat", "solo", "sky", "rain")
    assert tag_matching.matching_rows(ours, theirs).tolist() == [2, -1, 3, 1, 0]
    assert "5 of 5 tag ids that both lists have name other tags: they are" in capsys.readouterr().err
    assert tag_matching.matching_rows(ours[:2], theirs[1:3].assign(tag_id=[1, 2])).tolist() == [1, -1]
    assert "2 of 2 tag ids" in capsys.readouterr().err, "also of few tags"
    ratings = pd.DataFrame({"tag_id": [91, 92, 93, 94], "name": list("abcd"), "category": 9, "count": 1})
    mine, other = (pd.concat([ratings, frame[:3]], ignore_index=True) for frame in (ours, theirs))
    assert tag_matching.matching_rows(mine, other).tolist() == [0, 1, 2, 3, 6, -1, -1], (
        "ratings speak for none"
    )
    by_name = theirs.assign(tag_id=[tag_list.name_id(name) for name in theirs["name"]])
    capsys.readouterr()
    assert tag_matching.matching_rows(ours, by_name).tolist() == [2, -1, 3, 1, 0]
    assert tag_matching.matching_rows(ours, ours.replace("solo", "alone")).tolist() == [0, 1, 2, 3, 4]
    assert capsys.readouterr().err == ""


@pytest.mark.reliability(
    "A tag list whose ids count its rows, with one more tag in its middle", "said, and matched by name"
)
def test_ids_that_count_rows_are_not_renamed_tags(capsys):
    names = [f"tag_{letter}" for letter in "abcdefghijkl"]
    longer = frame_of(*names[:7], "new", *names[7:])
    expected = [*range(7), *range(8, 13)]
    assert tag_matching.matching_rows(frame_of(*names), longer).tolist() == expected
    assert "5 of 12 tag ids that both lists have name other tags: they are" in capsys.readouterr().err
    assert tag_matching.matching_rows(longer, frame_of(*names)).tolist() == [*range(7), -1, *range(7, 12)]
    swapped = frame_of(*names[:9], "tag_k", "tag_j", "other")  # two of three: renamed one after the other
    capsys.readouterr()
    assert tag_matching.matching_rows(frame_of(*names), swapped).tolist() == [*range(12)]
    assert capsys.readouterr().err == ""


def test_a_list_in_another_language_keeps_its_ids(capsys):
    ours, theirs = frame_of("solo", "hat", "sky", "cat"), frame_of("seul", "chapeau", "ciel", "chat")
    assert tag_matching.matching_rows(ours, theirs).tolist() == [0, 1, 2, 3]
    assert "warning: 4 of 4 tag ids that both lists have name other tags" in capsys.readouterr().err


@pytest.mark.reliability("A tagger's list with spaces where the dataset has underscores", "matched by name")
def test_names_are_equal_in_any_spelling(capsys):
    ours = frame_of("long_hair", "rei_(eva)", "^_^", "ranma_&_x", "Hat", "hat", "cat")
    theirs = frame_of("cat", "^ ^", "rei \\(eva\\)", "hat", "Long Hair", "ranma &amp; x", "sky")
    assert tag_matching.matching_rows(ours, theirs).tolist() == [4, 2, 1, 5, -1, 3, 0]
    assert "they are ids of two boorus" in capsys.readouterr().err, "ids that count rows"
    spaced = ours.assign(name=[name.replace("_", " ") for name in ours["name"]])
    assert tag_matching.matching_rows(spaced, ours).tolist() == [*range(7)]
    assert capsys.readouterr().err == "", "no tag is renamed"
    both = frame_of("Hat", "HAT").assign(tag_id=[71, 72], category=[4, 0])
    assert tag_matching.matching_rows(frame_of("hat").assign(category=0), both).tolist() == [1]
