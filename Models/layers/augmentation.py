"""Augmentation of a training batch on the device: what is free there and costs a host half of its time."""

import math

import keras
from keras import ops

from Models.layers import replicas

WHITE = 255.0


@keras.saving.register_keras_serializable(package="Models")
class BatchAugmentation(keras.layers.Layer):
    """Mirror, rotate and mix (arXiv:1710.09412) the images of a training batch as their draws say.

    Takes ``[images, draws]``: (B, S, S, C), 0..255, and (B, 4), for every image whether it is mirrored (0 or
    1), the degrees it is turned by, counterclockwise about its center, bilinear, white outside, its own share
    in the mixture, and the row of its partner in the global batch. Returns (B, S, S, C) float32, which is the
    images in inference.

    Arguments: ``group``, where partners are of the same ``group`` neighboring rows, of which every device has
    whole ones: then no image goes from one device to another. None allows any partner.
    """

    def __init__(self, group=None, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})  # half floats hold neither rows nor angles
        if group is not None and group < 1:
            raise ValueError(f"group must be at least 1, or None; got {group!r}")
        self.group = group

    def call(self, inputs, training=False):
        """Augment in training."""
        images, draws = inputs
        images = ops.cast(images, "float32")
        if not training:
            return images
        flips, degrees, shares, partners = (draws[:, column] for column in range(4))
        turned = turn(images, flips, degrees)  # (B, S, S, C)
        shares = ops.reshape(shares, (-1, 1, 1, 1))
        return shares * turned + (1 - shares) * self._partners(turned, ops.cast(partners, "int32"))

    def _partners(self, images, rows):
        """Return the images (B, S, S, C) of some rows (B,) of the global batch."""
        if self.group is None:
            everybody = replicas.gathered(images)
            return ops.take(everybody, ops.mod(rows, ops.shape(everybody)[0]), axis=0)
        shape = images.shape[1:]
        rows = ops.reshape(ops.mod(rows, self.group), (-1, self.group))
        grouped = ops.reshape(images, (-1, self.group, *shape))
        taken = ops.vectorized_map(lambda group: ops.take(group[0], group[1], axis=0), (grouped, rows))
        return ops.reshape(taken, (-1, *shape))

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "group": self.group}

    def compute_output_shape(self, input_shape):
        """Return the shape of the images."""
        return input_shape[0]


def turn(images, flips, degrees):
    """Mirror and rotate (B, S, S, C) float32 as ``BatchAugmentation`` says; ``flips``, ``degrees`` (B,)."""
    size, channels = images.shape[1], images.shape[3]
    middle, angles = (size - 1) / 2, ops.reshape(degrees, (-1, 1, 1)) * (math.pi / 180)
    sin, cos = ops.sin(angles), ops.cos(angles)
    places = ops.arange(size, dtype="float32") - middle
    down, right = ops.reshape(places, (1, size, 1)), ops.reshape(places, (1, 1, size))
    # Where a new pixel was: turned back, then mirrored.
    y = cos * down + sin * right + middle  # (B, S, S)
    x = (cos * right - sin * down) * ops.reshape(1 - 2 * flips, (-1, 1, 1)) + middle
    side = size + 2  # with a white border, which stands for all that is outside
    bordered = ops.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=WHITE)
    bordered = ops.reshape(bordered, (-1, side * side, channels))
    y, x = ops.clip(y + 1, 0, side - 1), ops.clip(x + 1, 0, side - 1)
    top, left = ops.floor(y), ops.floor(x)
    turned = 0.0
    for below in (0, 1):
        for beside in (0, 1):
            row, column = ops.minimum(top + below, side - 1), ops.minimum(left + beside, side - 1)
            index = ops.reshape(ops.cast(row * side + column, "int32"), (-1, size * size, 1))
            weight = (1 - ops.abs(y - top - below)) * (1 - ops.abs(x - left - beside))
            pixels = ops.take_along_axis(bordered, index, axis=1)  # (B, S * S, C)
            turned = turned + ops.reshape(pixels, (-1, size, size, channels)) * weight[..., None]
    return turned


def augmented(images, draws):
    """Return what ``BatchAugmentation`` makes of a training batch, to look at: (B, S, S, C) float32."""
    return BatchAugmentation()([images, draws], training=True)


def augmenting(model, group=None):
    """Return a model of ``[images, draws]`` that augments and calls ``model``, sharing its weights.

    ``group`` is that of ``BatchAugmentation``.
    """
    images = keras.Input(model.input_shape[1:], dtype="uint8", name="image")
    draws = keras.Input((4,), dtype="float32", name="draws")
    return keras.Model([images, draws], model(BatchAugmentation(group)([images, draws])), name=model.name)
