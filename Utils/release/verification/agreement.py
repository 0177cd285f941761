"""Agreement of a format with the Keras model: differences of probabilities, and of the tags they give."""

import dataclasses

import numpy as np

from Utils.evaluation import scores, thresholds

SAME = 1e-4  # largest difference of a format that computes the same in float32
SAME_ROWS = 2e-5  # of one file at different batch sizes


@dataclasses.dataclass(frozen=True)
class Agreement:
    """A format against the Keras model, on the same images and tags."""

    name: str
    maximum: float  # of the absolute differences of probabilities
    p999: float  # their 99.9th percentile
    same_tags: float  # F1 of the tags predicted by one against those of the other
    f1: float | None  # against labels, where there are any
    f1_difference: float | None  # the format's F1 less the Keras model's


def threshold_in_gap(probabilities: np.ndarray) -> float:
    """Return a threshold that rounding cannot reach, in the middle of a wide gap with many values around it.

    It is the gap with the largest product of its width and the smaller number of values beside it;
    ``probabilities`` may have any shape.
    """
    values = np.sort(np.asarray(probabilities, "float64").ravel())
    if len(values) < 2:
        return 0.5
    below = np.arange(1, len(values))
    place = int(np.argmax(np.diff(values) * np.minimum(below, len(values) - below)))
    return float(values[place] + values[place + 1]) / 2


def compare(
    name: str, expected: np.ndarray, probabilities: np.ndarray, labels: np.ndarray | None = None
) -> Agreement:
    """Return the `Agreement` of a format's probabilities (N, L) with those of the Keras model.

    ``labels`` (N, L) are 0 or 1, or -1 in the whole column of a tag that nobody labeled.
    """
    differences = np.abs(np.asarray(probabilities, "float64") - np.asarray(expected, "float64"))
    right, values = (np.nan_to_num(np.asarray(array, "float32")) for array in (expected, probabilities))
    threshold = threshold_in_gap(right)
    same_tags = float(scores.f_beta(scores.count(values, right > threshold, threshold).total()))
    f1 = f1_difference = None
    if labels is not None:
        labeled = labels[0] >= 0
        right_f1, f1 = _f1_of_both(right[:, labeled], values[:, labeled], labels[:, labeled])
        f1_difference = f1 - right_f1
    return Agreement(
        name,
        float(differences.max()),
        float(np.quantile(differences, 0.999)),
        1.0 if np.isnan(same_tags) else same_tags,
        f1,
        f1_difference,
    )


def _f1_of_both(right: np.ndarray, values: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Return the F1 of two models at the threshold where the first one's precision equals its recall.

    The threshold lies in the middle between two of the first one's probabilities: at one of them the last bit
    of the second's would decide.
    """
    threshold = thresholds.p_equals_r(right, int(scores.positives(labels).sum())).threshold
    above = right[right > threshold]
    threshold = (float(threshold) + float(above.min())) / 2 if above.size else threshold
    first, second = (
        float(scores.f_beta(scores.count(array, labels, threshold).total())) for array in (right, values)
    )
    return first, second
