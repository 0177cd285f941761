"""Result tables: one CSV schema for every published and measured score, checked when read."""

import math
import pathlib

import numpy as np
import pandas as pd

from Utils.commands import UserError
from Utils.files import replacing, require_file

COLUMNS = (
    "run_name", "definition_name", "params", "image_size", "dataset", "split", "category", "from_rank",
    "thres", "F1", "F2", "MCC", "A", "R", "P", "images_per_second", "status", "command",
)  # fmt: skip
NUMBERS = (
    "params", "image_size", "from_rank", "thres", "F1", "F2", "MCC", "A", "R", "P", "images_per_second",
)  # fmt: skip
STATUSES = ("published", "measured")
ROUNDING = 1e-4  # published scores have four digits
SEED_TABLES = (  # title, category, first rank: the tables that the original project published
    ("All {tags} tags", "all", 0),
    ("All tags, starting from #{rank} and below (sorted by most to least popular)", "all", 2380),
    ("General tags (category 0), no character or series tags", "general", 0),
    (
        "General tags (category 0), no character or series tags, starting from #{rank} and below "
        "(sorted by most to least popular)",
        "general",
        2000,
    ),
)


def read(path):
    """Read a results CSV; a score that was not published is NaN.

    Raises UserError on another header, and on a row whose scores cannot belong together (`check`).
    """
    path = require_file(path, "a results table (.csv)")
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    if tuple(frame.columns) != COLUMNS:
        raise UserError(f"{path} must have the columns {','.join(COLUMNS)}; got {','.join(frame.columns)}")
    for column in NUMBERS:
        numbers = pd.to_numeric(frame[column].where(frame[column] != ""), errors="coerce")
        wrong = np.flatnonzero(numbers.isna() & (frame[column] != ""))
        if len(wrong):
            raise UserError(f"{path}, row {wrong[0] + 2}: {column} is {frame[column][wrong[0]]!r}, no number")
        frame[column] = numbers.astype(np.float64)
    for number, row in enumerate(frame.to_dict("records"), 2):
        try:
            check(row)
        except UserError as error:
            raise UserError(f"{path}, row {number}: {error}") from error
    return frame


def check(row):
    """Raise UserError where a row of results cannot be true, within the rounding of four digits.

    F1 and F2 fix precision and recall: 1/R = (5/F2 - 2/F1) / 3 and 1/P = (8/F1 - 5/F2) / 3. So F1 = F2
    exactly where P = R, and neither may leave 0..1; P and R that are given must be those.
    """
    if row["status"] not in STATUSES:
        raise UserError(f"status is {' or '.join(STATUSES)}; got {row['status']!r}")
    for name, low in (("F1", 0), ("F2", 0), ("A", 0), ("R", 0), ("P", 0), ("MCC", -1)):
        if not math.isnan(row[name]) and not low <= row[name] <= 1:
            raise UserError(f"{name} lies between {low} and 1; got {row[name]}")
    if row["F1"] > 0 and row["F2"] > 0:
        _check_pair(row)


def _check_pair(row):
    derived = precision_and_recall(row["F1"], row["F2"])
    # What half a unit in the fourth digit of F1 and F2 can do to 1/P and 1/R, on the scale of P and R:
    slack = ROUNDING / 2 * (8 / row["F1"] ** 2 + 5 / row["F2"] ** 2) / 3
    for name, value in zip(("P", "R"), derived, strict=True):
        if not 1 / value >= 1 - slack:
            raise UserError(f"F1 {row['F1']} and F2 {row['F2']} cannot both be: {name} would be {value:.4f}")
        given = row[name]
        if given > 0 and abs(1 / given - 1 / value) > slack + ROUNDING / given**2:
            raise UserError(f"F1 {row['F1']} and F2 {row['F2']} mean {name} = {value:.4f}; got {given}")


def precision_and_recall(f1, f2):
    """Return ``(P, R)`` of scores F1 and F2, which determine them; infinite or negative where none exist."""
    with np.errstate(divide="ignore"):
        return (
            float(3 / np.float64(8 / f1 - 5 / f2)),
            float(3 / np.float64(5 / f2 - 2 / f1)),
        )


def append(path, rows):
    """Add rows (dicts of COLUMNS, missing ones empty) to a results CSV, made where there is none.

    A row that stands there already, word for word, is not added again. Raises UserError on a false row.
    """
    path = pathlib.Path(path)
    kept = read(path) if path.exists() else None  # a wrong file is refused before it is touched
    lines = [] if kept is None else path.read_text(encoding="utf-8").splitlines()[1:]
    for row in rows:
        check({name: row.get(name, math.nan) for name in (*NUMBERS, "status")})
    frame = pd.DataFrame([{name: _text(row.get(name)) for name in COLUMNS} for row in rows], columns=COLUMNS)
    new = frame.to_csv(index=False, header=False, lineterminator="\n").splitlines()
    lines += [line for line in dict.fromkeys(new) if line not in lines]
    with replacing(path) as beside:
        beside.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n", encoding="utf-8")


def _text(value):
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.6g}" if not value.is_integer() else str(int(value))
    return " ".join(str(value).split())  # one row is one line


def params_human(params):
    """Return a parameter count as people write it, ``93.2M``; ``-`` where it is unknown."""
    if params is None or math.isnan(params):
        return "-"
    for unit, size in (("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if params >= size:
            return f"{params / size:.1f}{unit}"
    return str(int(params))


def table(rows):
    """Render rows (dicts) in Markdown with the columns of the original project's tables."""
    head = ("run_name", "definition_name", "params_human", "image_size", "thres", "F1", "F2")
    cells = [
        (
            _cell(row["run_name"]),
            _cell(row["definition_name"]),
            params_human(row["params"]),
            "-" if math.isnan(row["image_size"]) else str(int(row["image_size"])),
            *(f"{0.0 if math.isnan(row[name]) else row[name]:.4f}" for name in ("thres", "F1", "F2")),
        )
        for row in rows
    ]
    return markdown(head, cells, left=3)


def _cell(text):
    return str(text).replace("|", "\\|") or "-"


def markdown(head, rows, left=1):
    """Render a Markdown table with padded columns, the first ``left`` of them flush left."""
    widths = [max(3, *(len(line[i]) for line in (head, *rows))) for i in range(len(head))]
    lines = [_line(head, widths, left)]
    rule = [f":{'-' * (w + 1)}" if i < left else f"{'-' * (w + 1)}:" for i, w in enumerate(widths)]
    return "\n".join([*lines, f"|{'|'.join(rule)}|", *(_line(row, widths, left) for row in rows)])


def _line(cells, widths, left):
    padded = (
        cell.ljust(width) if i < left else cell.rjust(width)
        for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return f"| {' | '.join(padded)} |"


def seed_tables(rows, num_tags, tables=SEED_TABLES):
    """Render rows of a results table as the original project's four tables; one without rows is left out."""
    parts = []
    for title, category, rank in tables:
        chosen = [row for row in rows if row["category"] == category and row["from_rank"] == rank]
        if chosen:
            parts.append(f"{title.format(tags=num_tags, rank=rank)}:\n\n{table(chosen)}")
    return "\n\n".join(parts)


def tables_with_ranks(rank_all, rank_general):
    """Return SEED_TABLES with other first ranks for all tags and for the general ones."""
    ranks = (0, rank_all, 0, rank_general)
    return tuple((*kept[:2], rank) for kept, rank in zip(SEED_TABLES, ranks, strict=True))
