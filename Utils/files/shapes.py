"""The shape that the content of a JSON or TOML file must have, and an error that names what differs."""

import os
import sys
from collections.abc import Mapping
from typing import Any

from Utils.command.cli import UserError

Shape = Any  # a type, None, a tuple of alternatives, [shape of the items], {key: shape}
_NAMES = {
    str: "text", int: "a whole number", float: "a number", bool: "true or false", dict: "an object",
    list: "a list", object: "anything",
}  # fmt: skip
_MOST_TEXT = 60  # characters of a wrong value in an error


def require(path: str | os.PathLike[str], value: Any, shape: Shape, place: str = "") -> None:
    """Raise UserError that names file, place, what is needed and what came, where a value has another shape.

    Args:
        path: of the file, for the error.
        value: its content, or a part of it.
        shape: ``str int float bool`` (an int is a float, true is no number), ``None``, ``[shape]`` for lists,
            ``{key: shape}`` for objects (further keys are allowed; a key that ends in ``?`` may be missing;
            the key ``*`` is every key), a tuple for alternatives, ``dict`` and ``list`` for any of them,
            ``object`` for anything.
        place: of the value in the file.
    """
    alternatives = shape if isinstance(shape, tuple) else (shape,)
    fitting = [alternative for alternative in alternatives if _is_kind(value, alternative)]
    if not fitting:
        allowed = " or ".join(_name(alternative) for alternative in alternatives)
        text = repr(value) if not isinstance(value, (dict, list)) else _name(type(value))
        where = f"{path}: {place}" if place else str(path)
        raise UserError(f"{where} must be {allowed}; got {text[:_MOST_TEXT]}")
    if isinstance(fitting[0], list):
        for number, item in enumerate(value):
            require(path, item, fitting[0][0], f"{place}[{number}]")
    elif isinstance(fitting[0], dict):
        _require_keys(path, value, fitting[0], place)


def _require_keys(
    path: str | os.PathLike[str], value: Mapping[str, Any], shape: Mapping[str, Shape], place: str
) -> None:
    missing = [key for key in shape if key != "*" and not key.endswith("?") and key not in value]
    if missing:
        present = ", ".join(list(value)[:8]) or "nothing"
        where = f"{path}: {place}" if place else str(path)
        raise UserError(f"{where} lacks {' and '.join(missing)}; it has {present}")
    for key, inner in shape.items():
        name = key.removesuffix("?")
        if key == "*":
            for other, item in value.items():
                require(path, item, inner, f"{place}.{other}".lstrip("."))
        elif name in value:
            require(path, value[name], inner, f"{place}.{name}".lstrip("."))


def _is_kind(value: Any, shape: Shape) -> bool:
    if shape is None:
        return value is None
    kind = shape if isinstance(shape, type) else type(shape)
    if kind is object:
        return True
    if isinstance(value, bool):
        return kind is bool
    if kind is float and isinstance(value, int):
        return abs(value) <= sys.float_info.max  # beyond it, it is a number of JSON but none of a computation
    return isinstance(value, kind)


def _name(shape: Shape) -> str:
    return "null" if shape is None else _NAMES[shape if isinstance(shape, type) else type(shape)]
