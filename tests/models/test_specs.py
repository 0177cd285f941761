"""Models/specs.py: which values an annotation allows, and how it says so."""

import dataclasses
import math
from typing import Literal

import pytest

from Models import specs
from Models.layers.randomness import Rate


@dataclasses.dataclass(frozen=True)
class Spec:
    depths: tuple[int, ...] = (1,)
    name: Literal["se", "eca"] | None = None
    rate: Rate = 0.1
    ratio: float = 0.5
    count: int = 1
    flag: bool = False


ALLOWED = {
    "depths": [(), (1, 2), [3]],
    "name": ["se", None],
    "rate": [0, 0.99],
    "ratio": [2, 0.5],
    "count": [0],
    "flag": [True],
}
REFUSED = {
    "depths": [1, (1.5,), ("1",), (-1,)],
    "name": ["cbam", 0],
    "rate": [1, -0.1, "0.1", None],
    "ratio": [True, "1", -0.5, math.nan, math.inf, 1e9],
    "count": [1.0, True, -1, 65_537],
    "flag": [1, None],
}


@pytest.mark.parametrize("field", ALLOWED)
def test_values_fit_their_annotation(field):
    annotation = specs.fields(Spec())[field]
    assert all(specs.fits(value, annotation) for value in ALLOWED[field])
    assert not any(specs.fits(value, annotation) for value in REFUSED[field])


def test_annotations_in_words():
    words = {field: specs.describe(annotation) for field, annotation in specs.fields(Spec()).items()}
    assert words == {
        "depths": "a list, each a whole number from 0 to 65,536",
        "name": "'se' or 'eca' or None",
        "rate": "a number at least 0 and below 1",
        "ratio": "a number from 0 to 65,536",
        "count": "a whole number from 0 to 65,536",
        "flag": "True or False",
    }


def test_a_replaced_spec_stays_hashable():
    spec = specs.replace(Spec(), {"depths": [1, 2], "rate": 0.3})
    assert spec == Spec(depths=(1, 2), rate=0.3)
    assert hash(spec) == hash(Spec(depths=(1, 2), rate=0.3))
