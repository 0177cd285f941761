"""Adaptive gradient clipping (AGC), arXiv:2102.06171."""

from keras import ops


def unit_norms(values):
    """Return the Euclidean norm of every unit of a weight, in a shape that broadcasts against it.

    A unit is the whole of a scalar or vector, an output column of a matrix, an output channel of a kernel
    (all axes but the last).
    """
    axes = tuple(range(len(values.shape) - 1)) if len(values.shape) > 1 else None
    return ops.sqrt(ops.sum(ops.square(values), axis=axes, keepdims=True))


def clipped(gradient, weight, factor, weight_floor=1e-3):
    """Return the gradient, each unit at most ``factor`` times as long as the unit of the weight.

    With ``b = factor * max(|w|, weight_floor)``: where ``|g| >= b``, ``g * b / max(|g|, 1e-6)``.

    Args:
        gradient: gradient of the global batch, of the weight's shape.
        weight: the weight, float32.
        factor: the original's 0.01 bounded the share of each of 8 replicas before they were summed, so up to
            0.08 of the global gradient; here the global gradient is bounded, 0.01 is stricter.
        weight_floor: length below which a unit counts as this long, so that zeros can grow.

    Returns:
        A tensor of the gradient's shape.
    """
    lengths = unit_norms(gradient)
    bound = factor * ops.maximum(unit_norms(weight), weight_floor)
    return ops.where(lengths >= bound, gradient * (bound / ops.maximum(lengths, 1e-6)), gradient)
