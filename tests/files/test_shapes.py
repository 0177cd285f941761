"""Shapes of JSON values: what fits passes, the first thing that does not is named with its place."""

import pytest

from Utils.command.cli import UserError
from Utils.files import shapes

SHAPE = {"name": str, "size": (int, None), "share?": float, "splits?": {"*": {"files": [{"file": str}]}}}


@pytest.mark.parametrize(
    "value",
    [
        {"name": "x", "size": None},
        {"name": "x", "size": 3, "share": 1, "more": [[]]},
        {"name": "", "size": 0, "splits": {"train": {"files": [{"file": "a"}]}, "test": {"files": []}}},
    ],
)
def test_what_fits_passes(value):
    shapes.require("x.json", value, SHAPE)


@pytest.mark.parametrize(
    ("value", "fault"),
    [
        ([], "x.json must be an object; got a list"),
        ({"nam": 1}, "x.json lacks name and size; it has nam"),
        ({"name": 7, "size": 1}, "x.json: name must be text; got 7"),
        ({"name": "x", "size": True}, "x.json: size must be a whole number or null; got True"),
        ({"name": "x", "size": 1.5}, "size must be a whole number or null; got 1.5"),
        ({"name": "x", "size": 1, "share": "9" * 999}, "share must be a number; got '9{59}$"),
        ({"name": "x", "size": 1, "splits": []}, "splits must be an object; got a list"),
        (
            {"name": "x", "size": 1, "splits": {"train": {"files": [{}]}}},
            r"splits.train.files\[0\] lacks file",
        ),
        (
            {"name": "x", "size": 1, "splits": {"train": {"files": {}}}},
            "train.files must be a list; got an object",
        ),
    ],
)
def test_what_differs_is_named_with_its_place(value, fault):
    with pytest.raises(UserError, match=fault):
        shapes.require("x.json", value, SHAPE)
