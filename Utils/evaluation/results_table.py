"""Result tables: one CSV schema for every published and measured score, checked when read."""

import math
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.command.text import markdown_table
from Utils.files import csv_tables, locking, text_files
from Utils.files.atomic import replacing

COLUMNS = (
    "run_name", "definition_name", "params", "image_size", "dataset", "split", "category", "from_rank",
    "thres", "F1", "F2", "MCC", "A", "R", "P", "images_per_second", "status", "command",
)  # fmt: skip
NUMBERS = (
    "params", "image_size", "from_rank", "thres", "F1", "F2", "MCC", "A", "R", "P", "images_per_second",
)  # fmt: skip
STATUSES = ("published", "measured")
HALF_DIGIT = 5e-5  # published scores have four digits: what rounding hides
LONGEST_WAIT = 60.0  # seconds for another process that adds rows to a file
EDGE = 0.01  # P and R nearer to 0 or 1 are too coarse to say what the MCC must be
BOUNDS = {
    **dict.fromkeys(("F1", "F2", "A", "R", "P"), (0, 1)),
    "MCC": (-1, 1),
    **dict.fromkeys(("params", "image_size", "from_rank", "images_per_second"), (0, math.inf)),
}
Row = Mapping[Any, Any]  # cells by column, as `pandas.DataFrame.to_dict` gives them
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


def read(path: Any, warn: Callable[[str], None] | None = None) -> pd.DataFrame:
    """Read a results CSV; a score that was not published is NaN.

    Args:
        path: of the file.
        warn: takes the sentence about a row whose scores cannot belong together, instead of an error.

    Raises UserError on another header, on a cell that is no score, and on scores that cannot belong together
    (`check`).
    """
    frame = csv_tables.read(
        path, "a results table (.csv)", (), by_hand=True, dtype=str, keep_default_na=False
    )
    if tuple(frame.columns) != COLUMNS:
        raise UserError(f"{path} must have the columns {','.join(COLUMNS)}; got {','.join(frame.columns)}")
    for column in NUMBERS:
        numbers = pd.to_numeric(frame[column].where(frame[column] != ""), errors="coerce")
        wrong = np.flatnonzero(numbers.isna() & (frame[column] != ""))
        if len(wrong):
            raise UserError(f"{path}, row {wrong[0] + 2}: {column} is {frame[column][wrong[0]]!r}, no number")
        frame[column] = numbers.astype(np.float64)
    for number, row in enumerate(frame.to_dict("records"), 2):
        for judge, tell in ((_check_cells, None), (_check_consistency, warn)):
            try:
                judge(row)
            except UserError as error:
                if tell is None:
                    raise UserError(f"{path}, row {number}: {error}") from error
                tell(f"{path}, row {number}: {error}")
    return frame


def check(row: Row) -> None:
    """Raise UserError if the scores of a row cannot belong together, within the rounding of four digits.

    F1 and F2 follow from P and R: both are equal to them where P = R. Without P and R they still fix them,
    1/R = (5/F2 - 2/F1) / 3 and 1/P = (8/F1 - 5/F2) / 3, which must lie between 0 and 1. The MCC follows from
    P, R and A, and lies between -sqrt((1 - P)(1 - R)) and sqrt(P R) in any case.
    """
    _check_cells(row)
    _check_consistency(row)


def _check_cells(row: Row) -> None:
    if row["status"] not in STATUSES:
        raise UserError(f"status is {' or '.join(STATUSES)}; got {row['status']!r}")
    for name in NUMBERS:
        low, high = BOUNDS.get(name, (-math.inf, math.inf))
        if math.isinf(row[name]) or not (math.isnan(row[name]) or low <= row[name] <= high):
            raise UserError(f"{name} is a number from {low} to {high}; got {row[name]}")


