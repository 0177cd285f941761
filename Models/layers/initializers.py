"""Initial weights: the distributions that the papers of the families name, in one place.

Each function makes a new initializer. A Keras initializer draws its seed when it is made and gives the same
values for the same shape from then on, so that layers must not share one; the seeds come from Python's
generator, which ``keras.utils.set_random_seed`` sets.
"""

import math
from typing import Any

import keras

Initializer = Any  # a keras.initializers.Initializer; Keras' own annotations know names only

# Deviation of a normal distribution of deviation 1 that is cut at -2 and 2.
CUT = 0.87962566103423978


def he_fan_out() -> Initializer:
    """Return a normal of variance ``2 / fan_out`` (arXiv:1502.01852, eq. 14): k * k * filters connections."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def lecun_normal() -> Initializer:
    """Return a normal of variance ``1 / fan_in`` (LeCun et al., Efficient BackProp, 1998, eq. 16)."""
    return keras.initializers.VarianceScaling(1.0, "fan_in", "untruncated_normal")


def normal(stddev: float) -> Initializer:
    """Return a normal of deviation ``stddev``."""
    return keras.initializers.RandomNormal(stddev=stddev)


def truncated_normal(stddev: float = 0.02) -> Initializer:
    """Return a normal, cut at its ends, whose deviation after the cut is ``stddev``.

    timm and the official code of the families that use it cut at -2 and 2, a hundred deviations away. Keras
    cuts at two deviations, which makes the deviation smaller; it is corrected here.
    """
    return keras.initializers.TruncatedNormal(stddev=stddev / CUT)


def uniform_fan_in() -> Initializer:
    """Return a uniform between -1 and 1 times ``1 / sqrt(fan_in)``, the default of PyTorch's layers."""
    return keras.initializers.VarianceScaling(1.0 / 3.0, "fan_in", "uniform")


def by_depth(stddev: float, block: int) -> float:
    """Return ``stddev / sqrt(2 (block + 1))``, for the kernels that end the branches of a block, from 0.

    The sum of the branches then grows with the logarithm of their number (arXiv:2106.08254, section 2.3).
    """
    return stddev / math.sqrt(2.0 * (block + 1))
