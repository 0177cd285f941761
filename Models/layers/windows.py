"""Layers of SwinV2 (arXiv:2111.09883): attention within windows of a feature map, and patch merging."""

import math
from typing import Any

import keras
import numpy as np

from Models.layers.dot_product_attention import dot_product_attention
from Models.layers.head_projections import _HeadProjections
from Models.layers.initializers import truncated_normal
from Models.layers.tensors import Shape, Tensor, ops

BIAS_HIDDEN = 512  # width of the network of the position bias
MAX_LOGIT_SCALE = math.log(100.0)  # the learned scale of the scores is clipped here, as in the official code
MASKED = -100.0  # added to the scores of tokens that are no neighbors


@keras.saving.register_keras_serializable(package="Models")
class WindowAttention(_HeadProjections):
    """Cosine attention within square windows, with a continuous position bias (arXiv:2111.09883).

    ``softmax(cos(q, k) * exp(scale) + bias) v`` for each head; a small network of the log-spaced offset of
    two tokens gives the bias, ``16 sigmoid(network(offset))``. Zeros at the bottom and right pad the map to
    whole windows. A window larger than the map becomes the map and is not shifted.
    Arguments: ``heads``; ``window``, its side in tokens; ``shifted``, whether windows move by half a side:
    the map rolls around its borders, and tokens from opposite borders are masked; ``pretrained``, side of the
    window that offsets are measured in, 0 for ``window``.
    (B, H, W, C) in, the same shape out. Raises ValueError if ``heads`` does not divide C.
    """

    has_bias = True

    def __init__(
        self, heads: int, window: int, shifted: bool = False, pretrained: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(heads, **kwargs)
        self.window = window
        self.shifted = shifted
        self.pretrained = pretrained

    def build(self, input_shape: Shape) -> None:
        """Create projections, scale and the network of the bias; offsets and mask are constants."""
        height, width, channels = input_shape[1:]
        self.build_projections(channels)
        self.sides = (min(self.window, height), min(self.window, width))
        self.shifts = tuple(
            side // 2 if self.shifted and size > side else 0
            for side, size in zip(self.sides, (height, width), strict=True)
        )
        initializer = keras.initializers.Constant(math.log(10.0))
        self.scale = self.add_weight(shape=(self.heads,), initializer=initializer, name="logit_scale")
        self.hidden = keras.layers.Dense(
            BIAS_HIDDEN,
            "relu",
            kernel_initializer=truncated_normal(),
            dtype="float32",
            name="positions_hidden",
        )
        self.hidden.build((None, 2))
        options: dict[str, Any] = {"kernel_initializer": truncated_normal(), "dtype": "float32"}
        self.bias = keras.layers.Dense(self.heads, use_bias=False, name="positions_bias", **options)
        self.bias.build((None, BIAS_HIDDEN))
        self.offsets, self.offset_index = _offsets(self.sides, self.pretrained)
        self.padded = tuple(
            -(-size // side) * side for size, side in zip((height, width), self.sides, strict=True)
        )
        self.mask = _mask(self.padded, self.sides, self.shifts) if any(self.shifts) else None
        self.attended_tokens = self.sides[0] * self.sides[1]
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Shift, split into windows, attend, merge, shift back."""
        height, width, channels = x.shape[1:]
        x = _roll(x, *self.shifts)
        x = ops.pad(x, ((0, 0), (0, self.padded[0] - height), (0, self.padded[1] - width), (0, 0)))
        x = self._attend(_split_windows(x, self.sides))  # (B * windows, tokens, C)
        x = _merge_windows(x, self.sides, self.padded)[:, :height, :width]
        return _roll(x, height - self.shifts[0], width - self.shifts[1]) if any(self.shifts) else x

    def _attend(self, x: Tensor) -> Tensor:
        tokens = x.shape[1]
        query, key, value = self.project(x, tokens)  # (B * windows, heads, tokens, d)
        scale = ops.exp(ops.minimum(ops.cast(self.scale, "float32"), MAX_LOGIT_SCALE))
        query = ops.cast(_unit(query) * scale[:, None, None], x.dtype)
        key = ops.cast(_unit(key), x.dtype)
        bias = self._position_bias()
        if self.mask is not None:
            # Every window of an image has its own bias, as every head has: windows become heads.
            windows, shape = len(self.mask), (-1, len(self.mask) * self.heads, tokens, query.shape[-1])
            query, key, value = (ops.reshape(each, shape) for each in (query, key, value))
            # Of one rank, as tf2onnx moves the transposition in front of the sum, to the mask.
            bias = ops.reshape(bias, (1, self.heads, tokens, tokens))
            bias = bias + ops.convert_to_tensor(self.mask[:, None])  # (windows, heads, tokens, tokens)
            bias = ops.reshape(bias, (windows * self.heads, tokens, tokens))
        mixed = dot_product_attention(query, key, value, bias)
        return self.join(ops.reshape(mixed, (-1, self.heads, tokens, query.shape[-1])), tokens)

    def _position_bias(self) -> Tensor:
        """Return (heads, tokens, tokens) float32, the bias of every pair of tokens in a window."""
        table = 16.0 * ops.sigmoid(self.bias(self.hidden(self.offsets)))  # (offsets, heads)
        tokens = self.sides[0] * self.sides[1]
        bias = ops.reshape(ops.take(table, self.offset_index, axis=0), (tokens, tokens, self.heads))
        return ops.transpose(bias, (2, 0, 1))

    def macs(self, input_shape: Shape) -> int:
        """Return multiply-adds for one image of (B, H, W, C)."""
        positions, tokens = self.padded[0] * self.padded[1], self.sides[0] * self.sides[1]
        bias = len(self.offsets) * BIAS_HIDDEN * (2 + self.heads)
        return 4 * positions * self.width**2 + 2 * positions * tokens * self.width + bias

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        names = ("window", "shifted", "pretrained")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _unit(x: Tensor) -> Tensor:
    """Return x in float32, its last axis scaled to length 1; zeros stay zeros."""
    x = ops.cast(x, "float32")
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(ops.maximum(squares, 1e-24))


def _roll(x: Tensor, down: int, right: int) -> Tensor:
    """Move the first ``down`` rows and ``right`` columns to the end, by slices, which all formats have."""
    if down:
        x = ops.concatenate([x[:, down:], x[:, :down]], axis=1)
    if right:
        x = ops.concatenate([x[:, :, right:], x[:, :, :right]], axis=2)
    return x


def _split_windows(x: Tensor, sides: tuple[int, int]) -> Tensor:
    """Split (B, H, W, C) into (B * windows, side * side, C)."""
    height, width, channels = x.shape[1:]
    h, w = sides
    x = ops.reshape(x, (-1, height // h, h, width // w, w, channels))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, h * w, channels))


def _merge_windows(x: Tensor, sides: tuple[int, int], size: tuple[int, int]) -> Tensor:
    """Merge (B * windows, side * side, C) to (B, H, W, C), the inverse of ``_split_windows``."""
    (h, w), (height, width), channels = sides, size, x.shape[-1]
    x = ops.reshape(x, (-1, height // h, width // w, h, w, channels))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, height, width, channels))


def _offsets(sides: tuple[int, int], pretrained: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all offsets within a window, log-spaced (M, 2), and the index of each pair of tokens in them."""
    axes = []
    for side in sides:
        offsets = np.arange(1 - side, side) * (8.0 / max((pretrained or side) - 1, 1))
        axes.append(np.sign(offsets) * np.log2(np.abs(offsets) + 1) / math.log2(8))
    table = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    positions = np.stack(np.meshgrid(*map(np.arange, sides), indexing="ij")).reshape(2, -1)
    rows, columns = positions[:, :, None] - positions[:, None, :]  # (tokens, tokens) each
    index = (rows + sides[0] - 1) * (2 * sides[1] - 1) + columns + sides[1] - 1
    return table.astype("float32"), index.reshape(-1).astype("int32")


def _mask(size: tuple[int, int], sides: tuple[int, int], shifts: tuple[int, ...]) -> np.ndarray:
    """Return (windows, tokens, tokens): 0 for two tokens of one region of the rolled map, else ``MASKED``."""
    # The borders of the last window and of the rolled part cut each axis into three regions.
    regions = np.zeros(size, "int32")
    for axis, (side, shift) in enumerate(zip(sides, shifts, strict=True)):
        index = np.arange(size[axis])
        region = (index >= size[axis] - side).astype("int32") + (index >= size[axis] - shift)
        regions += region.reshape(-1, 1) * 3 if axis == 0 else region
    windows = regions.reshape(size[0] // sides[0], sides[0], size[1] // sides[1], sides[1])
    windows = windows.transpose(0, 2, 1, 3).reshape(-1, sides[0] * sides[1])
    return np.where(windows[:, :, None] == windows[:, None, :], 0.0, MASKED).astype("float32")


@keras.saving.register_keras_serializable(package="Models")
class PatchMerging(keras.layers.Layer):
    """Concatenate the channels of each 2 x 2 pixels and project them (arXiv:2111.09883).

    (B, H, W, C) in, (B, H/2, W/2, filters) out; zeros at the bottom and right pad odd sides. Argument:
    ``filters``, 2C by default.
    """

    def __init__(self, filters: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, input_shape: Shape) -> None:
        """Create ``kernel`` of shape (4C, filters)."""
        channels = input_shape[-1]
        shape = (4 * channels, self.filters or 2 * channels)
        self.kernel = self.add_weight(shape=shape, initializer=truncated_normal(), name="kernel")
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Concatenate, column by column, and project."""
        height, width, channels = x.shape[1:]
        x = ops.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
        rows, columns = (height + 1) // 2, (width + 1) // 2
        x = ops.reshape(x, (-1, rows, 2, columns, 2, channels))
        x = ops.reshape(ops.transpose(x, (0, 1, 3, 4, 2, 5)), (-1, rows, columns, 4 * channels))
        return ops.matmul(x, ops.cast(self.kernel, x.dtype))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (B, H/2, W/2, filters), rounded up."""
        batch, height, width, channels = input_shape
        return (batch, (height + 1) // 2, (width + 1) // 2, self.filters or 2 * channels)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "filters": self.filters}
