"""Utils/command/limits.py: fields are checked by what their annotations say."""

import dataclasses
import math
from typing import Annotated, Literal

import pytest

from Utils.command.cli import UserError
from Utils.command.limits import AT_LEAST_1, FROM_0_TO_1, Checked, Limit, check


@dataclasses.dataclass(frozen=True)
class Base(Checked):
    count: Annotated[int, AT_LEAST_1] = 1
    share: Annotated[float | None, FROM_0_TO_1] = None


@dataclasses.dataclass(frozen=True)
class Settings(Base):
    place: Literal["host", "device"] = "host"
    pair: Annotated[tuple[int, ...], Limit("two numbers", lambda pair: len(pair) == 2)] = (1, 2)
    text: str = ""


def test_allowed_values_pass():
    Settings(count=5, share=1.0, place="device", pair=(3, 4), text="anything")
    Settings(share=None)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "count must be at least 1; got 0"),
        ({"count": None}, "count must be at least 1; got None"),
        ({"count": "many"}, "count must be at least 1; got 'many'"),
        ({"share": 1.5}, "share must be between 0 and 1; got 1.5"),
        ({"share": math.nan}, "share must be between 0 and 1; got nan"),
        ({"share": math.inf}, "share must be between 0 and 1; got inf"),
        (
            {"share": 1e-60},
            "share must be a number to compute with, 0 or a size from 1e-37 to 1e+38, whole ones",
        ),
        ({"count": 2**32}, "count must be a number to compute with"),
        ({"place": "tpu"}, "place must be one of host, device; got 'tpu'"),
        ({"pair": (1, 2, 3)}, "pair must be two numbers; got 1 2 3"),
        ({"pair": ()}, "pair must be two numbers; got none"),
    ],
)
def test_a_value_outside_its_limit_is_an_error(values, message):
    with pytest.raises(UserError) as error:
        Settings(**values)
    assert str(error.value).startswith(message)


def test_the_name_is_spelled_as_the_user_typed_it():
    wrong = object.__new__(Base)
    object.__setattr__(wrong, "count", -1)
    with pytest.raises(UserError, match="--count must be at least 1; got -1"):
        check(wrong, lambda name: f"--{name}")
