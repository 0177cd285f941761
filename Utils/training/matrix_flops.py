"""FLOPs of the convolutions and matrix products of a traced function: what a TPU's matrix units do.

Counted from shapes in the program as JAX traces it (a jaxpr), so before any compiler has looked at it: work
that a step asks for twice, as a rematerialized block does, counts twice; what the compiler repeats by itself
does not; products with the zeros of padding do not count. A product of (m, k) and (k, n) has 2 m k n FLOPs.
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np


def count(jaxpr: Any) -> float:
    """Return the FLOPs of all convolutions and products of a jaxpr, on all devices together.

    A loop of unknown length counts as one turn, a choice as its costliest branch.
    """
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)  # without its constants
    return float(sum(_equation(equation) for equation in jaxpr.eqns))


def _equation(equation: Any) -> float:
    name, parameters = equation.primitive.name, equation.params
    if name == "dot_general":
        (contracted, _), _ = parameters["dimension_numbers"]
        sides = equation.invars[0].aval.shape
        return 2.0 * math.prod(equation.outvars[0].aval.shape) * math.prod(sides[axis] for axis in contracted)
    if name == "conv_general_dilated":
        return _convolution(equation)
    if name == "cond":
        return max(map(count, parameters["branches"]))
    return _repetitions(name, parameters) * sum(map(count, _jaxprs(parameters)))


def _convolution(equation: Any) -> float:
    image, kernel = (variable.aval.shape for variable in equation.invars[:2])
    out, parameters = equation.outvars[0].aval.shape, equation.params
    numbers = parameters["dimension_numbers"]
    pairs = 1
    for axis in range(len(out) - 2):
        sides = (
            shape[spec[axis + 2]]
            for shape, spec in (
                (image, numbers.lhs_spec),
                (kernel, numbers.rhs_spec),
                (out, numbers.out_spec),
            )
        )
        steps = (parameters[name][axis] for name in ("window_strides", "lhs_dilation", "rhs_dilation"))
        numbers_along = [*sides, *steps, parameters["padding"][axis][0]]
        pairs *= products_along(*numbers_along)
    rows, features = (out[numbers.out_spec[axis]] for axis in (0, 1))
    return 2.0 * rows * features * kernel[numbers.rhs_spec[1]] * pairs


def products_along(
    image: int, kernel: int, out: int, stride: int, image_dilation: int, kernel_dilation: int, padding: int
) -> int:
    """Return how many pairs of a kernel's element and an image's meet along an axis, zeros left out.

    Zeros are those around the image (``padding`` of them before it) and, for ``image_dilation`` above 1,
    those between its elements, as in the gradient of a strided convolution.
    """
    places = np.arange(out)[:, None] * stride + np.arange(kernel) * kernel_dilation - padding
    is_inside = (places >= 0) & (places <= (image - 1) * image_dilation)
    return int((is_inside & (places % image_dilation == 0)).sum())


def _repetitions(name: str, parameters: dict[str, Any]) -> int:
    if name == "scan":
        return parameters["length"]
    if name == "shard_map":  # its shapes are those on one device
        return parameters["mesh"].size
    if name == "pallas_call":
        return math.prod(parameters["grid_mapping"].grid)
    return 1


def _jaxprs(parameters: dict[str, Any]) -> Iterator[Any]:
    """Yield the jaxprs among the parameters of an operation: the functions that it calls."""
    for value in parameters.values():
        for item in value if isinstance(value, (list, tuple)) else (value,):
            if hasattr(getattr(item, "jaxpr", item), "eqns"):
                yield item
