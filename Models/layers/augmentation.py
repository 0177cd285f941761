"""Augmentation of a training batch on the device: what is free there and costs a host half of its time."""

import math

import keras
from keras import ops

WHITE = 255.0


@keras.saving.register_keras_serializable(package="Models")
class BatchAugmentation(keras.layers.Layer):
    """Mirror, rotate and mix (arXiv:1710.09412) the images of a training batch as their draws say.

    Takes ``[images, draws]``: (B, S, S, C), 0..255, and (B, 4), for every image whether it is mirrored (0 or
    1), the degrees it is turned by, counterclockwise about its center, bilinear, white outside, its own share
    in the mixture, and the row of its partner. Returns (B, S, S, C) float32, which is the images in
    inference. Where a batch is split over replicas, each holding as many rows, partners must be of the same
    replica; their rows may be those of the whole batch.
    """

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})  # half floats hold neither rows nor angles

    def call(self, inputs, training=False):
        """Augment in training."""
        images, draws = inputs
        images = ops.cast(images, "float32")
        if not training:
            return images
        flips, degrees, shares, partners = (draws[:, column] for column in range(4))
        turned = turn(images, flips, degrees)  # (B, S, S, C)
        rows = ops.mod(ops.cast(partners, "int32"), ops.shape(images)[0])
        shares = ops.reshape(shares, (-1, 1, 1, 1))
        return shares * turned + (1 - shares) * ops.take(turned, rows, axis=0)

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


def augmenting(model):
    """Return a model of ``[images, draws]`` that augments and calls ``model``, sharing its weights."""
    images = keras.Input(model.input_shape[1:], dtype="uint8", name="image")
    draws = keras.Input((4,), dtype="float32", name="draws")
    return keras.Model([images, draws], model(BatchAugmentation()([images, draws])), name=model.name)
