"""Adaptive gradient clipping (AGC), arXiv:2102.06171.

Nets without normalization diverge at large batches when one step changes a weight by much of its size. AGC
bounds the gradient of each unit relative to the unit's weights, so the bound needs no tuning by layer or
learning rate. Models exempt their classifier (``NO_CLIP``), as the paper does.
"""

from Utils.training.tensors import Tensor, ops


def unit_norms(values: Tensor) -> Tensor:
    """Return the Euclidean norm of every unit of a weight, in a shape that broadcasts against it.

    A unit is the whole of a scalar or vector, an output column of a matrix, an output channel of a kernel
    (all axes but the last).
    """
    # Keras kernels have their output axis last: (H, W, I, O) and (I, O).
    axes = tuple(range(len(values.shape) - 1)) if len(values.shape) > 1 else None
    return ops.sqrt(ops.sum(ops.square(values), axis=axes, keepdims=True))


def clip_by_unit_norm(gradient: Tensor, weight: Tensor, factor: float, weight_floor: float = 1e-3) -> Tensor:
    """Return the gradient, each unit at most ``factor`` times as long as the unit of the weight.

    With ``b = factor * max(|w|, weight_floor)``: where ``|g| >= b``, ``g * b / max(|g|, 1e-6)``.

    Args:
        gradient: gradient of the global batch, of the weight's shape.
        weight: the weight, float32.
        factor: the original's 0.01 bounded the share of each of 8 replicas before they were summed, so up to
            0.08 of the global gradient; here the global gradient is bounded, 0.01 is stricter.
        weight_floor: norm below which a unit counts as this long: units that start at zero have to grow.

    Returns:
        A tensor of the gradient's shape.
    """
    norms = unit_norms(gradient)
    bound = factor * ops.maximum(unit_norms(weight), weight_floor)
    # `where` computes the quotient also for units that it does not pick: 1e-6 keeps it finite at norm 0.
    return ops.where(norms >= bound, gradient * (bound / ops.maximum(norms, 1e-6)), gradient)
