"""Utils/tags/written_lists.py: lists that programs write as one text are read, and nothing else is."""

import json

import numpy as np
import pytest

from Utils.tags import captions, sidecars, written_lists

NAMES = ["1girl", "long hair", "it's", 'say "hi"', "a, b", "back\\slash", "初音ミク", "\U0001f600"]


@pytest.mark.parametrize(
    "text", [str(NAMES), json.dumps(NAMES), f" {json.dumps(NAMES, indent=1)}\n", str(np.array(NAMES * 9))]
)
def test_lists_as_json_python_and_numpy_write_them(text):
    names = written_lists.parse(text)
    assert names is not None
    assert names[: len(NAMES)] == NAMES
    assert written_lists.seems_one(text)
    assert captions.parse(text).tags == names
    assert sidecars.KINDS["txt"].parse(text) == names


@pytest.mark.parametrize(
    ("text", "is_like_one"),
    [
        ("[]", True), ("['a' 'b' ... 'c']", True), ("['a', 'b'", True), ("{'general': ['a']}", True),
        ("[1, 2]", False), ("[smile], [hat:0.5]", False), ("1girl, solo", False), ("[]_[]", False),
    ],
)  # fmt: skip
def test_what_is_no_list_is_told_from_a_damaged_one(text, is_like_one):
    assert written_lists.parse(text) in (None, [])
    assert written_lists.seems_one(text) == is_like_one


def test_a_text_that_is_nearly_a_list_is_told_at_once():
    """Were blanks between names matched in several ways, this took longer than anybody waits."""
    assert written_lists.parse("[" + "'a'   " * 5000 + "x]") is None
    assert written_lists.parse("[" + "'a'   \n" * 5000 + "]") == ["a"] * 5000


def test_a_list_is_written_as_it_was():
    assert written_lists.write(["a", "b c"], "['a']") == "['a', 'b c']"
    assert written_lists.write(["a", "初"], '["a"]') == '["a", "初"]'
