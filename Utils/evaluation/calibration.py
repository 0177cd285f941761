"""Calibration of probabilities: reliability bins, expected calibration error, a fitted temperature.

Guo et al., On Calibration of Modern Neural Networks, 2017, arXiv:1706.04599; every pair of image and tag is
one binary prediction here.
"""

import dataclasses

import numpy as np

from Utils.evaluation import chunked_matrix
from Utils.evaluation.chunked_matrix import Matrix
from Utils.evaluation.logits import SMALLEST

BINS = 20
LOGIT_STEP, LOGIT_END = 0.02, 16.2  # the histogram of logits that the temperature is fitted on
STEEPEST = 100.0  # 1 / temperature lies between 1 / STEEPEST and STEEPEST


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Predictions in bins of equal width over the probability."""

    count: np.ndarray  # (BINS,) int64 predictions
    probability_sum: np.ndarray  # (BINS,)
    true: np.ndarray  # (BINS,) int64: how many of them are true

    def expected_calibration_error(self, first_bin: int = 0) -> float:
        """Return the sum over the bins from ``first_bin`` of |true - sum of p|, per prediction.

        Nearly all tags of an image are rightly predicted near 0, so that the first bin hides the others.
        """
        gap = np.abs(self.true - self.probability_sum)[first_bin:].sum()
        total = self.count[first_bin:].sum()
        return float(gap / total) if total else float("nan")

    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Return mean probability (K,) and share of true ones (K,) of the K bins that are not empty."""
        filled = self.count > 0
        return self.probability_sum[filled] / self.count[filled], self.true[filled] / self.count[filled]


@dataclasses.dataclass(frozen=True)
class Temperature:
    """The number by which logits are divided so that the cross entropy is least, and what that does.

    NaN if no temperature is best, for example if nothing is wrong.
    """

    value: float
    loss_before: float  # binary cross entropy a prediction, nats
    loss_after: float


def calibrate(probabilities: Matrix, labels: Matrix) -> tuple[Reliability, Temperature]:
    """Return the `Reliability` and the fitted `Temperature` of probabilities (N, L), in one pass.

    The temperature is fitted on the very predictions given: with one number that hardly flatters it.
    """
    count, true = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    probability_sum = np.zeros(BINS)
    logits = np.zeros((2, _logit_bins()), np.int64)
    for block, label_block in chunked_matrix.row_blocks(probabilities, labels):
        chunked_matrix.refuse_nan(block)
        values, label = block.astype(np.float32).ravel(), (label_block != 0).ravel()
        bins = np.clip((values * BINS).astype(np.intp), 0, BINS - 1)
        count += np.bincount(bins, minlength=BINS)
        probability_sum += np.bincount(bins, values, BINS)
        true += np.bincount(bins[label], minlength=BINS)
        logits += _logit_histogram(values, label)
    return Reliability(count, probability_sum, true), fit_temperature(logits)


def _logit_bins() -> int:
    return int(2 * LOGIT_END / LOGIT_STEP) + 1


def _logit_histogram(values: np.ndarray, label: np.ndarray) -> np.ndarray:
    values = np.clip(values, np.float32(SMALLEST), np.float32(1 - SMALLEST))
    bins = ((np.log(values) - np.log1p(-values) + LOGIT_END) / LOGIT_STEP).astype(np.intp)
    bins = np.clip(bins, 0, _logit_bins() - 1)
    true = np.bincount(bins[label], minlength=_logit_bins())
    return np.stack([np.bincount(bins, minlength=_logit_bins()) - true, true])


def fit_temperature(logits: np.ndarray) -> Temperature:
    """Return the `Temperature` of a histogram of logits, false and true labels apart: (2, bins).

    The cross entropy of sigmoid(a z) is convex in a = 1 / T, so that its slope, the sum of
    z (sigmoid(a z) - y), changes sign once: it is bisected.
    """
    z = (np.arange(logits.shape[1]) + 0.5) * LOGIT_STEP - LOGIT_END
    low, high = 1 / STEEPEST, STEEPEST
    before = _loss(logits, z, 1.0)
    if not (_slope(logits, z, low) < 0 < _slope(logits, z, high)):
        return Temperature(float("nan"), before, before)
    for _ in range(60):  # halvings of the logarithm: until no float lies between
        middle = (low * high) ** 0.5
        low, high = (middle, high) if _slope(logits, z, middle) < 0 else (low, middle)
    return Temperature(float(1 / low), before, _loss(logits, z, low))


def _slope(logits: np.ndarray, z: np.ndarray, steepness: float) -> float:
    probability = 0.5 * (1 + np.tanh(steepness * z / 2))  # a sigmoid that does not overflow
    return float((z * (probability * logits.sum(axis=0) - logits[1])).sum())


def _loss(logits: np.ndarray, z: np.ndarray, steepness: float) -> float:
    """Return the binary cross entropy a prediction, in nats."""
    total = logits[0] * np.logaddexp(0, steepness * z) + logits[1] * np.logaddexp(0, -steepness * z)
    return float(total.sum() / max(1, logits.sum()))
