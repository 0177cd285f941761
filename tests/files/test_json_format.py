"""Utils/files/json_format.py: what was not changed is written back byte for byte."""

import json

import pytest

from Utils.files import json_format

VALUE = {"id": 5, "tags": ["a", "b c"], "nested": {"x": None, "y": [1.5, True]}, "empty": []}


@pytest.mark.parametrize("indent", [None, 1, 2, 4, "\t"])
@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_same_value_gives_the_same_text(indent, end):
    for value in (VALUE, [VALUE, VALUE], VALUE | {"tags": ["猫"]}):
        for is_ascii in (True, False):
            text = json.dumps(value, indent=indent, ensure_ascii=is_ascii) + end
            assert json_format.like(text, value) == text


def test_half_a_surrogate_pair_stays_an_escape():
    text = '{"a": "\\ud83d", "b": "猫"}'
    assert json_format.like(text, json.loads(text)) == text


def test_narrow_separators_and_line_ends_of_windows():
    text = json.dumps(VALUE, separators=(",", ":"))
    assert json_format.like(text, VALUE) == text
    text = json.dumps(VALUE, indent=2).replace("\n", "\r\n")
    assert json_format.like(text, VALUE) == text
