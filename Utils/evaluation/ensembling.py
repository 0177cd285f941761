"""Several models' probabilities as one: means of probabilities or logits, and the weights of the models."""

import numpy as np

from Utils.command.cli import UserError

MEANS = ("probabilities", "logits")
SMALLEST = 1e-7  # probabilities are kept this far from 0 and 1, where logits are infinite
FITTED_VALUES = 2**22  # of each model, that weights are fitted on: evenly spaced images
STEPS = 20  # shares of a model that are tried: 0, 1/20 ... 1
ROUNDS = 4


def mean(parts, weights, kind):
    """Return the weighted mean of probabilities, float64 of the parts' shape; weights sum to 1.

    kind: "probabilities", or "logits": sigmoid of the mean of log(p / (1 - p)).
    """
    total = np.zeros(parts[0].shape)
    for part, weight in zip(parts, weights, strict=True):
        if weight:
            total += weight * terms(part, kind)
    return total if kind == "probabilities" else 1 / (1 + np.exp(-total))


def terms(part, kind):
    """Return what is averaged: the probabilities in float64, or their logits."""
    part = np.asarray(part, np.float64)
    if np.isnan(part).any():
        raise UserError("the probabilities hold NaN; every one must be a number")
    if kind == "probabilities":
        return part
    part = np.clip(part, SMALLEST, 1 - SMALLEST)
    return np.log(part) - np.log1p(-part)


def normalized(weights, models):
    """Return weights that sum to 1; equal ones for None. UserError where they cannot be weights."""
    weights = np.ones(models) if weights is None else np.asarray(weights, np.float64)
    if len(weights) != models:
        raise UserError(f"as many weights as dumps are needed, {models}; got {len(weights)}")
    if not np.isfinite(weights).all() or (weights < 0).any() or not weights.sum() > 0:
        raise UserError(f"weights are 0 or more, not all 0; got {' '.join(f'{w:g}' for w in weights)}")
    return weights / weights.sum()


def fit(views, labels, kind):
    """Return ``(weights, F1 with them, F1 with equal ones)`` that make micro F1 at P = R highest.

    One model's share at a time is tried from 0 to 1 while the others keep their proportions, until no share
    is better: it ends, and never below equal weights. On evenly spaced images, FITTED_VALUES a model.

    Args:
        views: matrices (N, L) of probabilities, one a model; labels (N, L).
    """
    step = max(1, -(-labels.shape[0] * labels.shape[1] // FITTED_VALUES))
    parts = [terms(view[::step], kind).astype(np.float32) for view in views]
    true = labels[::step] != 0
    best = normalized(None, len(parts))
    equal = score = _f1(parts, best, true)
    for _ in range(ROUNDS):
        before = score
        for model in range(len(parts)):
            for share in np.arange(STEPS + 1) / STEPS:
                tried = _with_share(best, model, share)
                found = _f1(parts, tried, true)
                if found > score:
                    best, score = tried, found
        if score == before:
            break
    return best, score, equal


def _with_share(weights, model, share):
    """Return weights in which one model has this share and the others their proportions."""
    others = np.delete(weights, model)
    others = others / others.sum() if others.sum() else np.full(len(others), 1 / max(1, len(others)))
    return np.insert(others * (1 - share), model, share) if len(others) else np.ones(1)


def _f1(parts, weights, true):
    """Micro F1 of the ``true.sum()`` highest means: precision equals recall, and both equal F1."""
    wanted = int(np.count_nonzero(true))
    if not 0 < wanted < true.size:
        return float(wanted > 0)
    total = sum(np.float32(weight) * part for part, weight in zip(parts, weights, strict=True) if weight)
    highest = np.argpartition(total.ravel(), true.size - wanted)[true.size - wanted :]
    return float(np.count_nonzero(true.ravel()[highest]) / wanted)