def _check_consistency(row: Row) -> None:
    if row["F1"] > 0 and row["F2"] > 0:
        _check_f1_with_f2(row)
    elif row["F2"] > 2.5 * row["F1"] + 4 * HALF_DIGIT or row["F1"] > 1.6 * row["F2"] + 4 * HALF_DIGIT:
        raise UserError(f"F2 lies between 0.625 F1 and 2.5 F1; got F1 {row['F1']} and F2 {row['F2']}")
    if not math.isnan(row["P"] + row["R"]):
        _check_f(row, 1)
        _check_f(row, 2)
        _check_mcc(row)


def _check_f1_with_f2(row: Row) -> None:
    derived = precision_and_recall(row["F1"], row["F2"])
    # What half a unit in the fourth digit of F1 and F2 can do to 1/P and 1/R, on the scale of P and R:
    slack = HALF_DIGIT * (8 / row["F1"] ** 2 + 5 / row["F2"] ** 2) / 3
    for name, value in zip(("P", "R"), derived, strict=True):
        if not 1 / value >= 1 - slack:
            raise UserError(f"F1 {row['F1']} and F2 {row['F2']} cannot both be: {name} would be {value:.4f}")


def _check_f(row: Row, beta: int) -> None:
    """F rises with P and R: it lies between its values at the least and the greatest ones that round so."""
    (p_least, p_most), (r_least, r_most) = _rounding_range(row["P"]), _rounding_range(row["R"])
    least, most = _f_beta(p_least, r_least, beta), _f_beta(p_most, r_most, beta)
    score = row[f"F{beta}"]
    if not math.isnan(score) and not least - HALF_DIGIT <= score <= most + HALF_DIGIT:
        expected = _f_beta(row["P"], row["R"], beta)
        raise UserError(f"P {row['P']} and R {row['R']} mean an F{beta} of {expected:.4f}; got {score}")


def _rounding_range(score: float) -> tuple[float, float]:
    """Return the least and the greatest score that round to this one."""
    return max(0.0, score - HALF_DIGIT), min(1.0, score + HALF_DIGIT)


def _f_beta(precision: float, recall: float, beta: float) -> float:
    weight = beta * beta
    return (1 + weight) * precision * recall / max(weight * precision + recall, 1e-300)


def _check_mcc(row: Row) -> None:
    if math.isnan(row["MCC"]):
        return
    (p_least, p_most), (r_least, r_most) = _rounding_range(row["P"]), _rounding_range(row["R"])
    most = math.sqrt(p_most * r_most) + HALF_DIGIT
    least = -math.sqrt((1 - p_least) * (1 - r_least)) - HALF_DIGIT
    if row["A"] < 1 - 4 * HALF_DIGIT and all(EDGE < row[name] < 1 - EDGE for name in "PR"):
        shifts = (-HALF_DIGIT, 0.0, HALF_DIGIT)
        possible = [
            _mcc(row["P"] + p, row["R"] + r, row["A"] + a) for p in shifts for r in shifts for a in shifts
        ]
        least = max(least, min(possible) - 2 * HALF_DIGIT)
        most = min(most, max(possible) + 2 * HALF_DIGIT)
    if not least <= row["MCC"] <= most:
        scores = f"P {row['P']}, R {row['R']} and A {row['A']}"
        raise UserError(f"with {scores} the MCC lies between {least:.4f} and {most:.4f}; got {row['MCC']}")


def _mcc(precision: float, recall: float, accuracy: float) -> float:
    """MCC from precision, recall and accuracy, which fix the share of true labels and so all four counts."""
    fp_per_label = recall * (1 - precision) / precision
    share = min(1.0, (1 - accuracy) / (fp_per_label + 1 - recall))  # of true labels
    tp, fp, fn = recall * share, fp_per_label * share, (1 - recall) * share
    tn = max(0.0, 1 - tp - fp - fn)
    scale = math.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))
    return (tp * tn - fp * fn) / scale if scale else 0.0


