"""thresholds.csv: a threshold for all tags, a category, a group or a tag; the most specific one applies."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.command.text import composed, join_names
from Utils.evaluation import scores
from Utils.files import csv_tables
from Utils.files.output_files import FileKind, has_header
from Utils.tags import tag_categories, tag_matching

COLUMNS = (
    "scope", "category", "tag_id", "name", "threshold", "rule", "precision", "recall", "f1", "positives",
)  # fmt: skip
THRESHOLDS = FileKind("a table of thresholds", has_header(COLUMNS))
SCOPES = ("all", "category", "group", "tag")  # the later one decides where several hold a tag


def row(
    scope: str,
    name: str,
    threshold: Any,
    rule: str,
    counts: scores.Counts,
    *,
    category: Any = "",
    tag_id: Any = "",
) -> dict[str, Any]:
    """Return one row: a threshold and its scores; a score without a denominator is an empty cell."""
    values = (scores.precision(counts), scores.recall(counts), scores.f_beta(counts))
    score_cells = ["" if math.isnan(value) else float(value) for value in values]
    cells = (scope, category, tag_id, name, float(threshold), rule, *score_cells, int(counts.positives))
    return dict(zip(COLUMNS, cells, strict=True))


def write(path: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows as thresholds.csv; numbers in full precision."""
    csv_tables.write_frame(path, pd.DataFrame(rows, columns=list(COLUMNS), dtype=object))


