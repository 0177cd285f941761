"""Thresholds that fall with a tag's frequency, by two numbers for all tags.

A tagger knows frequent tags better, and with one threshold for all it hardly ever predicts rare ones. Here a
tag is predicted where its logit is above ``b + tau log(count)``, count: the posts that have the tag. This is
the logit adjustment of Menon et al. 2020 (arXiv:2007.07314, equation 9), whose classes have one threshold
after ``tau log(prior)`` is taken off; the rule chooses ``b``. tau = 0 is one threshold for all.

Unlike thresholds of single tags it has no number that few images decide.
"""

import dataclasses
from typing import Any

import numpy as np

from Utils.command.cli import UserError
from Utils.evaluation import chunked_matrix, scores, thresholds
from Utils.evaluation.alignment import MatrixView
from Utils.evaluation.chunked_matrix import Matrix
from Utils.evaluation.logits import logit, sigmoid
from Utils.evaluation.thresholds import Query, Rule

EXPONENTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5)  # that cross-validation tries
Half = tuple[MatrixView, MatrixView]  # probabilities and labels of some images
LOSS = 0.001  # of micro F1 that a better macro F1 may cost


class AdjustedLogits:
    """The logits of a matrix (N, L) less ``tau log(count)`` of their tag: a `Matrix` of float32.

    Args:
        probabilities: (N, L).
        counts: (L,) posts of each tag; none counts as one.
        exponent: tau.
    """

    def __init__(self, probabilities: Matrix, counts: np.ndarray, exponent: float) -> None:
        self.shape, self.ndim, self.dtype = probabilities.shape, 2, np.dtype(np.float32)
        self._probabilities, self._offsets = probabilities, offsets(counts, exponent)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        """Return these rows (a slice or indices)."""
        if isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        block = chunked_matrix.read_rows(self._probabilities, rows)
        chunked_matrix.refuse_nan(block)
        return (logit(block) - self._offsets).astype(np.float32)


def offsets(counts: np.ndarray, exponent: float) -> np.ndarray:
    """Return ``tau log(count)`` of every tag, float64 (L,); a tag without posts counts as one of one post."""
    return exponent * np.log(np.maximum(counts, 1))


@dataclasses.dataclass(frozen=True)
class FrequencyThresholds:
    """The thresholds of every tag, and the cross-validation that says how much they follow its frequency."""

    cutoffs: np.ndarray  # (L,) in the dtype of the probabilities
    exponent: float  # tau
    held_out_scores: dict[float, tuple[float, float]]  # micro and macro F1 by exponent; {} if it was given


def choose(
    probabilities: Matrix, labels: Matrix, rule: Rule, counts: np.ndarray, exponent: float | None = None
) -> FrequencyThresholds:
    """Choose thresholds that follow the tags' frequencies, and how much they do.

    By two-fold cross-validation over the images tau is, of EXPONENTS, the one with the best macro F1 whose
    micro F1 is at most LOSS below that of one threshold for all.

    Args:
        probabilities: (N, L).
        labels: (N, L).
        rule: what ``b`` maximizes or equalizes, over all tags together.
        counts: (L,) posts of each tag, for example of the training set.
        exponent: None finds it by cross-validation, in 2 * len(EXPONENTS) times the time.

    Raises UserError where that needs more images, as nothing is true in one half of them.
    """
    held_out = {}
    if exponent is None:
        halves = _halves(probabilities, labels)
        held_out = {tau: _held_out_scores(halves, rule, counts, tau) for tau in EXPONENTS}
        harmless = [tau for tau, (micro, _) in held_out.items() if micro >= held_out[0.0][0] - LOSS]
        exponent = max(harmless, key=lambda tau: held_out[tau][1])  # of equally good ones the smallest
    bias = _bias(probabilities, labels, rule, counts, exponent)
    cutoffs = sigmoid(bias + offsets(counts, exponent))
    return FrequencyThresholds(chunked_matrix.as_stored(cutoffs, probabilities.dtype), exponent, held_out)


def _halves(probabilities: Matrix, labels: Matrix) -> list[Half]:
    """Return probabilities and labels of every other image, and of those between them."""
    columns, rows = np.arange(probabilities.shape[1]), np.arange(len(probabilities))
    halves = [
        (MatrixView(probabilities, rows[first::2], columns), MatrixView(labels, rows[first::2], columns))
        for first in (0, 1)
    ]
    true = [int(scores.positives(half).sum()) if len(half) else 0 for _, half in halves]
    if not all(true):
        raise UserError(
            "the exponent is chosen on half of the images and judged on the others, so labels must be true "
            f"in both; {true[0]:,} and {true[1]:,} are, of {len(rows):,} images. Give more images, or the "
            "exponent itself: --exponent 0.3"
        )
    return halves


def _bias(probabilities: Matrix, labels: Matrix, rule: Rule, counts: np.ndarray, exponent: float) -> float:
    """Return the adjusted logit above which tags are predicted."""
    (point,) = thresholds.find(AdjustedLogits(probabilities, counts, exponent), labels, [Query(rule=rule)])
    return float(point.threshold)


def _held_out_scores(
    halves: list[Half], rule: Rule, counts: np.ndarray, exponent: float
) -> tuple[float, float]:
    """Return micro and macro F1 of all images, each half at the thresholds of the other."""
    parts = []
    for chooser, (held_out, labels) in zip(halves, halves[::-1], strict=True):
        bias = _bias(*chooser, rule, counts, exponent)
        adjusted = AdjustedLogits(held_out, counts, exponent)
        parts.append(dataclasses.astuple(scores.count(adjusted, labels, np.float32(bias))))
    together = scores.Counts(*(sum(part) for part in zip(*parts, strict=True)))
    return float(scores.f_beta(together.total())), scores.macro_f1(together)
