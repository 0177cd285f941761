"""Spec fields given by a user: known names, right types, allowed values."""

import dataclasses
import types
import typing

from Utils.commands import UserError, suggest


def override(spec, overrides, where):
    """Return ``spec`` with fields replaced; UserError that says what exists for a wrong name or value."""
    hints = typing.get_type_hints(type(spec), include_extras=True)
    for name, value in overrides.items():
        if name not in hints:
            known = ", ".join(hints)
            raise UserError(f"{where} has no field {name!r}; it has {known}{suggest(name, hints)}")
        if not _fits(value, hints[name]):
            raise UserError(f"{where}: {name} must be {_describe(hints[name])}; got {value!r}")
    return dataclasses.replace(spec, **{name: _frozen(value) for name, value in overrides.items()})


def _frozen(value):
    return tuple(value) if isinstance(value, list) else value


def _fits(value, hint):
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is typing.Literal:
        return any(value == part and type(value) is type(part) for part in parts)
    if origin is typing.Annotated:  # a rate
        return _fits(value, parts[0]) and 0 <= value < 1
    if origin is tuple:
        return isinstance(value, (tuple, list)) and all(_fits(item, parts[0]) for item in value)
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)


def _describe(hint):
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_describe(part) for part in parts)
    if origin is typing.Literal:
        return " or ".join(repr(part) for part in parts)
    if origin is typing.Annotated:
        return f"a number {parts[1]}"
    if origin is tuple:
        return f"a list of {_describe(parts[0])}"
    names = {float: "a number", int: "a whole number", bool: "true or false", str: "a text"}
    return names.get(hint, "None")
