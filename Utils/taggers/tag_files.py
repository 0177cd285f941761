"""Tag lists of other projects, in JSON and text files, as DataFrames like selected_tags.csv's.

Names stay as they are written there, but for letters, which are composed (NFC). Tags without an id get one
of their name (`tag_list.name_id`).
"""

import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.command.text import composed
from Utils.evaluation import threshold_table
from Utils.files import csv_tables, damage, text_files
from Utils.files.atomic import read_json, require_file
from Utils.tags import tag_categories, tag_list

_SYNONYMS = {"series": "copyright", "ratings": "rating", "characters": "character", "artists": "artist"}
_FIRST_FREE_CODE = 10  # of categories that have only a name; boorus use the codes below
_RATING_PREFIXES = ("rating:", "rating_")
_MODES = ("balanced", "macro_opt", "micro_opt")  # of camie's thresholds, in the order of preference


def frame(names: Sequence[str], categories: Sequence[str]) -> pd.DataFrame:
    """Return the list of L tags, row i for output i, from their names and the names of their categories."""
    names = [*map(composed, names)]
    words = [_SYNONYMS.get(name.lower(), name.lower()) for name in categories]
    others = sorted({word for word in words if word not in tag_categories.CODES})
    codes = tag_categories.CODES | {word: _FIRST_FREE_CODE + place for place, word in enumerate(others)}
    tags = pd.DataFrame(
        {"tag_id": [tag_list.name_id(name) for name in names], "name": pd.Series(names, dtype="str")}
    )
    tags["category"] = np.array([codes[word] for word in words], np.int64)
    tags["count"] = np.zeros(len(tags), np.int64)
    return tag_categories.with_names(tags, {code: word for word, code in codes.items() if word in others})


def by_index(path: pathlib.Path, names: Mapping[str, Any], categories: Mapping[str, Any]) -> pd.DataFrame:
    """Return the list of ``{"0": name, "1": name, ...}`` and ``{name: category}``.

    Raises UserError where a number is missing or a tag has no category.
    """
    try:
        ordered = [str(names[str(place)]) for place in range(len(names))]
    except KeyError as error:
        raise UserError(
            f"{path} numbers {len(names)} tags, but none is {error.args[0]}; 0 to {len(names) - 1} are needed"
        ) from error
    missing = [name for name in ordered if name not in categories]
    if missing:
        raise UserError(f"{path}: {len(missing)} tags have no category, the first of them {missing[0]!r}")
    require_texts(path, [*names.values(), *(categories[name] for name in ordered)])
    return frame(ordered, [str(categories[name]) for name in ordered])


def require_texts(path: pathlib.Path, values: Iterable[Any]) -> None:
    """Raise UserError for a name of a tag or category that is no text, or empty."""
    wrong = next((value for value in values if not isinstance(value, str) or not value.strip()), "x")
    if wrong != "x":
        raise UserError(f"{path}: names of tags and categories are texts; got {wrong!r}")


def lines(path: pathlib.Path) -> list[str]:
    """Return the lines of a text file that are not empty; UserError where it is no text or has none."""
    require_file(path, "a tag a line")
    with damage.named(path, "is no list of tags"):
        names = text_files.read_lines(path)
    if not names:
        raise UserError(f"{path} is empty; it needs a tag a line")
    return names


def with_ratings(names: Sequence[str], categories: Iterable[str]) -> list[str]:
    """Return the categories, with rating for the tags that are named as ratings."""
    return [
        "rating" if name.startswith(_RATING_PREFIXES) else category
        for name, category in zip(names, categories, strict=True)
    ]


def category_thresholds(folder: pathlib.Path, tags: pd.DataFrame) -> tuple[np.ndarray, str] | None:
    """Return ``(thresholds (L,), NaN where none is known; file)`` of each tag; None where no file knows one.

    ``thresholds.csv`` of imgutils (``category,threshold,...``, the first row of a category counts) or of
    `threshold_table`, or
    ``threshold.json`` of camie (``{category: {mode: {"threshold": x}}}``). Raises UserError for a threshold
    that is no number from 0 to 1.
    """
    for name, read in (
        ("thresholds.csv", _from_csv),
        ("threshold.json", _from_json),
        ("thresholds.json", _from_json),
    ):
        path = folder / name
        if path.is_file():
            values = read(path, tags)
            if np.isfinite(values).any():
                return values, name
    return None


def _of_categories(thresholds: Mapping[int, float], tags: pd.DataFrame) -> np.ndarray:
    return np.array([thresholds.get(int(code), np.nan) for code in tags["category"]], np.float64)


def _from_csv(path: pathlib.Path, tags: pd.DataFrame) -> np.ndarray:
    table = csv_tables.read(
        path, "thresholds of categories", ("category", "threshold"), by_hand=True, dtype=str
    )
    if "scope" in table:  # of find_thresholds, whose rows may be of single tags
        return threshold_table.per_tag(threshold_table.read(path), tags)
    numbers = threshold_table.numbers_of(path, table["threshold"])
    names = tag_categories.names_of(tags)
    rows = zip(table["category"], numbers, strict=True)
    try:
        first = {tag_categories.code_of(code, names): float(value) for code, value in reversed(list(rows))}
    except UserError as error:
        raise UserError(f"{path}: {error}") from error
    return _of_categories(first, tags)


def _from_json(path: pathlib.Path, tags: pd.DataFrame) -> np.ndarray:
    names = tag_categories.names_of(tags)
    codes = {tag_categories.name_of(code, names): int(code) for code in tags["category"].unique()}
    content = read_json(path, dict)
    values = {word: _mode(content.get(word)) for word in codes}
    values = {word: value for word, value in values.items() if value is not None}
    for word, value in values.items():
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
            raise UserError(f"{path}: the threshold of {word} is a number from 0 to 1; got {value!r}")
    return _of_categories({codes[word]: float(value) for word, value in values.items()}, tags)


def _mode(value: Any) -> Any:
    """Return the number of camie's ``{mode: {"threshold": x}}``, or what else is there."""
    for mode in _MODES:
        if isinstance(value, dict) and mode in value:
            value = value[mode]
    return value.get("threshold") if isinstance(value, dict) else value
