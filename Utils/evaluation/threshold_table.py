"""Thresholds as a table: thresholds.csv, one row a scope, and what it means for every output of a model."""

import math

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.evaluation import scores
from Utils.files import csv_tables

COLUMNS = (
    "scope", "category", "tag_id", "name", "threshold", "rule", "precision", "recall", "f1", "positives",
)  # fmt: skip
SCOPES = ("all", "category", "group", "tag")  # the later one decides where several hold a tag


def row(scope, name, threshold, rule, counts, *, category="", tag_id=""):
    """Return one row: a threshold and the scores that Counts say it has; a score without meaning is empty."""
    values = (scores.precision(counts), scores.recall(counts), scores.f_beta(counts))
    shown = ["" if math.isnan(value) else float(value) for value in values]
    cells = (scope, category, tag_id, name, float(threshold), rule, *shown, int(counts.positives))
    return dict(zip(COLUMNS, cells, strict=True))


def write(path, rows):
    """Write rows as thresholds.csv; numbers in full precision."""
    csv_tables.write_frame(path, pd.DataFrame(rows, columns=COLUMNS, dtype=object))


def read(path):
    """Read thresholds.csv: a DataFrame of COLUMNS, thresholds float64, the other cells text.

    Raises UserError on another header, an unknown scope or a threshold that is no number.
    """
    needed = ("scope", "category", "tag_id", "name", "threshold")
    what = "thresholds (.csv, from find_thresholds.py)"
    frame = csv_tables.read(path, what, needed, dtype=str, keep_default_na=False)
    wrong = sorted(set(frame["scope"]) - set(SCOPES))
    if wrong:
        raise UserError(f"{path}: a scope is {', '.join(SCOPES)}; got {', '.join(map(repr, wrong))}")
    numbers = pd.to_numeric(frame["threshold"], errors="coerce")
    if numbers.isna().any():
        line = int(np.flatnonzero(numbers.isna())[0])
        raise UserError(f"{path}, line {line + 2}: the threshold {frame['threshold'][line]!r} is no number")
    frame["threshold"] = numbers.astype(np.float64)
    for column in ("category", "tag_id"):
        frame[column] = frame[column].str.strip().str.removesuffix(".0")  # as spreadsheets write them
    return frame


def per_tag(frame, tag_list):
    """Return the threshold of every tag of a list: float64 (L,), NaN where the table has none for it.

    A tag's own row decides, else its group's, its category's, the one for all. Rows of tags are matched by
    id, else by name.
    """
    found = np.full(len(tag_list), np.nan)
    codes = tag_list["category"].astype(str).to_numpy()
    ids, names = tag_list["tag_id"].astype(str).to_numpy(), tag_list["name"].to_numpy()
    for scope in SCOPES:
        rows = frame[frame["scope"] == scope]
        if scope == "all" and len(rows):
            found[:] = rows["threshold"].iloc[-1]
        elif scope == "category":
            _assign(found, codes, dict(zip(rows["category"].astype(str), rows["threshold"], strict=True)))
        elif scope in ("group", "tag"):
            rows = rows[rows["tag_id"].astype(str) != ""]
            _assign(found, names, dict(zip(rows["name"], rows["threshold"], strict=True)))
            _assign(found, ids, dict(zip(rows["tag_id"].astype(str), rows["threshold"], strict=True)))
    return found


def _assign(found, keys, table):
    for place, key in enumerate(keys):
        found[place] = table.get(key, found[place])
