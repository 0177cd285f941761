"""Estimates what training a model takes on each device, before anything is allocated there."""

import math

import keras


def estimate(model, batch_size):
    """Return bytes by what they are for, with ``batch_size`` images on a device.

    weights: all variables of the model. gradients: one value for each trainable one. optimizer: its slots
    (call ``optimizer.build`` before). activations: the output of every layer, kept for the backward pass, in
    the layer's compute dtype. What a backend fuses, recomputes or needs as scratch space is not in it: take
    it as good within a factor of two.
    """
    return {
        "weights": _bytes(model.variables),
        "gradients": _bytes(model.trainable_variables),
        "optimizer": _bytes(model.optimizer.variables),
        "activations": batch_size * sum(_output_bytes(layer) for layer in model.layers),
    }


def describe(need):
    """Say an estimate in words, the sum and its parts."""
    parts = ", ".join(f"{name} {readable(size)}" for name, size in need.items())
    return f"about {readable(sum(need.values()))} on each device ({parts})"


def _bytes(variables):
    return sum(math.prod(item.shape) * _width(item.dtype) for item in variables)


def _width(dtype):
    return {"float64": 8, "int64": 8, "float16": 2, "bfloat16": 2, "bool": 1, "uint8": 1}.get(str(dtype), 4)


def _output_bytes(layer):
    outputs = keras.tree.flatten(layer.output)
    return sum(math.prod(item.shape[1:]) * _width(layer.compute_dtype) for item in outputs)


def readable(size):
    """Return a number of bytes as people read it: ``1.2 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:.3g} {unit}"
        size /= 1000
    return None
