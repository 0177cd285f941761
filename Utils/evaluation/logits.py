"""Probabilities to logits and back."""

from typing import Any

import numpy as np

SMALLEST = 1e-7  # probabilities are kept this far from 0 and 1, where logits are infinite


def logit(probabilities: Any) -> np.ndarray:
    """Return ``log(p / (1 - p))`` of probabilities of any shape, float64; at most 16.1 from 0."""
    p = np.clip(np.asarray(probabilities, np.float64), SMALLEST, 1 - SMALLEST)
    return np.log(p) - np.log1p(-p)


def sigmoid(logits: Any) -> np.ndarray:
    """Return the probabilities of logits, in their shape and dtype."""
    with np.errstate(over="ignore"):  # of exp, whose infinity gives the right 0
        return 1 / (1 + np.exp(-logits))
