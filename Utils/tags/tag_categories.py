"""Categories of tags: codes, which models and lists have, and names, which people read.

A tag list may have any codes. Those that CODES lacks are named by a ``categories.json`` beside its file
(``[{"category": 8, "name": "lore"}, ...]``), else shown as ``category 8``; the names go with the DataFrame.
"""

import sys
from collections.abc import Mapping
from typing import Any

import pandas as pd

from Utils.command.cli import UserError, suggest
from Utils.command.text import counted, whole_number
from Utils.files.atomic import AnyPath, read_json, to_path

CODES = {"general": 0, "artist": 1, "copyright": 3, "character": 4, "meta": 5, "rating": 9}
FILE = "categories.json"
_NAMES = "category_names"  # key of DataFrame.attrs, which rows and columns taken from a list keep


def code_of(category: str | int, names: Mapping[int, str] | None = None) -> int:
    """Return the code of a category, given as its name, its code, or the code as text.

    Any code of 0 or more is one, ``category 7`` is 7. Raises UserError for a name that nobody names.

    Args:
        names: of the list in question, from `names_of`.
    """
    names = names or {}
    codes = {name: code for name, code in CODES.items() if code not in names}
    codes |= {name: code for code, name in names.items()}
    text = str(category).strip().lower()
    if text in codes:
        return codes[text]
    code = whole_number(text.removeprefix("category "))
    if code is not None and 0 <= code < 2**63:
        return code
    allowed = ", ".join(f"{name} ({code})" for name, code in codes.items())
    raise UserError(
        f"unknown category {category!r}; known are {allowed}, and any code of 0 or more{suggest(text, codes)}"
    )


def name_of(code: int, names: Mapping[int, str] | None = None) -> str:
    """Return the name of a category code by ``names`` or CODES, ``category 7`` where both lack it."""
    names = {code: name for name, code in CODES.items()} | dict(names or {})
    return names.get(int(code), f"category {int(code)}")


def names_of(frame: pd.DataFrame) -> dict[int, str]:
    """Return ``{code: name}`` of the categories of a list that are named other than in CODES."""
    return frame.attrs.get(_NAMES, {})


def with_names(frame: pd.DataFrame, names: Mapping[int, str]) -> pd.DataFrame:
    """Return a list whose categories have these names, in place of those that it had."""
    frame = frame.copy(deep=False)
    unusual = {code: name for code, name in names.items() if CODES.get(name) != code}
    frame.attrs = {**frame.attrs, _NAMES: unusual} if unusual else {}
    return frame


def sizes(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the content of categories.json: the categories of a list in its order, with their sizes."""
    counts = frame["category"].value_counts(sort=False)
    return [
        {
            "category": int(code),
            "name": name_of(code, names_of(frame)),
            "count": int(counts[code]),
        }
        for code in dict.fromkeys(frame["category"].tolist())
    ]


def read_names(path: AnyPath) -> dict[int, str]:
    """Return ``{code: name}`` of the categories.json beside a list; nothing without one.

    The form is that of `sizes`, with ``id`` for ``category``, too, or ``{code: name}``, as others
    have it. Says on stderr how many entries name no category; those of DeepDanbooru, which say where in its
    own list categories start, are no such ones.
    """
    path = to_path(path).with_name(FILE)
    content = read_json(path) if path.is_file() else []
    entries = content if isinstance(content, list) else [content]
    pairs = [*map(_code_and_name, content.items() if isinstance(content, dict) else entries)]
    unread = sum(code < 0 for code, _ in pairs)
    if unread:
        print(
            f"warning: {path}: {unread} of {counted(len(pairs), 'entry', 'entries')} not read, which name no "
            'category; the form is [{"category": 5, "name": "species"}, ...] or {"5": "species", ...}',
            file=sys.stderr,
        )
    return {code: name for code, name in pairs if code >= 0 and name}


def _code_and_name(entry: Any) -> tuple[int, str]:
    """Return the code and the name of a category in an entry of categories.json; code -1 where there is none.

    The name is empty in an entry of DeepDanbooru's.
    """
    if isinstance(entry, dict):
        if "start_index" in entry:
            return 0, ""
        entry = entry.get("category", entry.get("id")), entry.get("name")
    code, name = entry if isinstance(entry, tuple) else (-1, "")
    is_named = isinstance(name, str) and name.strip()
    return (_code(code), name.strip().lower()) if is_named else (-1, "")


def _code(written: Any) -> int:
    """Return the code of a category that a JSON has as a number or a text, -1 where it is none."""
    code = whole_number(written) if isinstance(written, str) else written
    return code if type(code) is int else -1
