"""Paired bootstrap: models compared on the same resamples of images, each at its own P = R threshold.

Several runs of one model, trained from several seeds, are compared by the mean of their scores. Its interval
says how sure that is for these runs on other images; how much seeds differ, the runs' own scores show.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from Utils.evaluation import bootstrap, scores, thresholds
from Utils.evaluation.chunked_matrix import Matrix

METRICS = ("micro_F1", "macro_F1")


@dataclasses.dataclass(frozen=True)
class ResampledScores:
    """Scores of one model, or the means of several."""

    values: dict[str, float]  # by METRICS
    resampled: dict[str, np.ndarray]  # by METRICS: (resamples,)

    def interval(self, metric: str) -> tuple[float, float]:
        """Return the 95% interval of a score."""
        return bootstrap.interval(self.resampled[metric])


@dataclasses.dataclass(frozen=True)
class ModelScores(ResampledScores):
    """One model's scores at a threshold."""

    threshold: Any  # one, or one a tag
    counts: scores.Counts  # of every tag


def mean(models: Sequence[ResampledScores]) -> ResampledScores:
    """Return the mean of several models' scores on the same resamples."""
    return ResampledScores(
        {metric: float(np.mean([model.values[metric] for model in models])) for metric in METRICS},
        {metric: np.mean([model.resampled[metric] for model in models], axis=0) for metric in METRICS},
    )


def score(probabilities: Matrix, labels: Matrix, resamples: np.ndarray) -> ModelScores:
    """Return the scores of probabilities (N, L) at their own P = R threshold.

    resamples: (N, R) from `Utils.evaluation.bootstrap.resample_counts`.
    """
    point = thresholds.p_equals_r(probabilities, int(scores.positives(labels).sum()))
    return score_at(probabilities, labels, resamples, point.threshold)


def score_at(probabilities: Matrix, labels: Matrix, resamples: np.ndarray, threshold: Any) -> ModelScores:
    """Return the scores at a threshold, one or one a tag; see `score`."""
    counts = scores.count(probabilities, labels, threshold)
    confusion = bootstrap.confusion_columns(probabilities, labels, threshold)
    values = float(scores.f_beta(counts.total())), scores.macro_f1(counts)
    resampled = bootstrap.resampled_f1(confusion, resamples)
    return ModelScores(
        dict(zip(METRICS, values, strict=True)),
        dict(zip(METRICS, resampled, strict=True)),
        threshold,
        counts,
    )


@dataclasses.dataclass(frozen=True)
class Difference:
    """By how much the second of two is better, and the 95% interval of that."""

    value: float
    low: float
    high: float

    @property
    def distinguishable(self) -> bool:
        """Whether the interval leaves 0 out."""
        return bool(self.low > 0 or self.high < 0)


def difference(first: ResampledScores, second: ResampledScores, metric: str) -> Difference:
    """Return the `Difference` second - first of a score of two models on the same resamples."""
    resampled = second.resampled[metric] - first.resampled[metric]
    return Difference(second.values[metric] - first.values[metric], *bootstrap.interval(resampled))
