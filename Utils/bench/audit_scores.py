"""How well predictions rank absent labels: those that are missing by the true tags should come first.

An audit lists the top of that ranking. The average precision, the area under its precision-recall curve, is
free of thresholds, so that audits of taggers that are sure to different degrees can be compared.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from Utils.evaluation import bootstrap, ground_truth, predictions
from Utils.files import csv_tables
from Utils.files.atomic import read_json

RESAMPLES = 1000
TABLE = (
    "world", "missing", "audit", "missing_labels", "AP", "AP_low", "AP_high", "base", "difference", "low",
    "high", "findings", "precision", "recall",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Ranking:
    """The absent labels of a dump, the likeliest first.

    Attributes:
        rows: (A,) of the posts.
        is_missing: (A,) whether the post has the tag by the truth.
        last: (A,) place of the last label with the same probability.
    """

    rows: np.ndarray
    is_missing: np.ndarray
    last: np.ndarray


def rank(dump: predictions.Dump, truth: ground_truth.Truth) -> Ranking:
    """Return the absent labels in the order of their probabilities; raises UserError if none is missing.

    Args:
        dump: with labels and image ids.
        truth: from `ground_truth.read`; posts that it does not name are left out.
    """
    posts, missing = ground_truth.missing_labels(dump, np.arange(len(dump.tags)), truth)
    rows, columns = np.nonzero(np.asarray(dump.labels) == 0)
    names, ids = dump.tags["name"].to_numpy()[columns], np.asarray(dump.image_ids)[rows]
    is_named = np.isin(ids, list(posts))
    p = np.asarray(dump.probabilities)[rows, columns]
    is_missing = np.array([pair in missing for pair in zip(ids.tolist(), names, strict=True)])
    order = np.flatnonzero(is_named)
    order = order[np.argsort(-p[order], kind="stable")]
    last = np.searchsorted(-p[order], -p[order], side="right") - 1
    return Ranking(rows[order], is_missing[order], last)


def average_precision(ranking: Ranking, weights: np.ndarray) -> float:
    """Return the area under the steps of precision over recall; NaN where nothing is missing.

    Args:
        ranking: of absent labels.
        weights: (N,) integers, how often each post counts.
    """
    weight = weights[ranking.rows].astype(np.int64)
    found, listed = np.cumsum(weight * ranking.is_missing), np.cumsum(weight)
    hits = np.flatnonzero(ranking.is_missing & (weight > 0))
    if not len(hits):
        return float("nan")
    last = ranking.last[hits]
    return float(np.sum(weight[hits] * found[last] / listed[last]) / found[-1])


def resampled(ranking: Ranking, counts: np.ndarray) -> np.ndarray:
    """Return the average precision of every resample, (R,).

    counts: (N, R) from `bootstrap.resample_counts`.
    """
    return np.array([average_precision(ranking, counts[:, one]) for one in range(counts.shape[1])])


def write_table(
    audits: Mapping[tuple[str, str, str], pathlib.Path], truths: Mapping[str, Any], path: Any
) -> None:
    """Write a CSV with a row an audit, and print it.

    Intervals are over posts, the same resamples for all audits of a world; the first audit of a world and
    noise is the base of the others.

    Args:
        audits: folders with folds/all, the predictions out of fold, and audit_scores.json, what
            ``audit_labels.py --truth --json`` printed, by world, noise and name of the audit.
        truths: truth.csv of every world.
        path: of the table.
    """
    bases: dict[tuple[str, str], tuple[str, float, np.ndarray]] = {}
    rows = []
    for (world, noise, name), folder in audits.items():
        dump = predictions.load(folder / "folds" / "all").require_labels()
        ranking = rank(dump, ground_truth.read(truths[world]))
        value = average_precision(ranking, np.ones(len(dump.labels), np.int64))
        values = resampled(ranking, bootstrap.resample_counts(len(dump.labels), RESAMPLES))
        cells: list[Any] = ["", "", "", ""]
        if (world, noise) in bases:
            base, base_value, base_values = bases[world, noise]
            cells = [base, *_rounded(value - base_value, *bootstrap.interval(values - base_values))]
        else:
            bases[world, noise] = name, value, values
        at = read_json(folder / "audit_scores.json")["truth"]
        figures = [*_rounded(value, *bootstrap.interval(values)), *cells]
        point = [at["findings"], *_rounded(at["precision"], at["recall"])]
        rows.append([world, noise, name, int(ranking.is_missing.sum()), *figures, *point])
    csv_tables.write_rows(path, TABLE, rows)
    for row in [TABLE, *rows]:
        print("  ".join(map(str, row)))


def _rounded(*values: float) -> list[float]:
    return [round(value, 4) for value in values]
