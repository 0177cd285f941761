"""Predictions of the same images side by side: each at its own P = R threshold, on the same resamples.

Several runs of one model, trained from several seeds, are one side: the mean of their scores. Its interval
says how sure that is for these runs on other images; how much seeds differ, the runs' own scores show.
"""

import dataclasses

import numpy as np

from Utils.evaluation import bootstrap, scores, thresholds

KINDS = ("micro_F1", "macro_F1")


@dataclasses.dataclass(frozen=True)
class Scored:
    """Scores of one model, or the means of several."""

    values: dict  # by KINDS
    resampled: dict  # by KINDS: (resamples,)

    def interval(self, kind):
        """Return the 95% interval of a score."""
        return bootstrap.interval(self.resampled[kind])


@dataclasses.dataclass(frozen=True)
class Side(Scored):
    """One model's scores at a threshold."""

    threshold: np.ndarray  # one, or one a tag
    counts: scores.Counts  # of every tag


def mean(sides):
    """Return the mean of several sides on the same resamples, as `Scored`."""
    values, resampled = (
        {kind: np.mean([getattr(side, name)[kind] for side in sides], axis=0) for kind in KINDS}
        for name in ("values", "resampled")
    )
    return Scored({kind: float(value) for kind, value in values.items()}, resampled)


def side(probabilities, labels, drawn):
    """Return the `Side` of probabilities (N, L); drawn: `Utils.evaluation.bootstrap.weights` of the N
    images."""
    cut = thresholds.p_equals_r(probabilities, int(scores.positives(labels).sum()))
    return side_at(probabilities, labels, drawn, cut.threshold)


def side_at(probabilities, labels, drawn, threshold):
    """Return the `Side` at a threshold, one or one a tag."""
    counts = scores.count(probabilities, labels, threshold)
    marks = bootstrap.confusion_marks(probabilities, labels, threshold)
    values = float(scores.f_beta(counts.total())), scores.macro_f1(counts)
    resampled = bootstrap.resampled_f1(marks, drawn)
    return Side(
        dict(zip(KINDS, values, strict=True)),
        dict(zip(KINDS, resampled, strict=True)),
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
    def distinguishable(self):
        """Whether the interval leaves 0 out."""
        return bool(self.low > 0 or self.high < 0)


def difference(first, second, kind):
    """Return the `Difference` second - first of a score of two sides on the same resamples."""
    many = second.resampled[kind] - first.resampled[kind]
    return Difference(second.values[kind] - first.values[kind], *bootstrap.interval(many))
