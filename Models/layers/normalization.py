"""Normalization layers by name, and the global response normalization of ConvNeXt V2."""

from typing import Any, Literal

import keras

from Models.layers import cpu_kernels
from Models.layers.replicas import num_replicas
from Models.layers.tensors import Shape, Tensor, ops

NormName = Literal["layernorm", "batchnorm", "affine"]


@keras.saving.register_keras_serializable(package="Models")
class Affine(keras.layers.Layer):
    """A learned scale and shift for each channel, ``alpha * x + beta`` (arXiv:2105.03404).

    (..., C) in, the same shape out; alpha starts at 1, beta at 0.
    """

    def build(self, input_shape: Shape) -> None:
        """Create ``alpha`` and ``beta`` of shape (C,)."""
        shape = (input_shape[-1],)
        self.alpha = self.add_weight(shape=shape, initializer="ones", name="alpha")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Scale and shift."""
        return x * ops.cast(self.alpha, x.dtype) + ops.cast(self.beta, x.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return input_shape


@keras.saving.register_keras_serializable(package="Models")
class GlobalResponseNorm(keras.layers.Layer):
    """Global response normalization of ConvNeXt V2 (arXiv:2301.00808).

    ``g = L2 norm of x over H, W``; ``n = g / (mean of g over channels + 1e-6)``;
    ``gamma * (x * n) + beta + x``. (B, H, W, C) in, the same shape out; gamma and beta start at 0.
    """

    EPSILON = 1e-6

    def build(self, input_shape: Shape) -> None:
        """Create ``gamma`` and ``beta`` of shape (C,)."""
        shape = (input_shape[-1],)
        self.gamma = self.add_weight(shape=shape, initializer="zeros", name="gamma")
        self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Normalize; sums over a whole map are taken in float32."""
        squares = ops.sum(ops.square(ops.cast(x, "float32")), axis=(1, 2), keepdims=True)  # (B, 1, 1, C)
        # The square root has no derivative at 0; a channel that is 0 everywhere shall get a gradient of 0.
        norm = ops.sqrt(ops.maximum(squares, 1e-24))
        share = norm / (ops.mean(norm, axis=-1, keepdims=True) + self.EPSILON)
        factor = ops.cast(self.gamma, "float32") * share + 1.0
        return x * ops.cast(factor, x.dtype) + ops.cast(self.beta, x.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return input_shape


@keras.saving.register_keras_serializable(package="Models")
class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalization over the last axis (arXiv:1502.03167) with a written-out gradient in training.

    Arguments, weights and inference are those of the Keras layer. So is training on torch and on several
    replicas, which use the statistics of the global batch. With tensorflow on CPUs training takes the kernel
    of `Models.layers.cpu_kernels`, elsewhere the gradient in closed form, which keeps one map instead of
    two: the automatic gradient of the mean alone costs a tile and a product of the map's size.

    While ``measuring`` is set, inference normalizes each batch by its own statistics and adds its mean and
    its mean square to ``moving_mean`` and ``moving_variance``.
    """

    measuring = False  # a state of the program, not of the layer: it is not saved

    gamma: Any
    beta: Any
    moving_mean: Any
    moving_variance: Any

    def call(self, inputs: Tensor, training: bool | None = None, mask: Tensor = None) -> Tensor:
        """Normalize (..., C); in training by mean and variance of the batch, in float32."""
        if self.measuring and not training:
            return self._measure(inputs)
        if num_replicas() > 1:
            return self._on_replicas(inputs, training, mask)
        plain = self.synchronized or mask is not None or keras.backend.backend() == "torch"
        if plain or not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        gamma, beta = 1.0 * self.gamma, 1.0 * self.beta
        if cpu_kernels.are_available() and len(inputs.shape) == 4:
            outputs, mean, variance = cpu_kernels.batch_normalize(inputs, gamma, beta, self.epsilon)
        else:
            normalize = _batch_normalize(self.epsilon)
            outputs, mean, variance = normalize(ops.cast(inputs, "float32"), gamma, beta)
        for moving, current in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + current * (1.0 - self.momentum))
        return ops.cast(outputs, self.compute_dtype)

    def _measure(self, inputs: Tensor) -> Tensor:
        """Normalize by mean and variance of the global batch, and add its moments up."""
        x = ops.cast(inputs, "float32")
        self.synchronized = num_replicas() > 1
        try:
            moments: Any = self._moments(x, None)
        finally:
            self.synchronized = False
        mean, variance = moments
        for total, moment in ((self.moving_mean, mean), (self.moving_variance, variance + mean * mean)):
            total.assign(total + moment)
        outputs = ops.batch_normalization(
            x, mean, variance, axis=-1, offset=1.0 * self.beta, scale=1.0 * self.gamma, epsilon=self.epsilon
        )
        return ops.cast(outputs, self.compute_dtype)

    def _on_replicas(self, inputs: Tensor, training: bool | None, mask: Tensor) -> Tensor:
        """Normalize as Keras does when ``synchronized``.

        The attribute is reset because it would be saved, and no other backend loads a synchronized layer.
        """
        self.synchronized = True
        try:
            return super().call(inputs, training=training, mask=mask)
        finally:
            self.synchronized = False


def _batch_normalize(epsilon: float) -> Any:
    """Return a function ``(x, gamma, beta) -> (y, mean, variance)``; mean and variance have no gradient."""

    @ops.custom_gradient
    def normalize(x: Tensor, gamma: Tensor, beta: Tensor) -> Any:
        rows = ops.reshape(x, (-1, x.shape[-1]))  # (N, C)
        mean = ops.mean(rows, axis=0)
        centered = rows - mean
        variance = ops.mean(ops.square(centered), axis=0)
        inverse = ops.rsqrt(variance + epsilon)
        scale = gamma * inverse

        def gradient(*upstream: Any) -> tuple[Tensor, Tensor, Tensor]:
            # One for each of y, mean, variance; jax passes them as one tuple.
            dy = upstream[0][0] if isinstance(upstream[0], (tuple, list)) else upstream[0]
            dy = ops.reshape(dy, ops.shape(rows))
            d_beta = ops.sum(dy, axis=0)
            d_gamma = ops.sum(dy * centered, axis=0) * inverse
            share = 1.0 / ops.cast(ops.shape(rows)[0], "float32")
            d_rows = (dy - (centered * (d_gamma * inverse * share) + d_beta * share)) * scale
            return ops.reshape(d_rows, ops.shape(x)), d_gamma, d_beta

        return (ops.reshape(centered * scale + beta, ops.shape(x)), mean, variance), gradient

    return normalize


def batch_norm(epsilon: float, name: str, gamma: str = "ones") -> BatchNorm:
    """Return a batch normalization over channels with momentum 0.99; ``gamma`` names its initializer."""
    return BatchNorm(momentum=0.99, epsilon=epsilon, gamma_initializer=gamma, name=name)


def normalization(kind: str, epsilon: float, name: str) -> keras.layers.Layer:
    """Return the normalization over channels of a kind: ``layernorm``, ``batchnorm`` or ``affine``.

    Raises ValueError for another kind.
    """
    if kind == "layernorm":
        return keras.layers.LayerNormalization(epsilon=epsilon, name=name)
    if kind == "batchnorm":
        return batch_norm(epsilon, name)
    if kind == "affine":
        return Affine(name=name)
    raise ValueError(f"norm must be layernorm, batchnorm or affine; got {kind!r}")
