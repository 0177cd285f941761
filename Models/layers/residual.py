"""What a residual branch passes before it is added: stochastic depth and learned scales."""

import keras
from keras import ops

from Models.layers.randomness import _Random


@keras.saving.register_keras_serializable(package="Models")
class StochasticDepth(_Random):
    """Drop whole samples of a residual branch in training (arXiv:1603.09382).

    ``x * mask``, the mask of shape (B, 1, ..., 1); with ``rescale`` also divided by the probability to be
    kept, which leaves the expectation as it is. NF networks go without (arXiv:2102.06171).
    Arguments: ``rate`` in [0, 1), the probability to be dropped; ``rescale``; ``seed``. Any rank in, the
    same shape out. Raises ValueError for another rate.
    """

    def __init__(self, rate, rescale=True, seed=None, **kwargs):
        super().__init__(rate, seed=seed, **kwargs)
        self.rescale = rescale

    def call(self, x, training=False):
        """Drop samples in training, pass through otherwise."""
        if not training or self.rate == 0:
            return x
        mask = self.keep_mask((ops.shape(x)[0],) + (1,) * (len(x.shape) - 1), "float32")
        if self.rescale:
            mask = mask * (1.0 / (1.0 - self.rate))
        return x * ops.cast(mask, x.dtype)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "rescale": self.rescale}


@keras.saving.register_keras_serializable(package="Models")
class LayerScale(keras.layers.Layer):
    """Multiply each channel by a learned factor, ``x * scale`` (arXiv:2103.17239).

    Arguments: ``initial``, where the factors start. (..., C) in, the same shape out.
    """

    def __init__(self, initial=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.initial = initial

    def build(self, input_shape):
        """Create ``scale`` of shape (C,)."""
        start = keras.initializers.Constant(self.initial)
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer=start, name="scale")
        self.built = True

    def call(self, x):
        """Multiply by the factors."""
        return x * ops.cast(self.scale, x.dtype)

    def compute_output_shape(self, input_shape):
        """Return the input's shape."""
        return input_shape

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "initial": self.initial}


@keras.saving.register_keras_serializable(package="Models")
class SkipInit(keras.layers.Layer):
    """Multiply by one learned scalar that starts at 0, and by a constant (arXiv:2002.10444).

    ``x * (scale * factor)``. Argument: ``factor``, alpha of the NF networks. Any shape in, the same out.
    """

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape):
        """Create the scalar ``scale``."""
        self.scale = self.add_weight(shape=(), initializer="zeros", name="scale")
        self.built = True

    def call(self, x):
        """Multiply by the scalar."""
        return x * ops.cast(self.scale * self.factor, x.dtype)

    def compute_output_shape(self, input_shape):
        """Return the input's shape."""
        return input_shape

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "factor": self.factor}


def linear_rates(maximum, count):
    """Return ``maximum * i / count`` for i = 0 .. count - 1: the last block stays under the maximum."""
    return [maximum * i / count for i in range(count)]
