"""How well predictions rank absent labels: those that are missing by the true tags should come first.

An audit lists the top of that ranking, down to a threshold. Its precision at some recalls, and the average
precision, the area under the curve of both, need no threshold, so that audits of taggers that are sure to
different degrees can be compared.
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
RECALLS = (0.1, 0.2, 0.4, 0.5, 0.6, 0.8)
MEASURES = ("average precision", *(f"precision at recall {recall}" for recall in RECALLS))
OPERATING_POINT = ("findings", "precision", "recall")
TABLE = (
    "world", "missing", "audit", "measure", "value", "low", "high", "base", "difference", "difference_low",
    "difference_high",
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


def measure(ranking: Ranking, weights: np.ndarray) -> np.ndarray:
    """Return `MEASURES`: float64 (M,), NaN where nothing is missing.

    Labels with the same probability are listed together, as in scikit-learn's ``precision_recall_curve``.

    Args:
        ranking: of absent labels.
        weights: (N,) integers, how often each post counts.
    """
    weight = weights[ranking.rows].astype(np.int64)
    found, listed = np.cumsum(weight * ranking.is_missing), np.cumsum(weight)
    hits = np.flatnonzero(ranking.is_missing & (weight > 0))
    if not len(hits):
        return np.full(len(MEASURES), np.nan)
    reached = ranking.last[np.searchsorted(found, np.array(RECALLS) * found[-1] - 1e-6)]
    last = ranking.last[hits]
    average = np.sum(weight[hits] * found[last] / listed[last]) / found[-1]
    return np.array([average, *(found[reached] / listed[reached])])


def resampled(ranking: Ranking, counts: np.ndarray) -> np.ndarray:
    """Return `MEASURES` of every resample, (M, R).

    counts: (N, R) from `bootstrap.resample_counts`.
    """
    return np.stack([measure(ranking, counts[:, one]) for one in range(counts.shape[1])], axis=1)


def write_table(
    audits: Mapping[tuple[str, str, str], pathlib.Path], truths: Mapping[str, Any], path: Any
) -> None:
    """Write a CSV with a row for each measure of each audit, and print it.

    Intervals (95%) are over posts, the same resamples for all audits of a world; the first audit of a world
    and noise is the base of the others. The rows of OPERATING_POINT have none.

    Args:
        audits: folders with folds/all, the predictions out of fold, and audit_scores.json, what
            ``audit_labels.py --truth --json`` printed, by world, noise and name of the audit.
        truths: truth.csv of every world.
        path: of the table.
    """
    bases: dict[tuple[str, str], tuple[str, np.ndarray, np.ndarray]] = {}
    rows: list[list[Any]] = []
    for (world, noise, name), folder in audits.items():
        dump = predictions.load(folder / "folds" / "all").require_labels()
        ranking = rank(dump, ground_truth.read(truths[world]))
        values = measure(ranking, np.ones(len(dump.labels), np.int64))
        samples = resampled(ranking, bootstrap.resample_counts(len(dump.labels), RESAMPLES))
        base, base_values, base_samples = bases.setdefault((world, noise), (name, values, samples))
        for place, title in enumerate(MEASURES):
            cells: list[Any] = [name, title, *_rounded(values[place], samples[place]), "", "", "", ""]
            if name != base:
                change = values[place] - base_values[place]
                cells[-4:] = [base, *_rounded(change, samples[place] - base_samples[place])]
            rows.append([world, noise, *cells])
        at = read_json(folder / "audit_scores.json")["truth"]
        rows += [[world, noise, name, title, round(at[title], 4), *[""] * 6] for title in OPERATING_POINT]
    csv_tables.write_rows(path, TABLE, rows)
    for row in [TABLE, *rows]:
        print("  ".join(map(str, row)))


def _rounded(value: float, samples: np.ndarray) -> list[float]:
    """Return a value and its interval."""
    return [round(float(number), 4) for number in (value, *bootstrap.interval(samples))]
