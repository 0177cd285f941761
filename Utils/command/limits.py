"""Limits of settings, declared in the annotations of a dataclass and checked when an instance is made.

    @dataclasses.dataclass(frozen=True)
    class Settings(Checked):
        rotation: Annotated[float, Limit("from 0 to 180", lambda value: 0 <= value <= 180)] = 45.0
        place: Literal["host", "device"] = "host"

A limit stands beside the type and the default, so that no second list of field names can disagree with it.
"""

import dataclasses
import functools
import math
import typing
from collections.abc import Callable
from typing import Annotated, Any

from Utils.command.cli import UserError

_MOST_TEXT = 60  # characters of a wrong value in an error
_MOST_INT = 2**32  # so that a product of two fits into 64 bits
_LEAST_FLOAT, _MOST_FLOAT = 1e-37, 1e38  # between them float32 is neither 0 nor infinite


@dataclasses.dataclass(frozen=True)
class Limit:
    """A condition on a value: in words, for the error, and as a test."""

    text: str
    allows: Callable[[Any], bool]


AT_LEAST_1 = Limit("at least 1", lambda value: value >= 1)
AT_LEAST_0 = Limit("at least 0", lambda value: value >= 0)
ABOVE_0 = Limit("above 0", lambda value: value > 0)
FROM_0_TO_1 = Limit("between 0 and 1", lambda value: 0 <= value <= 1)
FROM_0_BELOW_1 = Limit("at least 0 and below 1", lambda value: 0 <= value < 1)


def from_0_to(most: int) -> Limit:
    """Return the limit of a size with a bound: beyond it nothing is meant, as a power of 1e38."""
    return Limit(f"from 0 to {most:,}", lambda value: 0 <= value <= most)


def above_0_to(most: int) -> Limit:
    """Return the limit of a size with a bound that cannot be 0."""
    return Limit(f"above 0 and at most {most:,}", lambda value: 0 < value <= most)


@dataclasses.dataclass(frozen=True)
class Checked:
    """Base of a frozen dataclass whose fields are checked when it is made."""

    def __post_init__(self) -> None:
        check(self)


def check(settings: Any, spelled: Callable[[str], str] = str) -> None:
    """Raise UserError for the first field of a dataclass whose value its annotation does not allow.

    NaN and infinities pass no limit, nor do numbers that are 0 or infinite in float32, and whole ones of
    2**32 and more; None passes where the type has it. ``spelled`` turns the field's name into what the user
    typed, for example a flag.
    """
    for name, (optional, limits) in _limits(type(settings)).items():
        value = getattr(settings, name)
        for limit in limits:
            if not (optional and value is None) and not _is_allowed(limit, value):
                raise UserError(f"{spelled(name)} must be {limit.text}; got {_shown(value)}")
        if limits and not _is_computable(value):
            raise UserError(
                f"{spelled(name)} must be a number to compute with, 0 or a size from {_LEAST_FLOAT:g} to "
                f"{_MOST_FLOAT:g}, whole ones below {_MOST_INT:,}; got {_shown(value)}"
            )


@functools.cache
def _limits(settings: type) -> dict[str, tuple[bool, list[Limit]]]:
    """Return, by field, whether it may be None and its limits; the choices of a Literal are a limit, too."""
    limits = {}
    for name, annotation in typing.get_type_hints(settings, include_extras=True).items():
        annotated = typing.get_origin(annotation) is Annotated
        kind, *metadata = typing.get_args(annotation) if annotated else (annotation,)
        allowed_by = [item for item in metadata if isinstance(item, Limit)]
        if typing.get_origin(kind) is typing.Literal:
            choices = typing.get_args(kind)
            allowed_by.append(Limit(f"one of {', '.join(choices)}", choices.__contains__))
        limits[name] = (type(None) in typing.get_args(kind), allowed_by)
    return limits


def _is_computable(value: Any) -> bool:
    if isinstance(value, int):
        return abs(value) < _MOST_INT
    return not isinstance(value, float) or value == 0 or _LEAST_FLOAT <= abs(value) <= _MOST_FLOAT


def _is_allowed(limit: Limit, value: Any) -> bool:
    if isinstance(value, float) and not math.isfinite(value):
        return False
    try:
        return bool(limit.allows(value))
    except TypeError:  # a value of another type, from Python or from a recipe.json edited by hand
        return False


def _shown(value: Any) -> str:
    if isinstance(value, (tuple, list)):
        return " ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else repr(value)[:_MOST_TEXT]
