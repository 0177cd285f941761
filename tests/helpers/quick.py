"""Which cases of a long list `make test` runs; `make test-slow` has the others."""

from collections.abc import Iterable
from typing import Any

import pytest


def slow_but(values: Iterable[Any], *quick: Any) -> list[Any]:
    """Return the values as parameters of a test, all but the quick ones marked slow."""
    values = list(values)
    unknown = [value for value in quick if value not in values]
    assert not unknown, f"{unknown} are none of {values}"
    return [value if value in quick else pytest.param(value, marks=pytest.mark.slow) for value in values]
