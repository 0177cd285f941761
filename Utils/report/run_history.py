"""The history of a run as charts: losses and F1 by epoch, beside what the tags' frequencies alone give."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from Utils.command.cli import UserError
from Utils.files import csv_tables
from Utils.files.atomic import to_path
from Utils.report import svg_charts
from Utils.report.svg_charts import Axis, Series

Rows = Sequence[Mapping[str, float]]
# (column, name, color, dashed)
_LOSSES = (("loss", "training", 0, False), ("val_loss", "validation", 1, False),
           ("val_prior_loss", "frequencies only", 5, True))  # fmt: skip
_SCORES = (("val_f1", "F1", 0, False), ("val_macro_f1", "macro F1", 2, False),
           ("val_prior_f1", "frequencies only", 5, True))  # fmt: skip


def read(run: Any) -> list[dict[str, float]]:
    """Return the numbers of a run's history.csv, an epoch a row.

    Raises UserError where ``run`` has none.
    """
    path = to_path(run) / "history.csv"
    if not path.is_file():
        raise UserError(f"a run folder has history.csv; {run} has none")
    return [_numbers(row) for row in csv_tables.read_texts(path, "the epochs of a run")]


def _numbers(row: Mapping[str, str]) -> dict[str, float]:
    numbers = {}
    for name, text in row.items():
        try:
            numbers[name] = float(text)
        except ValueError:
            continue
    return numbers


def charts(rows: Rows) -> list[tuple[str, str, str]]:
    """Return (title, SVG, note) of the losses and, where the run was validated, of its F1."""
    parts = [("Loss", _chart(rows, _LOSSES, "loss an image", None), "Summed over the tags of an image.")]
    scores = [row["val_f1"] for row in rows if "val_f1" in row]
    if scores:
        best = max(range(len(scores)), key=lambda at: scores[at])
        note = f"On the validation split, where precision equals recall. Best: {scores[best]:.4f}."
        parts.append(("F1", _chart(rows, _SCORES, "F1", 1.0), note))
    return parts


def _chart(rows: Rows, columns: Sequence[tuple[str, str, int, bool]], label: str, high: float | None) -> str:
    series, values = [], []
    for column, name, color, dashed in columns:
        points = [(row["epoch"], row[column]) for row in rows if math.isfinite(row.get(column, math.nan))]
        values += [y for _, y in points]
        if points:
            series.append(Series(name, points, color, lines=len(points) > 1, dashed=dashed))
    last = max((row["epoch"] for row in rows), default=1)
    top = high or max(values, default=1.0) * 1.05 or 1.0
    axes = Axis("epoch", 0, last, whole=True), Axis(label, 0, top)
    return svg_charts.chart(*axes, series, f"{label} by epoch")