def precision_and_recall(f1: float, f2: float) -> tuple[float, float]:
    """Return ``(P, R)`` of scores F1 and F2, which fix them; infinite or negative if there are none."""
    with np.errstate(divide="ignore"):
        return (
            float(3 / np.float64(8 / f1 - 5 / f2)),
            float(3 / np.float64(5 / f2 - 2 / f1)),
        )


def append(path: str | os.PathLike, rows: Sequence[Row]) -> None:
    """Add rows (dicts of COLUMNS, missing ones empty) to a results CSV, which is made if it does not exist.

    A row that the file already has, word for word, is not added again. While another process adds rows, this
    one waits. Raises UserError on an impossible row.
    """
    for row in rows:
        numbers = {name: math.nan if row.get(name) is None else row[name] for name in NUMBERS}
        check({**numbers, "status": row.get("status")})
    frame = pd.DataFrame(
        [{name: _text(row.get(name)) for name in COLUMNS} for row in rows], columns=list(COLUMNS)
    )
    new = text_files.lines(frame.to_csv(index=False, header=False, lineterminator="\n"))
    path = pathlib.Path(path)
    with locking.sole_writer(path, patience=LONGEST_WAIT):
        lines = []
        if path.exists():
            read(path)  # a wrong file is refused before it is touched
            lines = text_files.lines(path.read_text(encoding="utf-8"))[1:]
        lines += [line for line in dict.fromkeys(new) if line not in lines]
        with replacing(path) as beside:
            beside.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n", encoding="utf-8")


def _text(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float):
        return f"{value:.6g}" if not value.is_integer() else str(int(value))
    return " ".join(str(value).split())  # one row is one line


def params_human(params: float | None) -> str:
    """Return a parameter count as people write it, ``93.2M``; ``-`` if it is unknown."""
    if params is None or math.isnan(params):
        return "-"
    for unit, size in (("B", 1e9), ("M", 1e6), ("K", 1e3)):
        if params >= size:
            return f"{params / size:.1f}{unit}"
    return str(int(params))


def table(rows: Sequence[Row]) -> str:
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
    return markdown_table(head, cells, left=3)


def flat_table(rows: Sequence[Row]) -> str:
    """Render rows (dicts) in one Markdown table: what was scored, how large the model is, its scores."""
    text = ("run_name", "definition_name", "dataset", "split", "category")
    scored = ("thres", "F1", "F2", "MCC", "P", "R")
    head = (*text, "from_rank", "params_human", "image_size", *scored, "images/s")
    cells = [
        (
            *(_cell(row[name]) for name in text),
            _number(row["from_rank"], ".0f"),
            params_human(row["params"]),
            _number(row["image_size"], ".0f"),
            *(_number(row[name], ".4f") for name in scored),
            _number(row["images_per_second"], ".4g"),
        )
        for row in rows
    ]
    return markdown_table(head, cells, left=len(text))


def _number(value: float, spec: str) -> str:
    return "-" if math.isnan(value) else format(value, spec)


def _cell(text: Any) -> str:
    return str(text) or "-"


def seed_tables(
    rows: Sequence[Row], num_tags: int, tables: Sequence[tuple[str, str, int]] = SEED_TABLES
) -> str:
    """Render rows of a results table as the original project's four tables; one without rows is left out."""
    parts = []
    for title, category, rank in tables:
        matching = [row for row in rows if row["category"] == category and row["from_rank"] == rank]
        if matching:
            parts.append(f"{title.format(tags=num_tags, rank=rank)}:\n\n{table(matching)}")
    return "\n\n".join(parts)


def tables_with_ranks(rank_all: int, rank_general: int) -> tuple[tuple[str, str, int], ...]:
    """Return SEED_TABLES with other first ranks for all tags and for the general ones."""
    ranks = (0, rank_all, 0, rank_general)
    return tuple(
        (title, category, rank) for (title, category, _), rank in zip(SEED_TABLES, ranks, strict=True)
    )
