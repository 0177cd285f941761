"""Tokens: the position embedding of a grid of patches, and its resampling to another grid."""

import math

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="Models")
class PositionEmbedding(keras.layers.Layer):
    """Add a learned vector to every token, ``x + table`` (arXiv:2010.11929).

    (B, N, D) in, the same shape out; ``table`` is (N, D) and starts truncated normal of 0.02.
    """

    def build(self, input_shape):
        """Create ``table`` of shape (N, D)."""
        start = keras.initializers.TruncatedNormal(stddev=0.02)
        self.table = self.add_weight(shape=tuple(input_shape[1:]), initializer=start, name="table")
        self.built = True

    def call(self, x):
        """Add the table."""
        return x + ops.cast(self.table, x.dtype)

    def compute_output_shape(self, input_shape):
        """Return the input's shape."""
        return input_shape


def resample_positions(table, num_tokens):
    """Resample an (N, D) table of a square grid to another square grid of ``num_tokens`` tokens.

    Bicubic and antialiased, each output a weighted mean of the inputs around it; the same grid gives the
    same values. Raises ValueError where either count is no square.
    """
    table = np.asarray(table, "float32")
    old, new = (_side(count) for count in (len(table), num_tokens))
    if old == new:
        return table
    weights = _bicubic(old, new)  # (new, old)
    grid = table.reshape(old, old, -1).astype("float64")
    grid = np.einsum("ai,bj,ijd->abd", weights, weights, grid, optimize=True)
    return grid.reshape(new * new, -1).astype("float32")


def _side(count):
    side = math.isqrt(count)
    if side * side != count:
        raise ValueError(f"a square grid has a square number of positions; got {count}")
    return side


def _bicubic(old, new):
    """Return the (new, old) matrix of antialiased bicubic resampling along one axis (Keys, a = -0.5)."""
    scale = max(old / new, 1.0)  # a wider kernel where the grid shrinks
    centers = (np.arange(new) + 0.5) * old / new - 0.5
    x = np.abs(centers[:, None] - np.arange(old)[None, :]) / scale
    near = 1.5 * x**3 - 2.5 * x**2 + 1.0
    far = -0.5 * x**3 + 2.5 * x**2 - 4.0 * x + 2.0
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)
