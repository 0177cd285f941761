"""Normalizations over channels, chosen by name, and the response normalization of ConvNeXt V2."""

from typing import Literal

import keras
from keras import ops

NormName = Literal["layernorm", "batchnorm", "affine"]


@keras.saving.register_keras_serializable(package="Models")
class Affine(keras.layers.Layer):
    """A learned scale and shift for each channel, ``alpha * x + beta`` (arXiv:2105.03404).

    (..., C) in, the same shape out; alpha starts at 1, beta at 0.
    """

    def build(self, input_shape):
        """Create ``alpha`` and ``beta`` of shape (C,)."""
        shape = (input_shape[-1],)
        self.alpha = self.add_weight(shape=shape, initializer="ones", name="alpha")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")
        self.built = True

    def call(self, x):
        """Scale and shift."""
        return x * ops.cast(self.alpha, x.dtype) + ops.cast(self.beta, x.dtype)

    def compute_output_shape(self, input_shape):
        """Return the input's shape."""
        return input_shape


@keras.saving.register_keras_serializable(package="Models")
class GlobalResponseNorm(keras.layers.Layer):
    """Global response normalization of ConvNeXt V2 (arXiv:2301.00808).

    ``g = L2 norm of x over H, W``; ``n = g / (mean of g over channels + 1e-6)``;
    ``gamma * (x * n) + beta + x``. (B, H, W, C) in, the same shape out; gamma and beta start at 0.
    """

    EPSILON = 1e-6

    def build(self, input_shape):
        """Create ``gamma`` and ``beta`` of shape (C,)."""
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(shape=shape, initializer="zeros", name="gamma")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")
        self.built = True

    def call(self, x):
        """Normalize; the sums over a whole map are taken in float32."""
        squares = ops.sum(ops.square(ops.cast(x, "float32")), axis=(1, 2), keepdims=True)  # (B, 1, 1, C)
        # The root has no derivative at 0; where a channel is silent everywhere its gradient is to be 0.
        norm = ops.sqrt(ops.maximum(squares, 1e-24))
        share = norm / (ops.mean(norm, axis=-1, keepdims=True) + self.EPSILON)
        factor = ops.cast(self.gamma, "float32") * share + 1.0
        return x * ops.cast(factor, x.dtype) + ops.cast(self.beta, x.dtype)

    def compute_output_shape(self, input_shape):
        """Return the input's shape."""
        return input_shape


def batch_norm(epsilon, name, gamma="ones"):
    """Return a batch normalization over channels; statistics are taken per replica, with momentum 0.99."""
    return keras.layers.BatchNormalization(momentum=0.99, epsilon=epsilon, gamma_initializer=gamma, name=name)


def normalization(kind, epsilon, name):
    """Return the named normalization over channels: ``layernorm``, ``batchnorm`` or ``affine``.

    Raises ValueError for another name.
    """
    if kind == "layernorm":
        return keras.layers.LayerNormalization(epsilon=epsilon, name=name)
    if kind == "batchnorm":
        return batch_norm(epsilon, name)
    if kind == "affine":
        return Affine(name=name)
    raise ValueError(f"norm must be layernorm, batchnorm or affine; got {kind!r}")
