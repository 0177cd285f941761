"""TOML and YAML files that a user writes, read with bounds: size, nesting, what aliases stand for."""

import codecs
import functools
import re
import tomllib
from collections import Counter
from typing import Any

from Utils.command.cli import UserError
from Utils.files import damage
from Utils.files.atomic import AnyPath, require_file, to_path

_MOST_BYTES = 2**24  # of a file that somebody wrote by hand
_MOST_VALUES = 100_000  # of a YAML file, each alias counted as what it stands for
_MOST_NESTED = 200  # brackets in YAML; texts that hold brackets count, too


def lines(text: str) -> list[str]:
    """Return the lines of a list, without blanks around them; empty ones do not count.

    Only line breaks end a line. At U+2028, U+0085 or a form feed, which names of files may hold,
    str.splitlines would break it, too, and an ideographic space around a name belongs to it.
    """
    stripped = (line.strip(" \t\r") for line in text.split("\n"))
    return [line for line in stripped if line]


_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def encoding_of(data: bytes) -> str:
    """Return the encoding of a text: by its mark, UTF-16 if it begins with a letter and a 0, else UTF-8."""
    if mark := next((mark for mark in _MARKS if data.startswith(mark)), None):
        return _MARKS[mark]
    first, second = data[:2] if len(data) > 1 else (1, 1)
    if 0 in (first, second) and chr(first or second).isascii() and chr(first or second).isprintable():
        return "utf-16-be" if first == 0 else "utf-16-le"
    return "utf-8"


def decoded(data: bytes) -> str:
    """Return a text in UTF-8, or in UTF-16 (`encoding_of`), as shells and editors of Windows write it.

    Raises ValueError, which says so, for anything else.
    """
    try:
        return data.decode(encoding_of(data))
    except UnicodeDecodeError as error:
        raise ValueError("no text in UTF-8, or in UTF-16 with its mark; save it as UTF-8") from error


def read_lines(path: AnyPath) -> list[str]:
    """Return the `lines` of a file; ValueError as of `decoded`."""
    return lines(_with_usual_breaks(decoded(to_path(path).read_bytes())))


def _with_usual_breaks(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_toml(path: AnyPath, what: str) -> dict[str, Any]:
    """Return the table of a TOML file; UserError names the file where it is none.

    ``what`` is what the file should be, for the error where there is no file.
    """
    with damage.named(path, "is no TOML"):
        return tomllib.loads(read_text(path, what))


def read_yaml(path: AnyPath, what: str) -> Any:
    """Return the value of a YAML file, of JSON's types only; UserError names the file where it is none.

    Dates are texts. A key that comes twice is an error: of two values one would be lost.

    Aliases are allowed as long as the whole, each of them written out, has at most 100,000 values: nine lines
    of nine aliases each stand for 400 million.
    """
    import yaml

    with damage.named(path, "is no YAML"):
        text = read_text(path, what)
        _require_shallow(text)
        value = yaml.load(text, _yaml_loader())
        size = _size(value, {}, set())
    if size > _MOST_VALUES:
        raise UserError(
            f"{path} is no YAML for this: its aliases stand for {size:,} values; allowed are {_MOST_VALUES:,}"
        )
    return value


@functools.cache
def _yaml_loader() -> type[Any]:
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            names = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
            for name, count in names.items():
                if count > 1 and name != "<<":
                    raise ValueError(
                        f"{name!r} is given {count} times in line {node.start_mark.line + 1} and on"
                    )
            return super().construct_mapping(node, deep)

    Loader.add_constructor("tag:yaml.org,2002:timestamp", yaml.SafeLoader.construct_yaml_str)
    for kind in ("binary", "set", "omap", "pairs"):
        Loader.add_constructor(f"tag:yaml.org,2002:{kind}", yaml.SafeLoader.construct_undefined)
    return Loader


def _require_shallow(text: str) -> None:
    """Raise RecursionError for brackets nested so deep that PyYAML would refuse them, after seconds."""
    depth = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth += 1 if bracket in "[{" else -1
        if depth > _MOST_NESTED:
            raise RecursionError


def read_text(path: AnyPath, what: str) -> str:
    """Return the text of a small file as `decoded`; UserError where there is none, or it is too large."""
    path = require_file(path, what)
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise UserError(f"{what} is expected at {path}; it has {size:,} bytes, allowed are {_MOST_BYTES:,}")
    return _with_usual_breaks(decoded(path.read_bytes()))


def _size(value: Any, sizes: dict[int, int], open_values: set[int]) -> int:
    """Return the number of values in a nested one; shared parts are counted each time, but visited once."""
    if not isinstance(value, (dict, list, tuple, set)):
        return 1
    key = id(value)
    if key in open_values:
        raise ValueError("an alias stands for what it is part of")
    if key not in sizes:
        open_values.add(key)
        items = value.values() if isinstance(value, dict) else value
        sizes[key] = 1 + sum(_size(item, sizes, open_values) for item in items)
        open_values.remove(key)
    return sizes[key]
