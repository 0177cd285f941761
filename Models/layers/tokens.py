"""Tokens: a class token, the position embedding of a grid and its resampling, the pooling for a head."""

import math

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="Models")
class ClassToken(keras.layers.Layer):
    """Put a learned token before the others (arXiv:2010.11929).

    (B, N, D) in, (B, N + 1, D) out; ``token`` is (D,) and starts normal of 1e-6.
    """

    def build(self, input_shape):
        """Create ``token`` of shape (D,)."""
        start = keras.initializers.RandomNormal(stddev=1e-6)
        self.token = self.add_weight(shape=(input_shape[-1],), initializer=start, name="token")
        self.built = True

    def call(self, x):
        """Repeat the token for every image."""
        token = ops.broadcast_to(ops.cast(self.token, x.dtype), (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([token, x], axis=1)

    def compute_output_shape(self, input_shape):
        """Return (B, N + 1, D)."""
        return (input_shape[0], input_shape[1] + 1, input_shape[2])


@keras.saving.register_keras_serializable(package="Models")
class PositionEmbedding(keras.layers.Layer):
    """Add a learned vector to every token, ``x + table`` (arXiv:2010.11929).

    Argument: ``prefix``, leading tokens that lie on no grid, such as a class token. (B, N, D) in, the same
    shape out; ``table`` is (N, D) and starts truncated normal of 0.02.
    """

    def __init__(self, prefix=0, **kwargs):
        super().__init__(**kwargs)
        self.prefix = prefix

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

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "prefix": self.prefix}


@keras.saving.register_keras_serializable(package="Models")
class TokenPooling(keras.layers.Layer):
    """Make one vector of all tokens: the mean of those on the grid, or the first of them.

    Arguments: ``pool``, "average" or "token"; ``prefix``, leading tokens that lie on no grid. (B, N, D) in,
    (B, D) out. Raises ValueError for another name, or where the token to take lies on the grid.
    """

    def __init__(self, pool="average", prefix=0, **kwargs):
        super().__init__(**kwargs)
        if pool not in ("average", "token"):
            raise ValueError(f"pool must be 'average' or 'token'; got {pool!r}")
        if pool == "token" and prefix == 0:
            raise ValueError("pool='token' needs a class token")
        self.pool = pool
        self.prefix = prefix

    def build(self, input_shape):
        """Nothing to build."""
        self.built = True

    def call(self, x):
        """Take the first, or the mean after the prefix."""
        return x[:, 0] if self.pool == "token" else ops.mean(x[:, self.prefix :], axis=1)

    def compute_output_shape(self, input_shape):
        """Return (B, D)."""
        return (input_shape[0], input_shape[2])

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "pool": self.pool, "prefix": self.prefix}


def resample_positions(table, num_tokens, prefix=0):
    """Resample an (N, D) table of a square grid to another square grid, ``num_tokens`` in all.

    Bicubic and antialiased, each output a weighted mean of the inputs around it; the same grid gives the
    same values. The first ``prefix`` rows lie on no grid and stay as they are. Raises ValueError where
    either count is no square.
    """
    table = np.asarray(table, "float32")
    old, new = (square_side(count - prefix) for count in (len(table), num_tokens))
    if old == new:
        return table
    weights = _bicubic(old, new)  # (new, old)
    grid = table[prefix:].reshape(old, old, -1).astype("float64")
    grid = np.einsum("ai,bj,ijd->abd", weights, weights, grid, optimize=True)
    return np.concatenate([table[:prefix], grid.reshape(new * new, -1).astype("float32")])


def square_side(count):
    """Return the side of a square grid of ``count`` tokens; ValueError where it is no square."""
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
