"""Checks the fields of a family's ``Spec`` against their annotations.

Annotations are types, unions, tuples of one type, ``Literal`` choices and ``Rate``, a number in [0, 1).
"""

import dataclasses
import types
import typing
from typing import Any

from Utils.command.cli import suggest

MOST = 65_536  # of a count or a size: published models have 8,192 at most
MOST_BLOCKS = 1_000  # a model of more is built for minutes; published ones have 50 at most


def fields(spec: Any) -> dict[str, Any]:
    """Return ``{field: annotation}`` of a Spec."""
    return typing.get_type_hints(type(spec), include_extras=True)


def replace(spec: Any, overrides: dict[str, Any]) -> Any:
    """Return ``spec`` with fields replaced; lists become tuples, so that it stays hashable."""
    frozen = {name: tuple(value) if isinstance(value, list) else value for name, value in overrides.items()}
    return dataclasses.replace(spec, **frozen)


def blocks(spec: Any) -> int:
    """Return how many blocks a Spec has, in all stages."""
    return sum(getattr(spec, "depths", ())) or getattr(spec, "depth", 0)


def fits(value: Any, hint: Any) -> bool:
    """Tell whether an annotation allows a value; a bool is no number, a whole number is a float.

    Numbers are counts and sizes: from 0 to MOST.
    """
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, part) for part in parts)
    if origin is typing.Literal:
        return any(value == part and type(value) is type(part) for part in parts)
    if origin is typing.Annotated:  # Rate is the only one
        return fits(value, parts[0]) and 0 <= value < 1
    if origin is tuple:
        return isinstance(value, (tuple, list)) and all(fits(item, parts[0]) for item in value)
    if hint in (int, float):
        kinds = (int,) if hint is int else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool) and 0 <= value <= MOST
    return isinstance(value, hint)


def hint(value: Any, annotation: Any) -> str:
    """Return ``"; did you mean map?"`` for a word that is near one the annotation allows, or ""."""
    return suggest(value, _words(annotation)) if isinstance(value, str) else ""


def _words(annotation: Any) -> list[str]:
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return [part for part in parts if isinstance(part, str)]
    return [word for part in parts for word in _words(part)]


def describe(hint: Any) -> str:
    """Return in words what an annotation allows."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(part) for part in parts)
    if origin is typing.Literal:
        return " or ".join(repr(part) for part in parts)
    if origin is typing.Annotated:
        return f"a number {parts[1]}"
    if origin is tuple:
        return f"a list, each {describe(parts[0])}"
    numbers = {float: f"a number from 0 to {MOST:,}", int: f"a whole number from 0 to {MOST:,}"}
    return {**numbers, bool: "True or False", str: "a text"}.get(hint, "None")
