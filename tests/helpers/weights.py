"""Weights that show every layer's part: none at the zero or one that it begins with."""

import re

import numpy as np


def randomized(model, seed=0):
    """Give gates that start at 0, biases and statistics values that show; return the model."""
    random = np.random.default_rng(seed)
    for weight in model.weights:
        if re.search(r"(scale|_grn/(gamma|beta)|_norm\d?/(gamma|alpha)|gain)$", weight.path):
            weight.assign(np.full(weight.shape, 0.5))
        elif weight.path.endswith("squeeze/bias"):
            weight.assign(np.full(weight.shape, 3.0))  # else both of two units behind a ReLU are often closed
        elif weight.path.endswith(("/bias", "/beta", "moving_mean")):
            weight.assign(0.1 * random.standard_normal(weight.shape))
    return model
