"""How near a format is to the Keras model: differences of probabilities, and what they do to tags."""

import dataclasses

import numpy as np

from Utils.evaluation import scores, thresholds

EXACT = 1e-4  # largest difference of a format that computes the same in float32
SAME_ROWS = 2e-5  # of one file at different batch sizes


@dataclasses.dataclass(frozen=True)
class Agreement:
    """A format against the Keras model, on the same images and tags."""

    name: str
    maximum: float  # of the absolute differences of probabilities
    p999: float  # their 99.9th percentile
    same_tags: float  # F1 of the tags predicted by one against the other
    f1: float | None  # against labels, where there are any
    f1_difference: float | None  # the format's F1 less the Keras model's


def gap(probabilities):
    """Return a threshold that rounding cannot reach: in the middle of a wide gap with many on both sides.

    The gap whose width times the smaller number beside it is largest; ``probabilities`` of any shape.
    """
    values = np.sort(np.asarray(probabilities, "float64").ravel())
    if len(values) < 2:
        return 0.5
    below = np.arange(1, len(values))
    place = int(np.argmax(np.diff(values) * np.minimum(below, len(values) - below)))
    return float(values[place] + values[place + 1]) / 2


def compare(name, expected, found, labels=None):
    """Return the `Agreement` of probabilities (N, L) with those of the Keras model.

    ``labels`` (N, L) are 0, 1, or -1 all along a column of which nothing is known.
    """
    apart = np.abs(np.asarray(found, "float64") - np.asarray(expected, "float64"))
    pair = [np.nan_to_num(np.asarray(values, "float32")) for values in (expected, found)]
    threshold = gap(pair[0])
    same = scores.f_beta(scores.count(pair[1], pair[0] > threshold, threshold).total())
    same = 1.0 if np.isnan(same) else float(same)
    f1 = difference = None
    if labels is not None:
        known = labels[0] >= 0
        right, f1 = _scores([values[:, known] for values in pair], labels[:, known])
        difference = f1 - right
    return Agreement(name, float(apart.max()), float(np.quantile(apart, 0.999)), same, f1, difference)


def _scores(pair, labels):
    """Return the F1 of two models at the threshold where the first one's precision equals its recall.

    The threshold lies in the middle between two of the first one's probabilities: at one of them the last bit
    of the second's would decide.
    """
    cut = thresholds.p_equals_r(pair[0], int(scores.positives(labels).sum())).threshold
    above = pair[0][pair[0] > cut]
    cut = (float(cut) + float(above.min())) / 2 if above.size else cut
    return [float(scores.f_beta(scores.count(values, labels, cut).total())) for values in pair]
