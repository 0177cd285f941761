"""JSON of which nothing is lost: a name twice in one object and a number beyond all floats are errors.

Python's reader keeps the last of two names and makes 1e400 an infinity, which JSON does not have.
"""

import json
import math
from collections.abc import Callable
from typing import Any


def loads(text: str | bytes, parse_constant: Callable[[str], Any] | None = None) -> Any:
    """Return a JSON value; ``parse_constant`` is as `json.loads` takes it: for NaN and infinities.

    Raises ValueError for what is no JSON, or would not come out as it went in.
    """
    return json.loads(
        text, object_pairs_hook=_unique_names, parse_float=_finite_number, parse_constant=parse_constant
    )


def loads_unique(text: str | bytes) -> Any:
    """Return a JSON value, of numbers what `json` makes; ValueError also where an object has a name twice."""
    return json.loads(text, object_pairs_hook=_unique_names)


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r} is there twice")
    return value


def _finite_number(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is too large a number")
    return number
