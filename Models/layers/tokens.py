"""Tokens of transformers: class token, position embedding and its resampling, pooling for the head."""

import math
from typing import Any

import keras
import numpy as np

from Models.layers.initializers import truncated_normal
from Models.layers.randomness import _Random
from Models.layers.tensors import Shape, Tensor, ops


@keras.saving.register_keras_serializable(package="Models")
class ClassToken(keras.layers.Layer):
    """Prepend a learned class token (arXiv:2010.11929).

    Argument: ``stddev``, deviation of the first values. (B, N, D) in, (B, N + 1, D) out; ``token`` is (D,).
    """

    def __init__(self, stddev: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.stddev = stddev

    def build(self, input_shape: Shape) -> None:
        """Create ``token`` of shape (D,)."""
        initializer = truncated_normal(self.stddev)
        self.token = self.add_weight(shape=(input_shape[-1],), initializer=initializer, name="token")
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Prepend the token to every image."""
        token = ops.broadcast_to(ops.cast(self.token, x.dtype), (ops.shape(x)[0], 1, x.shape[-1]))
        return ops.concatenate([token, x], axis=1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (B, N + 1, D)."""
        return (input_shape[0], input_shape[1] + 1, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "stddev": self.stddev}


@keras.saving.register_keras_serializable(package="Models")
class RegisterTokens(keras.layers.Layer):
    """Prepend learned tokens that belong to no place of the image (arXiv:2309.16588).

    Arguments: ``number``; ``stddev``, the deviation of their first values. (B, N, D) in, (B, N + number, D)
    out; ``token`` is (number, D).
    """

    def __init__(self, number: int, stddev: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.number = number
        self.stddev = stddev

    def build(self, input_shape: Shape) -> None:
        """Create ``token`` of shape (number, D)."""
        shape = (self.number, input_shape[-1])
        self.token = self.add_weight(shape=shape, initializer=truncated_normal(self.stddev), name="token")
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Prepend the tokens to every image."""
        shape = (ops.shape(x)[0], self.number, x.shape[-1])
        tokens = ops.broadcast_to(ops.cast(self.token, x.dtype)[None], shape)
        return ops.concatenate([tokens, x], axis=1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (B, N + number, D)."""
        return (input_shape[0], input_shape[1] + self.number, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "number": self.number, "stddev": self.stddev}


@keras.saving.register_keras_serializable(package="Models")
class PositionEmbedding(keras.layers.Layer):
    """Add a learned vector to every token, ``x + table`` (arXiv:2010.11929).

    Argument: ``prefix``, the number of leading tokens outside of the grid, 1 with a class token; resizing
    keeps their rows. (B, N, D) in, the same shape out; ``table`` is (N, D), initialized truncated normal with
    deviation 0.02.
    """

    def __init__(self, prefix: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.prefix = prefix

    def build(self, input_shape: Shape) -> None:
        """Create ``table`` of shape (N, D)."""
        shape = tuple(input_shape[1:])
        self.table = self.add_weight(shape=shape, initializer=truncated_normal(), name="table")
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Add the table."""
        return x + ops.cast(self.table, x.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "prefix": self.prefix}


@keras.saving.register_keras_serializable(package="Models")
class SquareMap(keras.layers.Layer):
    """Put tokens back on their square grid: (B, N, C) in, (B, sqrt N, sqrt N, C) out, for any image size.

    Raises ValueError if N is no square number.
    """

    def build(self, input_shape: Shape) -> None:
        """Nothing to build."""
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Reshape, row by row."""
        return ops.reshape(x, (-1, *self.compute_output_shape(x.shape)[1:]))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (B, sqrt N, sqrt N, C)."""
        side = square_side(input_shape[1])
        return (input_shape[0], side, side, input_shape[2])


@keras.saving.register_keras_serializable(package="Models")
class GridTokens(keras.layers.Layer):
    """Leave out the ``prefix`` leading tokens, which lie outside of the grid.

    (B, N, D) in, (B, N - prefix, D) out.
    """

    def __init__(self, prefix: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.prefix = prefix

    def build(self, input_shape: Shape) -> None:
        """Nothing to build."""
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Take the tokens behind the prefix."""
        return x[:, self.prefix :]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (B, N - prefix, D)."""
        return (input_shape[0], input_shape[1] - self.prefix, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "prefix": self.prefix}


@keras.saving.register_keras_serializable(package="Models")
class TokenPooling(keras.layers.Layer):
    """Pool tokens to one vector: the mean over the grid, or the class token.

    Arguments: ``pool``, "average" or "token"; ``prefix``, the number of leading tokens outside of the grid.
    (B, N, D) in, (B, D) out. Raises ValueError for another name, and for "token" without a class token.
    """

    def __init__(self, pool: str = "average", prefix: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if pool not in ("average", "token"):
            raise ValueError(f"pool must be 'average' or 'token'; got {pool!r}")
        if pool == "token" and prefix == 0:
            raise ValueError("the head 'token' needs a class token")
        self.pool = pool
        self.prefix = prefix

    def build(self, input_shape: Shape) -> None:
        """Nothing to build."""
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Take the first token, or the mean of those after the prefix."""
        return x[:, 0] if self.pool == "token" else ops.mean(x[:, self.prefix :], axis=1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (B, D)."""
        return (input_shape[0], input_shape[2])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "pool": self.pool, "prefix": self.prefix}


@keras.saving.register_keras_serializable(package="Models")
class PatchDropout(_Random):
    """Leave out random patches in training (arXiv:2208.07220): less work for the blocks that follow.

    Of N patches ``kept(N)``, the nearest whole number to ``(1 - rate) N``, stay, in order, another draw for
    every image; all stay at inference. So a training step has fewer tokens, but always as many.
    Arguments: ``rate`` in [0, 1); ``prefix``, the number of leading tokens that are no patches and stay;
    ``seed``. (B, prefix + N, D) in, (B, prefix + kept(N), D) out in training. Raises ValueError for another
    rate.
    """

    def __init__(self, rate: float, prefix: int = 0, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(rate, seed=seed, **kwargs)
        self.prefix = prefix

    def kept(self, patches: int) -> int:
        """Return how many of some patches stay in training, 1 or more."""
        return max(1, round((1 - self.rate) * patches))

    def call(self, x: Tensor, training: bool | None = False) -> Tensor:
        """Leave out patches in training, pass through otherwise."""
        patches = x.shape[1] - self.prefix
        if not training or self.kept(patches) == patches:
            return x
        draws = keras.random.uniform((ops.shape(x)[0], patches), dtype="float32", seed=self.seed_generator)
        places = ops.sort(ops.top_k(draws, self.kept(patches), sorted=False)[1], axis=-1)  # (B, K)
        chosen = ops.take_along_axis(x[:, self.prefix :], ops.cast(places, "int32")[..., None], axis=1)
        return ops.concatenate([x[:, : self.prefix], chosen], axis=1) if self.prefix else chosen

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "prefix": self.prefix}


def resample_positions(table: Any, num_tokens: int, prefix: int = 0) -> np.ndarray:
    """Resample an (N, D) table of a square grid to a grid of another size, (num_tokens, D) float32.

    Bicubic and antialiased; the same grid gives the same values. The first ``prefix`` rows lie outside of the
    grid and are copied. Raises ValueError if N or ``num_tokens`` without the prefix is no square.
    """
    table = np.asarray(table, "float32")
    old, new = (square_side(count - prefix) for count in (len(table), num_tokens))
    if old == new:
        return table
    weights = _bicubic(old, new)  # (new, old)
    grid = table[prefix:].reshape(old, old, -1).astype("float64")
    grid = np.einsum("ai,bj,ijd->abd", weights, weights, grid, optimize=True)
    return np.concatenate([table[:prefix], grid.reshape(new * new, -1).astype("float32")])


def square_side(count: int) -> int:
    """Return the side of a square grid of ``count`` tokens; ValueError if that is no square number."""
    side = math.isqrt(count)
    if side * side != count:
        raise ValueError(f"a square grid has a square number of positions; got {count}")
    return side


def _bicubic(old: int, new: int) -> np.ndarray:
    """Return the matrix (new, old) of antialiased bicubic resampling along one axis (Keys, a = -0.5)."""
    scale = max(old / new, 1.0)  # a shrinking grid needs a wider kernel, or it aliases
    centers = (np.arange(new) + 0.5) * old / new - 0.5
    x = np.abs(centers[:, None] - np.arange(old)[None, :]) / scale
    near = 1.5 * x**3 - 2.5 * x**2 + 1.0
    far = -0.5 * x**3 + 2.5 * x**2 - 4.0 * x + 2.0
    weights = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return weights / weights.sum(axis=1, keepdims=True)
