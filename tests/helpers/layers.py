"""Inputs and weights for tests of layers."""

import numpy as np


def normal(*shape, seed=0):
    """Standard normal float32 values."""
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def with_weights(layer, shape, seed=0):
    """Build a layer for an input shape and give it random weights; return it."""
    layer.build(shape)
    random = np.random.default_rng(seed)
    for weight in layer.weights:
        weight.assign(random.standard_normal(weight.shape) * 0.5 + 0.2)
    return layer
