"""Augmentation on the device: flip, rotation and MixUp, nearly free there but half of a host's work."""

import math
from collections.abc import Sequence
from typing import Any

import keras

from Models.layers import replicas
from Models.layers.tensors import Shape, Tensor, ops

WHITE = 255.0


@keras.saving.register_keras_serializable(package="Models")
class BatchAugmentation(keras.layers.Layer):
    """Flip, rotate and mix (MixUp, arXiv:1710.09412) the images of a training batch by given random draws.

    Inputs ``[images, draws]``: images (B, S, S, C), 0..255, and draws (B, 4). The columns of draws: 1 to flip
    the image horizontally or 0; degrees to rotate it counterclockwise about its center, bilinear, white
    outside; its share in the mixture, 0..1; the row of its MixUp partner in the global batch.
    Returns (B, S, S, C) float32; in inference the images as they are.

    Argument: ``group``, a number of neighboring rows within which partners lie. Devices hold whole groups, so
    no image travels between them. None allows any partner. Raises ValueError for a group below 1.
    """

    def __init__(self, group: int | None = None, **kwargs: Any) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})  # half floats hold neither rows nor angles
        if group is not None and group < 1:
            raise ValueError(f"group must be at least 1, or None; got {group!r}")
        self.group = group

    def call(self, inputs: Sequence[Tensor], training: bool | None = False) -> Tensor:
        """Augment in training."""
        images, draws = inputs
        images = ops.cast(images, "float32")
        if not training:
            return images
        flips, degrees, shares, partners = (draws[:, column] for column in range(4))
        rotated = flip_and_rotate(images, flips, degrees)  # (B, S, S, C)
        shares = ops.reshape(shares, (-1, 1, 1, 1))
        partner_images = self._take(rotated, ops.cast(partners, "int32"))
        return shares * rotated + (1 - shares) * partner_images

    def _take(self, images: Tensor, rows: Tensor) -> Tensor:
        """Return (B, S, S, C), the images at ``rows`` (B,) of the global batch."""
        if self.group is None:
            global_batch = replicas.all_gather(images)
            return ops.take(global_batch, ops.mod(rows, ops.shape(global_batch)[0]), axis=0)
        shape = images.shape[1:]
        rows = ops.reshape(ops.mod(rows, self.group), (-1, self.group))
        grouped = ops.reshape(images, (-1, self.group, *shape))
        taken = ops.vectorized_map(lambda group: ops.take(group[0], group[1], axis=0), (grouped, rows))
        return ops.reshape(taken, (-1, *shape))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "group": self.group}

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the shape of the images."""
        return input_shape[0]


def flip_and_rotate(images: Tensor, flips: Tensor, degrees: Tensor) -> Tensor:
    """Flip, then rotate (B, S, S, C) float32 as ``BatchAugmentation`` does; ``flips``, ``degrees``: (B,)."""
    size, channels = images.shape[1], images.shape[3]
    middle, angles = (size - 1) / 2, ops.reshape(degrees, (-1, 1, 1)) * (math.pi / 180)
    sin, cos = ops.sin(angles), ops.cos(angles)
    centered = ops.arange(size, dtype="float32") - middle
    down, right = ops.reshape(centered, (1, size, 1)), ops.reshape(centered, (1, 1, size))
    # The source of every output pixel: rotated back, then flipped.
    y = cos * down + sin * right + middle  # (B, S, S)
    x = (cos * right - sin * down) * ops.reshape(1 - 2 * flips, (-1, 1, 1)) + middle
    # Sources outside the image are clipped to a white border of one pixel.
    side = size + 2
    bordered = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=WHITE)
    bordered = ops.reshape(bordered, (-1, side * side, channels))
    y, x = ops.clip(y + 1, 0, side - 1), ops.clip(x + 1, 0, side - 1)
    top, left = ops.floor(y), ops.floor(x)
    output = 0.0
    # Bilinear: the weighted sum of the four pixels around the source.
    for below in (0, 1):
        for beside in (0, 1):
            row, column = ops.minimum(top + below, side - 1), ops.minimum(left + beside, side - 1)
            index = ops.reshape(ops.cast(row * side + column, "int32"), (-1, size * size, 1))
            weight = (1 - ops.abs(y - top - below)) * (1 - ops.abs(x - left - beside))
            pixels = ops.take_along_axis(bordered, index, axis=1)  # (B, S * S, C)
            output = output + ops.reshape(pixels, (-1, size, size, channels)) * weight[..., None]
    return output


def augment_batch(images: Tensor, draws: Tensor) -> Tensor:
    """Return (B, S, S, C) float32: a training batch as ``BatchAugmentation`` shows it to the model."""
    return BatchAugmentation()([images, draws], training=True)


def with_augmentation(model: keras.Model, group: int | None = None) -> keras.Model:
    """Return a model of ``[images, draws]`` that augments, then calls ``model`` and shares its weights.

    ``images`` (B, S, S, 3) uint8, ``draws`` (B, 4) float32 and ``group`` as in ``BatchAugmentation``.
    """
    images = keras.Input(model.input_shape[1:], dtype="uint8", name="image")
    draws = keras.Input((4,), dtype="float32", name="draws")
    return keras.Model([images, draws], model(BatchAugmentation(group)([images, draws])), name=model.name)
