"""Ensembles: weighted means of several models' probabilities or logits, and the fit of the weights."""

from collections.abc import Sequence

import numpy as np

from Utils.command.cli import UserError
from Utils.evaluation.alignment import MatrixView
from Utils.evaluation.chunked_matrix import refuse_nan
from Utils.evaluation.logits import logit, sigmoid

MEANS = ("probabilities", "logits")
FITTED_VALUES = 2**22  # of each model, that weights are fitted on: evenly spaced images
STEPS = 20  # shares of a model that are tried: 0, 1/20 ... 1
ROUNDS = 4


def mean(models: Sequence[np.ndarray], weights: Sequence[float] | np.ndarray, kind: str) -> np.ndarray:
    """Return the weighted mean of the models' probabilities, float64 of their shape.

    Args:
        models: arrays of one shape.
        weights: of the models; they sum to 1.
        kind: "probabilities", or "logits": sigmoid of the mean of log(p / (1 - p)).
    """
    total = np.zeros(models[0].shape)
    for probabilities, weight in zip(models, weights, strict=True):
        if weight:
            total += weight * terms(probabilities, kind)
    return total if kind == "probabilities" else sigmoid(total)


def terms(probabilities: np.ndarray, kind: str) -> np.ndarray:
    """Return the values to average, float64 of the same shape: the probabilities, or their logits."""
    probabilities = np.asarray(probabilities, np.float64)
    refuse_nan(probabilities)
    return probabilities if kind == "probabilities" else logit(probabilities)


def normalize(weights: Sequence[float] | None, models: int) -> np.ndarray:
    """Return weights (models,) that sum to 1, equal ones for None; UserError if they cannot be weights."""
    array = np.ones(models) if weights is None else np.asarray(weights, np.float64)
    if len(array) != models:
        raise UserError(f"as many weights as dumps are needed, {models}; got {len(array)}")
    if not np.isfinite(array).all() or (array < 0).any() or not array.sum() > 0:
        raise UserError(f"weights are 0 or more, not all 0; got {' '.join(f'{w:g}' for w in array)}")
    return array / array.sum()


def fit(
    models: Sequence[np.ndarray | MatrixView], labels: np.ndarray | MatrixView, kind: str
) -> tuple[np.ndarray, float, float]:
    """Return ``(weights, F1 with them, F1 with equal ones)`` that make micro F1 at P = R highest.

    One model's share at a time is tried from 0 to 1 while the others keep their proportions, until no share
    is better: it ends, and never below equal weights. On evenly spaced images, FITTED_VALUES a model.

    Args:
        models: matrices (N, L) of probabilities.
        labels: (N, L).
        kind: of the mean.
    """
    step = max(1, -(-labels.shape[0] * labels.shape[1] // FITTED_VALUES))
    parts = [terms(probabilities[::step], kind).astype(np.float32) for probabilities in models]
    true = labels[::step] != 0
    best = normalize(None, len(parts))
    equal = score = _f1(parts, best, true)
    for _ in range(ROUNDS):
        score_before = score
        for model in range(len(parts)):
            for share in np.arange(STEPS + 1) / STEPS:
                candidate = _with_share(best, model, share)
                candidate_score = _f1(parts, candidate, true)
                if candidate_score > score:
                    best, score = candidate, candidate_score
        if score == score_before:
            break
    return best, score, equal


def _with_share(weights: np.ndarray, model: int, share: float) -> np.ndarray:
    """Return weights in which one model has this share and the others their proportions."""
    others = np.delete(weights, model)
    others = others / others.sum() if others.sum() else np.full(len(others), 1 / max(1, len(others)))
    return np.insert(others * (1 - share), model, share) if len(others) else np.ones(1)


def _f1(parts: Sequence[np.ndarray], weights: np.ndarray, true: np.ndarray) -> float:
    """Micro F1 of the ``true.sum()`` highest means: precision equals recall, and both equal F1.

    Means of logits are not made probabilities: their order is the same.
    """
    positives = int(np.count_nonzero(true))
    if not 0 < positives < true.size:
        return float(positives > 0)
    total = np.zeros((), np.float32)
    for part, weight in zip(parts, weights, strict=True):
        if weight:
            total = total + np.float32(weight) * part
    highest = np.argpartition(total.ravel(), true.size - positives)[true.size - positives :]
    return float(np.count_nonzero(true.ravel()[highest]) / positives)
