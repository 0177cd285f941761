"""Estimates what training a model takes on each device, before anything is allocated there."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import keras

from Utils.training.weight_sharding import WeightSharding


def estimate(
    model: keras.Model, optimizer: Any, batch_size: int, sharding: WeightSharding | None = None
) -> dict[str, int]:
    """Return the bytes of each use (weights, gradients and others), with ``batch_size`` images on a device.

    weights: all variables of the model. gradients: one value for each trainable one. optimizer: its slots
    (call ``optimizer.build`` before; where a model that augments calls this one, it belongs to that one).
    activations: the output of every layer, kept for the backward pass, in the layer's compute dtype. What a
    backend fuses, recomputes or needs as scratch space is not included: the estimate is good within a factor
    of two.
    """
    weights = model.trainable_variables

    def size(variables: Iterable[Any]) -> int:
        if sharding is None:
            return sum(map(_bytes, variables))
        return sharding.bytes_on_a_device(variables, weights, _bytes)

    return {
        "weights": size(model.variables),
        "gradients": size(weights),
        "optimizer": size(optimizer.variables),
        "activations": batch_size * sum(_output_bytes(layer) for layer in model.layers),
    }


def describe(need: Mapping[str, int]) -> str:
    """Say an estimate in words, the sum and its parts."""
    parts = ", ".join(f"{name} {readable(size)}" for name, size in need.items())
    return f"about {readable(sum(need.values()))} on each device ({parts})"


def _bytes(variable: Any) -> int:
    return math.prod(variable.shape) * _width(variable.dtype)


def _width(dtype: Any) -> int:
    return {"float64": 8, "int64": 8, "float16": 2, "bfloat16": 2, "bool": 1, "uint8": 1}.get(str(dtype), 4)


def _output_bytes(layer: Any) -> int:
    outputs = keras.tree.flatten(layer.output)
    return sum(math.prod(output.shape[1:]) * _width(layer.compute_dtype) for output in outputs)


def readable(size: float) -> str:
    """Return a number of bytes as people read it: ``1.2 GB``."""
    for unit in ("B", "kB", "MB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} GB"
