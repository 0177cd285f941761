"""Models compared on the same images, each at its own P = R threshold, with intervals over images.

Micro F1 is compared on the same resamples of the bootstrap, macro F1 by leaving out the same images one by
one (see `jackknife` for the reason): what is hard for one is so for the other.

Several runs of one model, trained from several seeds, are compared by the mean of their scores. Its interval
says how sure that is for these runs on other images; how much seeds differ, the runs' own scores show.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from Utils.evaluation import bootstrap, jackknife, scores, thresholds
from Utils.evaluation.chunked_matrix import Matrix

METRICS = ("micro_F1", "macro_F1")


@dataclasses.dataclass(frozen=True)
class ResampledScores:
    """Scores of one model, or the means of several."""

    values: dict[str, float]  # by METRICS
    resampled: np.ndarray  # (resamples,) micro F1
    without: np.ndarray  # (images,) macro F1 without each image

    def interval(self, metric: str) -> tuple[float, float]:
        """Return the 95% interval of a score."""
        if metric == "micro_F1":
            return bootstrap.interval(self.resampled)
        return jackknife.interval_of_score(self.values[metric], self.without)


@dataclasses.dataclass(frozen=True)
class ModelScores(ResampledScores):
    """One model's scores at a threshold."""

    threshold: Any  # one, or one a tag
    counts: scores.Counts  # of every tag


def mean(models: Sequence[ResampledScores]) -> ResampledScores:
    """Return the mean of several models' scores on the same resamples."""
    return ResampledScores(
        {metric: float(np.mean([model.values[metric] for model in models])) for metric in METRICS},
        np.mean([model.resampled for model in models], axis=0),
        np.mean([model.without for model in models], axis=0),
    )


def score(probabilities: Matrix, labels: Matrix, resamples: np.ndarray) -> ModelScores:
    """Return the scores of probabilities (N, L) at their own P = R threshold.

    resamples: (N, R) from `Utils.evaluation.bootstrap.resample_counts`.
    """
    return score_at(probabilities, labels, resamples, _threshold_at_equality(probabilities, labels))


def counts_at_equality(probabilities: Matrix, labels: Matrix) -> tuple[np.floating, scores.Counts]:
    """Return the P = R threshold of probabilities (N, L), and the counts of every tag there."""
    threshold = _threshold_at_equality(probabilities, labels)
    return threshold, scores.count(probabilities, labels, threshold)


def _threshold_at_equality(probabilities: Matrix, labels: Matrix) -> np.floating:
    return thresholds.p_equals_r(probabilities, int(scores.positives(labels).sum())).threshold


def score_at(probabilities: Matrix, labels: Matrix, resamples: np.ndarray, threshold: Any) -> ModelScores:
    """Return the scores at a threshold, one or one a tag; see `score`."""
    counts = scores.count(probabilities, labels, threshold)
    confusion = bootstrap.confusion_columns(probabilities, labels, threshold)
    values = float(scores.f_beta(counts.total())), scores.macro_f1(counts)
    return ModelScores(
        dict(zip(METRICS, values, strict=True)),
        bootstrap.resampled_f1(confusion, resamples),
        jackknife.macro_f1_without_each_image(confusion, len(resamples)),
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
    value = second.values[metric] - first.values[metric]
    if metric == "micro_F1":
        return Difference(value, *bootstrap.interval(second.resampled - first.resampled))
    return Difference(value, *jackknife.interval(value, second.without - first.without))
