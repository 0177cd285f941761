"""The last layers of a residual branch, before the addition: stochastic depth and learned scales."""

from typing import Any

import keras

from Models.layers.randomness import _Random
from Models.layers.tensors import Shape, Tensor, ops


@keras.saving.register_keras_serializable(package="Models")
class StochasticDepth(_Random):
    """Drop whole samples of a residual branch in training (arXiv:1603.09382).

    ``x * mask`` with a mask of shape (B, 1, ..., 1). ``rescale`` divides by the probability to be kept, which
    preserves the expectation; NF networks do not rescale (arXiv:2102.06171).
    Arguments: ``rate`` in [0, 1), the probability to be dropped; ``rescale``; ``seed``. Any rank in, the
    same shape out. Raises ValueError for another rate.
    """

    def __init__(self, rate: float, rescale: bool = True, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(rate, seed=seed, **kwargs)
        self.rescale = rescale

    def call(self, x: Tensor, training: bool | None = False) -> Tensor:
        """Drop samples in training, pass through otherwise."""
        if not training or self.rate == 0:
            return x
        mask = self.keep_mask((ops.shape(x)[0],) + (1,) * (len(x.shape) - 1), "float32")
        if self.rescale:
            mask = mask * (1.0 / (1.0 - self.rate))
        return x * ops.cast(mask, x.dtype)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "rescale": self.rescale}


@keras.saving.register_keras_serializable(package="Models")
class LayerScale(keras.layers.Layer):
    """Multiply each channel by a learned factor, ``x * scale`` (arXiv:2103.17239).

    Argument: ``initial``, the first value of the factors. (..., C) in, the same shape out.
    """

    def __init__(self, initial: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.initial = initial

    def build(self, input_shape: Shape) -> None:
        """Create ``scale`` of shape (C,)."""
        initializer = keras.initializers.Constant(self.initial)
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer=initializer, name="scale")
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Multiply by the factors."""
        return x * ops.cast(self.scale, x.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "initial": self.initial}


@keras.saving.register_keras_serializable(package="Models")
class SkipInit(keras.layers.Layer):
    """Multiply by a learned scalar that starts at 0 and by a constant (arXiv:2002.10444).

    ``x * (scale * factor)``. Argument: ``factor``, alpha of the NF networks. Any shape in, the same out.
    """

    def __init__(self, factor: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape: Shape) -> None:
        """Create the scalar ``scale``."""
        self.scale = self.add_weight(shape=(), initializer="zeros", name="scale")
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Multiply by the scalar."""
        return x * ops.cast(self.scale * self.factor, x.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "factor": self.factor}


def linear_rates(maximum: float, count: int) -> list[float]:
    """Return ``maximum * i / count`` for i = 0 .. count - 1: the last block stays under the maximum."""
    return [maximum * i / count for i in range(count)]
