"""Convolutions of the families: symmetric padding, fast grouped ones, weight-standardized ones.

Padding is ``kernel // 2`` zeros on every side, as in PyTorch and the original zoo. At stride 1 that is what
Keras calls "same"; at stride 2 "same" puts its zeros at the bottom and right only.
"""

from typing import Any

import keras

from Models.layers.initializers import Initializer, he_fan_out, lecun_normal
from Models.layers.platform import platform
from Models.layers.tensors import Shape, Tensor, ops


def conv2d(
    x: Tensor, filters: int, kernel_size: int, *, strides: int = 1, use_bias: bool = False, name: str
) -> Tensor:
    """Convolve (B, H, W, I) with k x k kernels, He normal by fan-out, after ``k // 2`` zeros on each side."""
    # Only where Keras' "same" would pad differently: a padding layer copies the whole map.
    if strides > 1:
        x = keras.layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    padding = "valid" if strides > 1 else "same"
    return keras.layers.Conv2D(
        filters,
        kernel_size,
        strides=strides,
        padding=padding,
        use_bias=use_bias,
        kernel_initializer=he_fan_out(),
        name=name,
    )(x)


def patch_conv2d(
    x: Tensor, filters: int, size: int, *, initializer: Initializer, use_bias: bool = True, name: str
) -> Tensor:
    """Cut (B, H, W, I) into ``size`` x ``size`` patches and project each to ``filters``.

    Where the size does not divide, zeros are added at the bottom and right.
    """
    return keras.layers.Conv2D(
        filters, size, strides=size, padding="same", use_bias=use_bias, kernel_initializer=initializer,
        name=name,
    )(x)  # fmt: skip


def depthwise_conv2d(
    x: Tensor, kernel_size: int, *, initializer: Initializer, use_bias: bool = True, name: str
) -> Tensor:
    """Convolve every channel of (B, H, W, C) with a k x k kernel of its own at stride 1."""
    return keras.layers.DepthwiseConv2D(
        kernel_size, padding="same", use_bias=use_bias, depthwise_initializer=initializer, name=name
    )(x)


