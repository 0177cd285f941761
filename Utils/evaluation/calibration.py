"""Whether probabilities mean what they say: reliability, expected calibration error, a fitted temperature.

Guo et al., On Calibration of Modern Neural Networks, 2017, arXiv:1706.04599; every pair of image and tag is
one binary prediction here.
"""

import dataclasses

import numpy as np

from Utils.evaluation import chunked_matrix

BINS = 20
LOGIT_STEP, LOGIT_END = 0.02, 16.2  # the histogram of logits that the temperature is fitted on
SMALLEST = 1e-7  # probabilities are kept this far from 0 and 1, so that their logits are finite
STEEPEST = 100.0  # 1 / temperature lies between 1 / STEEPEST and STEEPEST


@dataclasses.dataclass(frozen=True)
class Reliability:
    """Bins of equal width over the probability, each with how many, their sum, and how many are true."""

    count: np.ndarray  # (BINS,) int64
    said: np.ndarray  # (BINS,) sum of the probabilities
    true: np.ndarray  # (BINS,) int64

    def error(self, first=0):
        """Expected calibration error: |true - said| summed over the bins from ``first``, per prediction."""
        gap = np.abs(self.true - self.said)[first:].sum()
        total = self.count[first:].sum()
        return float(gap / total) if total else float("nan")

    def points(self):
        """Return mean probability and share of true ones of every bin that has any: two arrays."""
        kept = self.count > 0
        return self.said[kept] / self.count[kept], self.true[kept] / self.count[kept]


@dataclasses.dataclass(frozen=True)
class Temperature:
    """What logits are divided by so that the cross entropy is least, and what that does.

    NaN where no temperature is best, such as where nothing is wrong.
    """

    value: float
    loss_before: float  # binary cross entropy a prediction, nats
    loss_after: float


def measure(probabilities, labels):
    """Return the `Reliability` and the fitted `Temperature` of probabilities (N, L), in one pass.

    The temperature is fitted on the very predictions given: with one number that hardly flatters it.
    """
    count, true = np.zeros(BINS, np.int64), np.zeros(BINS, np.int64)
    said = np.zeros(BINS)
    logits = np.zeros((2, _logit_bins()), np.int64)
    for block, label_block in chunked_matrix.blocks(probabilities, labels):
        chunked_matrix.require_numbers(block)
        values, label = block.astype(np.float32).ravel(), (label_block != 0).ravel()
        place = np.clip((values * BINS).astype(np.intp), 0, BINS - 1)
        count += np.bincount(place, minlength=BINS)
        said += np.bincount(place, values, BINS)
        true += np.bincount(place[label], minlength=BINS)
        logits += _logit_histogram(values, label)
    return Reliability(count, said, true), fitted_temperature(logits)


def _logit_bins():
    return int(2 * LOGIT_END / LOGIT_STEP) + 1


def _logit_histogram(values, label):
    values = np.clip(values, np.float32(SMALLEST), np.float32(1 - SMALLEST))
    place = ((np.log(values) - np.log1p(-values) + LOGIT_END) / LOGIT_STEP).astype(np.intp)
    place = np.clip(place, 0, _logit_bins() - 1)
    true = np.bincount(place[label], minlength=_logit_bins())
    return np.stack([np.bincount(place, minlength=_logit_bins()) - true, true])


def fitted_temperature(logits):
    """Return the `Temperature` of a histogram of logits, false and true labels apart: (2, bins).

    The cross entropy of sigmoid(a z) is convex in a = 1 / T, so that its slope, the sum of
    z (sigmoid(a z) - y), changes sign once: it is bisected.
    """
    z = (np.arange(logits.shape[1]) + 0.5) * LOGIT_STEP - LOGIT_END
    low, high = 1 / STEEPEST, STEEPEST
    before = _loss(logits, z, 1.0)
    if not (_slope(logits, z, low) < 0 < _slope(logits, z, high)):
        return Temperature(float("nan"), before, before)
    for _ in range(60):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if _slope(logits, z, middle) < 0 else (low, middle)
    return Temperature(float(1 / low), before, _loss(logits, z, low))


def _slope(logits, z, steepness):
    said = 0.5 * (1 + np.tanh(steepness * z / 2))
    return float((z * (said * logits.sum(axis=0) - logits[1])).sum())


def _loss(logits, z, steepness):
    wrong = logits[0] * np.logaddexp(0, steepness * z) + logits[1] * np.logaddexp(0, -steepness * z)
    return float(wrong.sum() / max(1, logits.sum()))
