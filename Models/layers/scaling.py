"""Scaling of input images from 0..255 to what a network expects."""

from typing import Literal

import keras
from keras import ops

ScalingName = Literal["inception", "simple"]
SCALINGS = {"inception": (1 / 127.5, -1.0), "simple": (1 / 255.0, 0.0), None: (1.0, 0.0)}  # factor, offset


@keras.saving.register_keras_serializable(package="Models")
class InputScaling(keras.layers.Layer):
    """Scale 0..255: ``inception`` to -1..1 by ``(x - 127.5) / 127.5``, ``simple`` to 0..1, None not at all.

    Any shape and number type in, the same shape in the compute type out; the arithmetic is in float32,
    because bfloat16 does not hold mixed images exactly. Raises ValueError for another name.
    """

    def __init__(self, scaling="inception", **kwargs):
        super().__init__(autocast=False, **kwargs)
        if scaling not in SCALINGS:
            raise ValueError(f"input_scaling must be 'inception', 'simple' or None; got {scaling!r}")
        self.scaling = scaling

    def build(self, input_shape):
        """Nothing to build."""
        self.built = True

    def call(self, x):
        """Scale in float32."""
        factor, offset = SCALINGS[self.scaling]
        return ops.cast(ops.cast(x, "float32") * factor + offset, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """Return the input's shape."""
        return input_shape

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "scaling": self.scaling}
