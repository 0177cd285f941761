"""What a Spec field may hold, read from its annotation: types, Literal choices, rates."""

import dataclasses
import types
import typing


def fields(spec):
    """Return ``{field: annotation}`` of a Spec."""
    return typing.get_type_hints(type(spec), include_extras=True)


def replace(spec, overrides):
    """Return ``spec`` with fields replaced, lists as tuples, so that it stays hashable."""
    frozen = {name: tuple(value) if isinstance(value, list) else value for name, value in overrides.items()}
    return dataclasses.replace(spec, **frozen)


def fits(value, hint):
    """Tell whether a value is what an annotation allows."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, part) for part in parts)
    if origin is typing.Literal:
        return any(value == part and type(value) is type(part) for part in parts)
    if origin is typing.Annotated:  # a rate
        return fits(value, parts[0]) and 0 <= value < 1
    if origin is tuple:
        return isinstance(value, (tuple, list)) and all(fits(item, parts[0]) for item in value)
    if hint in (int, float):
        kinds = (int,) if hint is int else (int, float)
        return isinstance(value, kinds) and not isinstance(value, bool)
    return isinstance(value, hint)


def describe(hint):
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
    return {float: "a number", int: "a whole number", bool: "True or False", str: "a text"}.get(hint, "None")
