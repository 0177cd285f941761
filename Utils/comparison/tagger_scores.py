"""Scores of one tagger on the shared tags, and the differences between two, with intervals over the posts.

Micro and macro F1 at the threshold at which the tagger's precision equals its recall, and at the thresholds
that it was published with; macro average precision; all by category and by frequency; calibration. Micro F1
has intervals by the bootstrap, the same resamples for all taggers; macro scores by the jackknife (see
`Utils.evaluation.jackknife` for the reason).
"""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from Utils.evaluation import average_precision, calibration, jackknife, paired_bootstrap, scores
from Utils.evaluation.alignment import MatrixView
from Utils.evaluation.paired_bootstrap import Difference, ModelScores
from Utils.tags import tag_categories

METRICS = ("micro_F1", "macro_F1", "macro_AP")
# Bands of the number of judged posts on which a tag is true: from here to the next, without it.
FREQUENCIES: tuple[int, ...] = (1, 10, 100, 1000)


@dataclasses.dataclass(frozen=True)
class PartScores:
    """Scores of some of the tags: a category, or a band of frequency."""

    name: str
    tags: int  # that are true at least once
    positives: int
    threshold: float
    micro_f1: float
    macro_f1: float
    macro_ap: float


@dataclasses.dataclass(frozen=True)
class TaggerScores:
    """The scores of a tagger on N posts and K tags."""

    at_equality: ModelScores  # where precision equals recall
    published: ModelScores
    published_source: str | None  # where those thresholds are from; None: they are the defaults
    precisions: np.ndarray  # (K,) average precision of every tag, NaN where it is never true
    without: np.ndarray  # (N,) their mean without each post
    micro_ap: float
    reliability: calibration.Reliability
    temperature: calibration.Temperature
    categories: list[PartScores]  # each where its own precision equals its recall
    frequencies: list[PartScores]  # all at the one threshold of all tags
    histogram: np.ndarray  # (2, 65536) of `Utils.evaluation.scores.histograms`

    @property
    def macro_ap(self) -> float:
        """The mean of the average precisions."""
        return _mean(self.precisions)

    def value(self, metric: str) -> float:
        """Return a score of METRICS, where precision equals recall."""
        return self.macro_ap if metric == "macro_AP" else self.at_equality.values[metric]

    def interval(self, metric: str) -> tuple[float, float]:
        """Return the 95% interval of a score of METRICS."""
        if metric == "macro_AP":
            return jackknife.interval_of_score(self.macro_ap, self.without)
        return self.at_equality.interval(metric)

    def f1_of_tags(self) -> np.ndarray:
        """Return F1 of every tag where precision equals recall: (K,), NaN where it is never true."""
        counts = self.at_equality.counts
        return np.where(counts.positives > 0, scores.f_beta(counts), np.nan)


def _mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def score(
    probabilities: MatrixView,
    labels: np.ndarray,
    tags: pd.DataFrame,
    published: tuple[np.ndarray, str | None],
    resamples: np.ndarray,
) -> TaggerScores:
    """Return the `TaggerScores` of a tagger.

    Args:
        probabilities: (N, K).
        labels: (N, K), 0 or 1.
        tags: K rows of a tag list.
        published: ``(thresholds (K,), where they are from)``; None: they are the defaults.
        resamples: (N, R) from `Utils.evaluation.bootstrap.resample_counts`.
    """
    at_equality = paired_bootstrap.score(probabilities, labels, resamples)
    precisions, without = jackknife.macro_ap_without_each_image(probabilities, labels)
    reliability, temperature = calibration.calibrate(probabilities, labels)
    return TaggerScores(
        at_equality,
        paired_bootstrap.score_at(probabilities, labels, resamples, published[0]),
        published[1],
        precisions,
        without,
        average_precision.average_precision(probabilities, labels),
        reliability,
        temperature,
        _by_category(probabilities, labels, tags, precisions),
        _by_frequency(at_equality, precisions),
        scores.histograms(probabilities, labels),
    )


def _by_category(
    probabilities: MatrixView, labels: np.ndarray, tags: pd.DataFrame, precisions: np.ndarray
) -> list[PartScores]:
    names, parts = tag_categories.names_of(tags), []
    codes = tags["category"].to_numpy()
    for code in dict.fromkeys(codes.tolist()):
        columns = np.flatnonzero(codes == code)
        view, true = probabilities.select_columns(columns), labels[:, columns]
        threshold, counts = paired_bootstrap.counts_at_equality(view, true)
        name = tag_categories.name_of(code, names)
        parts.append(_part(name, counts, float(threshold), precisions[columns]))
    return parts


def _by_frequency(at_equality: ModelScores, precisions: np.ndarray) -> list[PartScores]:
    counts, parts = at_equality.counts, []
    for name, columns in frequency_bands(np.asarray(counts.positives)):
        part = _part(name, counts.select(columns), float(at_equality.threshold), precisions[columns])
        parts.append(part)
    return parts


def frequency_bands(positives: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield ``(name, columns)`` of the bands of FREQUENCIES that some tag lies in; positives: (K,)."""
    for low, high in zip(FREQUENCIES, (*FREQUENCIES[1:], None), strict=True):
        columns = np.flatnonzero((positives >= low) & (positives < (high or np.inf)))
        if len(columns):
            yield f"{low:,} to {high - 1:,} posts" if high else f"{low:,} posts and more", columns


def _part(name: str, counts: scores.Counts, threshold: float, precisions: np.ndarray) -> PartScores:
    positives = np.asarray(counts.positives)
    micro = float(scores.f_beta(counts.total()))
    num_tags, num_positives = int((positives > 0).sum()), int(positives.sum())
    return PartScores(
        name, num_tags, num_positives, threshold, micro, scores.macro_f1(counts), _mean(precisions)
    )


def difference(first: TaggerScores, second: TaggerScores, metric: str) -> Difference:
    """Return the `Difference` second - first of a score of METRICS, on the same posts."""
    if metric != "macro_AP":
        return paired_bootstrap.difference(first.at_equality, second.at_equality, metric)
    value = second.macro_ap - first.macro_ap
    return Difference(value, *jackknife.interval(value, second.without - first.without))


def ranking(scored: Mapping[str, TaggerScores]) -> list[str]:
    """Return the names of taggers by falling macro AP, which depends on no threshold; NaN last."""

    def order(name: str) -> tuple[bool, float]:
        value: Any = scored[name].macro_ap
        return bool(np.isnan(value)), -value

    return sorted(scored, key=order)
