"""Utils/files/strict_json.py: what JSON's reader would lose without a word."""

import json

import pytest

from Utils.files import strict_json


@pytest.mark.parametrize("text", ['{"a": [1, 2.5, null, {"a": "b"}], "b": 1e300}', b"[]", '"a"', "NaN"])
def test_whole_values_are_those_of_json(text):
    assert repr(strict_json.loads(text)) == repr(json.loads(text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1, "b": 2, "a": 1}', "'a' is there twice"),
        ('[{"x": {"b": 1, "b": 2}}]', "'b' is there twice"),
        ("[1e400]", "1e400 is too large"),
        ("-1" + "0" * 400 + ".5", "too large"),
        ("[1", "delimiter"),
    ],
)
def test_what_would_not_come_out_as_it_went_in_is_an_error(text, reason):
    with pytest.raises(ValueError, match=reason):
        strict_json.loads(text)
