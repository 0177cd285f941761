"""Lists, columns and tables as people read them."""

import pytest

from Utils.command import text


@pytest.mark.parametrize(
    ("names", "most", "words"),
    [
        ([], 5, "nothing"),
        (["a"], 5, "a"),
        ([1, 2, 3], 3, "1, 2, 3"),
        ("abcd", 3, "a, b, c and 1 more"),
        (iter("abcd"), None, "a, b, c, d"),
    ],
)
def test_names_beyond_the_most_are_counted(names, most, words):
    assert text.join_names(names, most) == words


def test_one_thing_is_not_called_several():
    assert text.counted(1, "post") == "1 post"
    assert text.counted(2000, "post") == "2,000 posts"
    assert [text.counted(count, "copy", "copies") for count in (0, 1)] == ["0 copies", "1 copy"]


def test_columns_are_as_wide_as_their_longest_cell():
    assert text.pad_columns([("tag", "F1"), ("a", "0.5")]) == [["tag", " F1"], ["a  ", "0.5"]]
    assert text.pad_columns([("a", "b"), ("cc", "")], left=2, least=3) == [["a  ", "b  "], ["cc ", "   "]]


def test_a_markdown_table_is_aligned_and_escapes_its_separator():
    table = text.markdown_table(("tag", "F1"), [("a|b", "0.5000"), ("long name", "-")])
    assert table.splitlines() == [
        "| tag       |     F1 |",
        "|:----------|-------:|",
        "| a\\|b      | 0.5000 |",
        "| long name |      - |",
    ]


def test_a_markdown_row_is_not_padded():
    assert text.markdown_row(["a", "|"]) == "| a | \\| |"


def test_a_narrow_column_of_a_markdown_table_is_three_characters_wide():
    assert text.markdown_table(("a",), [("1",)]).splitlines() == ["| a   |", "|:----|", "| 1   |"]
