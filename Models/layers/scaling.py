"""Scaling of input images from 0..255 to the range that a network was trained with."""

from collections.abc import Sequence
from typing import Any, Literal

import keras
import numpy as np

from Models.layers.tensors import Shape, Tensor, ops

ScalingName = Literal["inception", "simple"] | tuple[float, ...]
SCALINGS: dict[Any, tuple[float, float]] = {
    "inception": (1 / 127.5, -1.0),
    "simple": (1 / 255.0, 0.0),
    None: (1.0, 0.0),
}  # factor, offset


@keras.saving.register_keras_serializable(package="Models")
class InputScaling(keras.layers.Layer):
    """Scale 0..255: ``inception`` to -1..1 by ``(x - 127.5) / 127.5``, ``simple`` to 0..1, None not at all.

    Six numbers are three means and three standard deviations for the channels in their order, of values 0..1:
    ``(x / 255 - mean) / deviation``.
    Any shape and number type in, the same shape in the compute dtype out; the arithmetic is in float32,
    because bfloat16 does not hold mixed images exactly. Raises ValueError for another scaling.
    """

    def __init__(self, scaling: str | Sequence[float] | None = "inception", **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.scaling = tuple(scaling) if isinstance(scaling, (list, tuple)) else scaling
        self.factor, self.offset = _affine(self.scaling)

    def build(self, input_shape: Shape) -> None:
        """Nothing to build."""
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Scale in float32."""
        return ops.cast(ops.cast(x, "float32") * self.factor + self.offset, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "scaling": self.scaling}


def _affine(scaling: Any) -> tuple[Any, Any]:
    """Return factor and offset of a scaling: two numbers, or two arrays of one number per channel."""
    if isinstance(scaling, tuple) and len(scaling) == 6 and min(scaling[3:]) > 0:
        mean, deviation = np.array(scaling, "float64").reshape(2, 3)
        return (1 / (255.0 * deviation)).astype("float32"), (-mean / deviation).astype("float32")
    if scaling not in SCALINGS:
        raise ValueError(
            "input_scaling must be 'inception', 'simple', None, or three means and three standard "
            f"deviations; got {scaling!r}"
        )
    return SCALINGS[scaling]
