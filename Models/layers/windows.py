"""Attention within windows of a map, and the merging of patches: the parts of SwinV2 (arXiv:2111.09883)."""

import math

import keras
import numpy as np
from keras import ops

from Models.layers.head_projections import _HeadProjections, softmax

HIDDEN = 512  # of the network that gives the position bias
MOST = math.log(100.0)  # of the learned scale of the scores, as a logarithm
APART = -100.0  # added to the scores of tokens that are no neighbors


@keras.saving.register_keras_serializable(package="Models")
class WindowAttention(_HeadProjections):
    """Cosine attention within square windows, with a continuous position bias (arXiv:2111.09883).

    ``softmax(cos(q, k) * exp(scale) + bias) v`` for each head, the bias
    ``16 sigmoid(network(log-spaced offset))``. The map is padded with zeros to whole windows at the bottom
    and right. A window larger than the map becomes the map, and is not shifted.
    Arguments: ``heads``, which must divide C; ``window``, its side; ``shifted``, move the windows by half
    their side, around the border, where tokens from opposite borders do not see one another;
    ``pretrained``, side of the window that offsets are measured in, 0 for this one.
    (B, H, W, C) in, the same shape out.
    """

    def __init__(self, heads, window, shifted=False, pretrained=0, **kwargs):
        super().__init__(heads, **kwargs)
        self.window = window
        self.shifted = shifted
        self.pretrained = pretrained

    def build(self, input_shape):
        """Create projections, the scale and the network of the bias; offsets and mask are constants."""
        height, width, channels = input_shape[1:]
        self.build_projections(channels)
        self.sides = (min(self.window, height), min(self.window, width))
        self.shifts = tuple(
            side // 2 if self.shifted and size > side else 0
            for side, size in zip(self.sides, (height, width), strict=True)
        )
        start = keras.initializers.Constant(math.log(10.0))
        self.scale = self.add_weight(shape=(self.heads,), initializer=start, name="logit_scale")
        near = keras.initializers.TruncatedNormal(stddev=0.02)
        dense = {"kernel_initializer": near, "dtype": "float32"}
        self.hidden = keras.layers.Dense(HIDDEN, activation="relu", name="positions_hidden", **dense)
        self.hidden.build((None, 2))
        self.bias = keras.layers.Dense(self.heads, use_bias=False, name="positions_bias", **dense)
        self.bias.build((None, HIDDEN))
        self.offsets, self.places = _offsets(self.sides, self.pretrained)
        self.padded = tuple(
            -(-size // side) * side for size, side in zip((height, width), self.sides, strict=True)
        )
        self.mask = _mask(self.padded, self.sides, self.shifts) if any(self.shifts) else None
        self.built = True

    def call(self, x):
        """Shift, cut into windows, attend, put together, shift back."""
        height, width, channels = x.shape[1:]
        x = _rolled(x, *self.shifts)
        x = ops.pad(x, ((0, 0), (0, self.padded[0] - height), (0, self.padded[1] - width), (0, 0)))
        x = self._attend(_windows(x, self.sides))  # (B * windows, tokens, C)
        x = _map_of(x, self.sides, self.padded)[:, :height, :width]
        return _rolled(x, height - self.shifts[0], width - self.shifts[1]) if any(self.shifts) else x

    def _attend(self, x):
        tokens = x.shape[1]
        query, key, value = self.project(x, tokens)  # (B * windows, heads, tokens, d)
        scale = ops.exp(ops.minimum(ops.cast(self.scale, "float32"), MOST))
        query = ops.cast(_unit(query) * scale[:, None, None], x.dtype)
        key = ops.cast(_unit(key), x.dtype)
        scores = ops.cast(ops.matmul(query, ops.swapaxes(key, -1, -2)), "float32") + self._position_bias()
        if self.mask is not None:
            count = len(self.mask)
            scores = ops.reshape(scores, (-1, count, self.heads, tokens, tokens))
            scores = ops.reshape(
                scores + ops.convert_to_tensor(self.mask[:, None]), (-1, self.heads, tokens, tokens)
            )
        return self.join(ops.matmul(softmax(scores, x.dtype), value), tokens)

    def _position_bias(self):
        """Return (heads, tokens, tokens) in float32: what each pair of places in a window adds."""
        table = 16.0 * ops.sigmoid(self.bias(self.hidden(self.offsets)))  # (offsets, heads)
        tokens = self.sides[0] * self.sides[1]
        bias = ops.reshape(ops.take(table, self.places, axis=0), (tokens, tokens, self.heads))
        return ops.transpose(bias, (2, 0, 1))

    def macs(self, input_shape):
        """Return multiply-adds for one image of (B, H, W, C)."""
        positions, tokens = self.padded[0] * self.padded[1], self.sides[0] * self.sides[1]
        bias = len(self.offsets) * HIDDEN * (2 + self.heads)
        return 4 * positions * self.width**2 + 2 * positions * tokens * self.width + bias

    def get_config(self):
        """Return the arguments of the constructor."""
        names = ("window", "shifted", "pretrained")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _unit(x):
    """Return x in float32 with its last axis at length 1; zeros stay zeros."""
    x = ops.cast(x, "float32")
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(ops.maximum(squares, 1e-24))


def _rolled(x, down, right):
    """Move the first ``down`` rows and ``right`` columns to the end; slices convert to every format."""
    if down:
        x = ops.concatenate([x[:, down:], x[:, :down]], axis=1)
    if right:
        x = ops.concatenate([x[:, :, right:], x[:, :, :right]], axis=2)
    return x


def _windows(x, sides):
    """Cut (B, H, W, C) into (B * windows, side * side, C)."""
    height, width, channels = x.shape[1:]
    (h, w) = sides
    x = ops.reshape(x, (-1, height // h, h, width // w, w, channels))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, h * w, channels))


def _map_of(x, sides, size):
    """Put (B * windows, side * side, C) together to (B, H, W, C)."""
    (h, w), (height, width), channels = sides, size, x.shape[-1]
    x = ops.reshape(x, (-1, height // h, width // w, h, w, channels))
    return ops.reshape(ops.transpose(x, (0, 1, 3, 2, 4, 5)), (-1, height, width, channels))


def _offsets(sides, pretrained):
    """Return the offsets within a window on a logarithmic scale (M, 2), and which of them each pair has."""
    axes = []
    for side in sides:
        offsets = np.arange(1 - side, side) * (8.0 / max((pretrained or side) - 1, 1))
        axes.append(np.sign(offsets) * np.log2(np.abs(offsets) + 1) / math.log2(8))
    table = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    places = np.stack(np.meshgrid(*map(np.arange, sides), indexing="ij")).reshape(2, -1)
    apart = places[:, :, None] - places[:, None, :]  # (2, tokens, tokens)
    index = (apart[0] + sides[0] - 1) * (2 * sides[1] - 1) + apart[1] + sides[1] - 1
    return table.astype("float32"), index.reshape(-1).astype("int32")


def _mask(size, sides, shifts):
    """Return (windows, tokens, tokens): 0 for tokens of one region of the shifted map, else ``APART``."""
    regions = np.zeros(size, "int32")
    for axis, (side, shift) in enumerate(zip(sides, shifts, strict=True)):
        index = np.arange(size[axis])
        region = (index >= size[axis] - side).astype("int32") + (index >= size[axis] - shift)
        regions += region.reshape(-1, 1) * 3 if axis == 0 else region
    windows = regions.reshape(size[0] // sides[0], sides[0], size[1] // sides[1], sides[1])
    windows = windows.transpose(0, 2, 1, 3).reshape(-1, sides[0] * sides[1])
    return np.where(windows[:, :, None] == windows[:, None, :], 0.0, APART).astype("float32")


@keras.saving.register_keras_serializable(package="Models")
class PatchMerging(keras.layers.Layer):
    """Join each 2 x 2 of a map and project it: (B, H, W, C) to (B, H/2, W/2, 2C) (arXiv:2111.09883).

    Odd sides get zeros at the bottom and right. Argument: ``filters``, 2C by default.
    """

    def __init__(self, filters=None, **kwargs):
        super().__init__(**kwargs)
        self.filters = filters

    def build(self, input_shape):
        """Create ``kernel`` of shape (4C, filters)."""
        channels = input_shape[-1]
        start = keras.initializers.TruncatedNormal(stddev=0.02)
        shape = (4 * channels, self.filters or 2 * channels)
        self.kernel = self.add_weight(shape=shape, initializer=start, name="kernel")
        self.built = True

    def call(self, x):
        """Join, in the order column by column, and project."""
        height, width, channels = x.shape[1:]
        x = ops.pad(x, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)))
        rows, columns = (height + 1) // 2, (width + 1) // 2
        x = ops.reshape(x, (-1, rows, 2, columns, 2, channels))
        x = ops.reshape(ops.transpose(x, (0, 1, 3, 4, 2, 5)), (-1, rows, columns, 4 * channels))
        return ops.matmul(x, ops.cast(self.kernel, x.dtype))

    def compute_output_shape(self, input_shape):
        """Return (B, H/2, W/2, filters), rounded up."""
        batch, height, width, channels = input_shape
        return (batch, (height + 1) // 2, (width + 1) // 2, self.filters or 2 * channels)

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "filters": self.filters}
