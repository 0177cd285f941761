"""Where a fresh classifier starts: tag by tag, the constant logit that the training loss cannot improve on.

A classifier that starts at probability 0.5 spends its first epochs learning that tags are rare; RetinaNet
(arXiv:1708.02002, section 4.1) starts all classes at one small prior. Here each tag starts where the expected
gradient of the loss is 0 for an image that says nothing, at the frequency of the tag. For binary
cross-entropy that is the log-odds. Focal and asymmetric losses weigh positives and negatives differently,
which moves the point: focal loss with alpha 0.25 and gamma 2 has it at probability 0.108 for a frequency of
0.01.
"""

from typing import Any

import numpy as np

from Utils.recipe.recipe import Recipe
from Utils.training import console, devices, losses
from Utils.training.tensors import Tensor, ops

# Logits at which gradients are taken. In float32 a sigmoid of 24 differs from 1 no more.
LIMIT, STEP = 24.0, 0.01
BLOCK = 512  # tags at a time: 20 MB


def logits(loss: Any, frequencies: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the best constant logit of each tag, and which tags have the log-odds because there is none.

    The expected gradient ``f g(1, x) + (1 - f) g(0, x)`` of a term of the loss is integrated over logits x;
    of its zeros that with the lowest integral counts. This is the minimum of the expected loss, if the
    gradient is that of the loss: the official ASL takes a factor of itself as a constant. Label smoothing is
    part of the loss. MixUp does not move the point of cross-entropy; that it moves others is left out.

    Args:
        loss: of ``Utils.training.losses``, without weights of tags: they do not move a tag's point.
        frequencies: (num_labels,) share of the images that have each tag, above 0 and below 1.

    Returns:
        (num_labels,) float32 and (num_labels,) bool. There is no best logit where the loss goes on falling
        beyond ``LIMIT``, for a loss in which the terms of the tags depend on one another, and for one whose
        gradient is not finite everywhere.
    """
    frequencies = np.asarray(frequencies, np.float64)
    log_odds = np.log(frequencies) - np.log1p(-frequencies)
    if not _is_sum_over_tags(loss):
        return log_odds.astype(np.float32), np.ones(len(log_odds), bool)
    grid = np.arange(-LIMIT, LIMIT + STEP / 2, STEP)
    gradients = np.stack([_gradient(loss, label, grid) for label in (0.0, 1.0)])  # (2, points)
    if not np.isfinite(gradients).all():
        return log_odds.astype(np.float32), np.ones(len(log_odds), bool)
    trapezoids = (gradients[:, 1:] + gradients[:, :-1]) * (STEP / 2)
    integrals = np.concatenate([np.zeros((2, 1)), np.cumsum(trapezoids, axis=1)], axis=1)
    blocks = [frequencies[start : start + BLOCK] for start in range(0, len(frequencies), BLOCK)]
    best = np.concatenate([_lowest_zeros(grid, gradients, integrals, block) for block in blocks])
    has_none = np.isnan(best)
    return np.where(has_none, log_odds, best).astype(np.float32), has_none


def _lowest_zeros(
    grid: np.ndarray, gradients: np.ndarray, integrals: np.ndarray, frequencies: np.ndarray
) -> np.ndarray:
    """Return the logit of the lowest expected loss of each tag, NaN if that is an end of the grid."""
    shares = np.stack([1.0 - frequencies, frequencies], axis=1)  # (tags, 2)
    lowest = np.argmin(shares @ integrals, axis=1)
    is_end = (lowest == 0) | (lowest == len(grid) - 1)
    slopes, tags = shares @ gradients, np.arange(len(frequencies))
    lowest = np.clip(lowest, 1, len(grid) - 2)
    # The zero lies between the lowest point of the grid and the neighbor towards which the loss falls.
    left = np.where(slopes[tags, lowest] > 0, lowest - 1, lowest)
    before, after = slopes[tags, left], slopes[tags, left + 1]
    rise = after - before
    place = np.clip(np.divide(-before, rise, out=np.zeros_like(rise), where=rise > 0), 0.0, 1.0)
    return np.where(is_end, np.nan, grid[left] + STEP * place)


def _gradient(loss: Any, label: float, grid: np.ndarray) -> np.ndarray:
    """Return the gradient of one tag's term at every logit of the grid, float64 (points,)."""
    labels = ops.full((len(grid), 1), label, dtype="float32")

    def total(values: Tensor) -> Tensor:
        return ops.sum(loss.call(labels, values))

    return np.asarray(devices.gradient(total, grid[:, None].astype(np.float32)), np.float64)[:, 0]


def _is_sum_over_tags(loss: Any) -> bool:
    """Whether the loss of two images with four tags is the sum of the losses of one tag each."""
    labels = np.array([[1, 1, 0, 0], [0, 1, 1, 0]], np.float32)
    values = np.array([[0.5, -1.0, 0.3, 1.2], [-0.4, 0.9, -2.0, 0.1]], np.float32)
    together = ops.convert_to_numpy(loss.call(labels, values))  # (2,)
    alone = ops.convert_to_numpy(loss.call(labels.reshape(-1, 1), values.reshape(-1, 1)))  # (8,)
    return bool(np.allclose(together, np.reshape(alone, (2, 4)).sum(axis=1), rtol=1e-4))


def first_biases(recipe: Recipe, frequencies: np.ndarray) -> np.ndarray:
    """Return the biases (num_labels,) with which outputs of tags begin that have no weights yet.

    ``frequencies`` are the tags' shares of the training records; where no constant answer is best for the
    recipe's loss, that is said.
    """
    if not recipe.prior_bias:
        return np.zeros(len(frequencies), np.float32)
    biases, has_none = logits(losses.build(recipe), frequencies)
    if has_none.any():
        console.say(
            f"no constant answer is best for loss {recipe.loss} on {has_none.sum()} of {len(biases)} tags: "
            "their outputs start at the log-odds of their frequencies"
        )
    return biases