def table(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as `read` returns them once they are written."""
    frame = pd.DataFrame(rows, columns=list(COLUMNS), dtype=object)
    return frame.astype({name: np.float64 if name == "threshold" else str for name in COLUMNS})


def read(path: Any) -> pd.DataFrame:
    """Read thresholds.csv: a DataFrame of COLUMNS, thresholds float64, the other cells text.

    Raises UserError on another header, an unknown scope, a threshold that is no number, or two for the same.
    """
    required = ("scope", "category", "tag_id", "name", "threshold")
    what = "thresholds (.csv, from find_thresholds.py)"
    frame = csv_tables.read(path, what, required, by_hand=True, dtype=str, keep_default_na=False)
    wrong = sorted(set(frame["scope"]) - set(SCOPES))
    if wrong:
        raise UserError(f"{path}: a scope is {', '.join(SCOPES)}; got {', '.join(map(repr, wrong))}")
    numbers = pd.to_numeric(frame["threshold"], errors="coerce")
    if numbers.isna().any():
        line = int(np.flatnonzero(numbers.isna())[0])
        raise UserError(f"{path}, line {line + 2}: the threshold {frame['threshold'][line]!r} is no number")
    require_range(path, "threshold", numbers)
    frame["threshold"] = numbers.astype(np.float64)
    frame["name"] = frame["name"].map(composed)
    for column in ("category", "tag_id"):
        frame[column] = frame[column].str.strip().str.removesuffix(".0")  # as spreadsheets write them
    _require_one_each(path, frame)
    return frame


def _require_one_each(path: Any, frame: pd.DataFrame) -> None:
    """Raise UserError where a tag, group or category has two thresholds: the last would win silently."""
    keys = ["scope", "category", "tag_id", "name"]
    first = frame.groupby(keys, sort=False)["threshold"].transform("first")
    wrong = np.flatnonzero((frame["threshold"] != first).to_numpy())
    if len(wrong):
        again = frame.iloc[int(wrong[0])]
        what = " ".join(text for text in again[keys] if text)
        raise UserError(
            f"{path}, line {wrong[0] + 2}: {what} has the threshold {first.iloc[wrong[0]]:g} further up, and "
            f"{again['threshold']:g} here; leave one of them"
        )


def numbers_of(path: Any, column: pd.Series) -> np.ndarray:
    """Return a column of thresholds as float64 (N,), NaN for empty cells.

    Raises UserError that names file, line and value of a cell that is no number ("0,35", "35%"), or none from
    0 to 1: a default would take its place without a word.
    """
    numbers = np.asarray(pd.to_numeric(column, errors="coerce"), np.float64)
    is_empty = column.isna() | column.astype(str).str.strip().str.lower().isin(["", "nan"])
    wrong = np.flatnonzero(np.isnan(numbers) & ~is_empty.to_numpy())
    if len(wrong):
        text = str(column.iloc[int(wrong[0])])
        raise UserError(f"{path}, line {wrong[0] + 2}: {column.name} is a number from 0 to 1; got {text!r}")
    require_range(path, str(column.name), numbers)
    return numbers


def require_range(path: Any, column: str, thresholds: Any) -> None:
    """Raise UserError that names file, line and value of a threshold outside 0 to 1; an empty one passes.

    A list of percents would otherwise give no tag ever, without a word.

    Args:
        path: of the CSV.
        column: of the thresholds.
        thresholds: its numbers (N,), NaN for empty cells.
    """
    numbers = np.asarray(thresholds, np.float64)
    # find_thresholds.py puts the float just below 0 where a tag is given to every image.
    wrong = np.flatnonzero((numbers < -1e-6) | (numbers > 1))
    if len(wrong):
        raise UserError(
            f"{path}, line {wrong[0] + 2}: {column} lies between 0 and 1; got {numbers[wrong[0]]:g}"
        )


def per_tag(frame: pd.DataFrame, tags: pd.DataFrame) -> np.ndarray:
    """Return the threshold of every tag of a list: float64 (L,), NaN for a tag that has none.

    A tag's own row decides, else its group's, its category's, the one for all. Rows of tags are matched by
    id, else by name in any spelling, or by name alone where `tag_matching.same_ids` finds ids of two boorus;
    those of categories by code or name, which stands under ``category``, else ``name``.
    """
    cutoffs = np.full(len(tags), np.nan)
    ids, names = tags["tag_id"].astype(str), tags["name"]
    with_id = frame.loc[frame["tag_id"].astype(str) != ""]
    name_of = dict(zip(with_id["tag_id"].astype(str), with_id["name"], strict=True))
    by_id = tag_matching.same_ids(name_of, dict(zip(ids, names, strict=True)))
    for scope in SCOPES:
        rows = frame.loc[frame["scope"] == scope]
        if scope == "all" and len(rows):
            cutoffs[:] = rows["threshold"].iloc[-1]
        elif scope == "category":
            keys = rows["category"].astype(str).where(rows["category"].astype(str) != "", rows["name"])
            _assign(cutoffs, tags["category"], _codes(keys, tags), rows["threshold"])
        elif scope in ("group", "tag"):
            if scope == "group":  # a row for a group as a whole has no tag
                rows = rows[rows["tag_id"].astype(str) != ""]
            spelled = rows["name"].map(tag_matching.spelling)
            _assign(cutoffs, names.map(tag_matching.spelling), spelled, rows["threshold"])
            _assign(cutoffs, names, rows["name"], rows["threshold"])
            if by_id:
                _assign(cutoffs, ids, rows["tag_id"].astype(str), rows["threshold"])
    return cutoffs


def describe_missing(path: Any, cutoffs: np.ndarray, tags: pd.DataFrame, instead: str) -> str:
    """Return a sentence on the tags, ratings apart, that a table has no threshold for; empty without any.

    Args:
        path: of the table.
        cutoffs: (L,), NaN for tags without one.
        tags: L rows.
        instead: what they get, a predicate.
    """
    is_open = np.isnan(cutoffs)
    names = tags["name"][is_open & (tags["category"].to_numpy() != tag_categories.CODES["rating"])]
    if names.empty:
        return ""
    return (
        f"{path} has no threshold for {len(names)} of {len(tags)} tags, which {instead}: {join_names(names)}"
    )


def _codes(categories: Iterable[str], tags: pd.DataFrame) -> list[int]:
    """Return the codes of categories that are written as codes or names; -1 for one that the list lacks."""
    names = tag_categories.names_of(tags)
    codes = []
    for category in categories:
        try:
            codes.append(tag_categories.code_of(category, names))
        except UserError:
            codes.append(-1)
    return codes


def _assign(cutoffs: np.ndarray, keys: Iterable, row_keys: Iterable, thresholds: Iterable[float]) -> None:
    """Set the thresholds, in place, of the keys that rows have; of equal rows the last one counts."""
    threshold_of = dict(zip(row_keys, thresholds, strict=True))
    for place, key in enumerate(keys):
        cutoffs[place] = threshold_of.get(key, cutoffs[place])