@keras.saving.register_keras_serializable(package="Models")
class Decimate(keras.layers.Layer):
    """Keep every n-th row and column: (B, H, W, C) to (B, H/n, W/n, C), rounded up.

    A 1 x 1 convolution of stride n sees only these pixels; after this layer it needs no stride.

    Argument: ``strides``, n.
    """

    def __init__(self, strides: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.strides = strides

    def build(self, input_shape: Shape) -> None:
        """Nothing to build."""
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Keep rows and columns 0, n, 2n and so on."""
        return x[:, :: self.strides, :: self.strides]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (B, H/n, W/n, C)."""
        height, width = (None if side is None else -(-side // self.strides) for side in input_shape[1:3])
        return (input_shape[0], height, width, input_shape[3])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "strides": self.strides}


def stem_max_pool(x: Tensor, name: str) -> Tensor:
    """Take the maximum of 3 x 3 at stride 2 after one zero on each side; (B, H, W, C) to about H/2, W/2.

    The zeros take part: a border pixel whose neighbors are all negative becomes 0, as in the original zoo.
    """
    x = keras.layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    return keras.layers.MaxPooling2D(3, strides=2, name=name)(x)


def grouped_conv2d(
    x: Tensor, kernel: Tensor, groups: int, *, strides: int, padding: str, split: bool
) -> Tensor:
    """Convolve ``groups`` slices of the channels of x, each with its own slice of an HWIO kernel.

    ``split`` changes the speed, not the result: one convolution per group instead of a grouped one.
    """
    if groups == 1 or not split:
        return ops.conv(x, kernel, strides=strides, padding=padding)
    pairs = zip(ops.split(x, groups, axis=-1), ops.split(kernel, groups, axis=-1), strict=True)
    parts = [ops.conv(part, weights, strides=strides, padding=padding) for part, weights in pairs]
    return ops.concatenate(parts, axis=-1)


def prefers_split() -> bool:
    """Tell whether one convolution per group is faster: TensorFlow and JAX lack a fast grouped one on CPUs.

    On CPUs TensorFlow runs it in a nested XLA function, 20 times slower than one convolution per group.
    """
    if keras.backend.backend() not in ("tensorflow", "jax"):  # torch has a fast one
        return False
    return platform() == "cpu"


@keras.saving.register_keras_serializable(package="Models")
class ScaledConv2D(keras.layers.Layer):
    """Convolution with a standardized kernel and a gain for each output channel (arXiv:2101.08692).

    ``w' = (w - mean) * rsqrt(max(var * fan_in, 1e-4)) * gain``, mean and variance over H, W, I of a filter;
    fan_in = k * k * I / groups. Padded with ``k // 2`` zeros on each side.
    Arguments: ``filters``, ``kernel_size``, ``strides``, ``groups``, ``use_bias``; ``padding``, "symmetric"
    as above, or Keras' "same"; ``epsilon``, None as above, or a number: ``rsqrt(fan_in * (var + epsilon))``;
    ``scale``, a constant factor on the gain; ``initial_gain``.
    (B, H, W, I) in, (B, H/strides rounded up, W/strides rounded up, filters) out for odd kernels.
    Raises ValueError where the groups do not divide the channels.
    """

    def __init__(
        self, filters: int, kernel_size: int, strides: int = 1, groups: int = 1, use_bias: bool = True,
        padding: str = "symmetric", epsilon: float | None = None, scale: float = 1.0,
        initial_gain: float = 1.0, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        if padding not in ("symmetric", "same"):
            raise ValueError(f"padding must be 'symmetric' or 'same'; got {padding!r}")
        self.filters = filters
        self.kernel_size = kernel_size
        self.strides = strides
        self.groups = groups
        self.use_bias = use_bias
        self.padding = padding
        self.epsilon = epsilon
        self.scale = scale
        self.initial_gain = initial_gain

    def build(self, input_shape: Shape) -> None:
        """Create ``kernel`` (k, k, I / groups, filters), ``bias`` and ``gain`` (filters,)."""
        channels, k = input_shape[-1], self.kernel_size
        if channels % self.groups or self.filters % self.groups:
            raise ValueError(f"{self.groups} groups must divide {channels} and {self.filters} channels")
        # No autocast: mean and variance of a kernel need float32 even under mixed precision.
        self.kernel = self.add_weight(
            shape=(k, k, channels // self.groups, self.filters),
            initializer=lecun_normal(),  # standardized anyway: it decides how fast the kernel turns
            autocast=False,
            name="kernel",
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")
        start = keras.initializers.Constant(self.initial_gain)
        self.gain = self.add_weight(shape=(self.filters,), initializer=start, autocast=False, name="gain")
        self.built = True

    def standardized_kernel(self) -> Tensor:
        """Return the kernel (k, k, I / groups, filters) after standardization, float32."""
        kernel = ops.convert_to_tensor(self.kernel)
        fan_in = kernel.shape[0] * kernel.shape[1] * kernel.shape[2]
        centered = kernel - ops.mean(kernel, axis=(0, 1, 2), keepdims=True)
        variance = ops.mean(ops.square(centered), axis=(0, 1, 2), keepdims=True)
        if self.epsilon is None:
            scaled_variance = ops.maximum(variance * fan_in, 1e-4)
        else:
            scaled_variance = (variance + self.epsilon) * fan_in
        gain = self.gain if self.scale == 1.0 else self.gain * self.scale
        return centered * (ops.rsqrt(scaled_variance) * gain)

    def call(self, x: Tensor) -> Tensor:
        """Standardize the kernel, then convolve."""
        kernel = ops.cast(self.standardized_kernel(), x.dtype)
        if self.kernel_size == 1 and self.strides == 1 and self.groups == 1:
            x = ops.matmul(x, kernel[0, 0])  # on CPU faster than the convolution it equals
        else:
            x = self._convolve(x, kernel)
        return x if self.bias is None else x + ops.cast(self.bias, x.dtype)

    def _convolve(self, x: Tensor, kernel: Tensor) -> Tensor:
        # Keras' "same" is symmetric at stride 1, and costs no copy.
        padding, margin = "same", self.kernel_size // 2
        if self.strides > 1 and self.padding == "symmetric":
            x = ops.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
            padding = "valid"
        return grouped_conv2d(
            x, kernel, self.groups, strides=self.strides, padding=padding, split=prefers_split()
        )

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (B, H', W', filters)."""
        shrink = self.kernel_size - 2 * (self.kernel_size // 2) if self.padding == "symmetric" else 1
        height, width = (
            None if side is None else (side - shrink) // self.strides + 1 for side in input_shape[1:3]
        )
        return (input_shape[0], height, width, self.filters)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        names = ("filters", "kernel_size", "strides", "groups", "use_bias")
        names += ("padding", "epsilon", "scale", "initial_gain")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
