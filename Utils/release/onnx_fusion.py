"""One operator for each layer norm of an ONNX graph, and GELU as onnxruntime recognizes it.

tf2onnx writes a layer norm as a dozen operators, each of which reads and writes all activations, and GELU
with a product where onnxruntime looks for a quotient; onnxruntime fuses neither by itself.
``LayerNormalization`` is in ONNX since opset 17. What differs from the pattern in anything stays as it is.
"""

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import onnx

_MEANS = ("GlobalAveragePool", "ReduceMean")
_TO_LAST, _TO_SECOND = [0, 2, 3, 1], [0, 3, 1, 2]  # orders of axes: channels last, and back


def fuse(graph: "onnx.GraphProto") -> None:
    """Rewrite the layer norms and GELUs of a graph in place; operators that nothing needs stay behind."""
    values = _Values(graph)
    nodes = []
    for node in graph.node:
        nodes += _layer_norm(values, node) or _quotient_in_erf(values, node) or [node]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(values.added)


class _Values:
    """What makes each value of a graph: an operator, or a constant."""

    def __init__(self, graph: "onnx.GraphProto") -> None:
        self._constants = {tensor.name: tensor for tensor in graph.initializer}
        self._makers = {name: node for node in graph.node for name in node.output}
        self.added: list[onnx.TensorProto] = []

    def maker(self, name: str, *operators: str) -> "onnx.NodeProto | None":
        """Return the operator that makes a value, None where it is no such operator."""
        node = self._makers.get(name)
        return node if node is not None and node.op_type in operators else None

    def constant(self, name: str) -> "np.ndarray | None":
        from onnx import numpy_helper

        return numpy_helper.to_array(self._constants[name]) if name in self._constants else None

    def parted(self, node: "onnx.NodeProto | None") -> "tuple[np.ndarray, str] | None":
        """Return ``(constant, other input)`` of an operator of two inputs; None where neither is constant."""
        if node is None:
            return None
        for one, other in _both_ways(node):
            if (value := self.constant(one)) is not None:
                return value, other
        return None

    def add(self, value: np.ndarray, name: str) -> str:
        """Add a constant, and return its name."""
        from onnx import numpy_helper

        self.added.append(numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name))
        return name


def _both_ways(node: "onnx.NodeProto") -> list[tuple[str, str]]:
    one, other = node.input
    return [(one, other), (other, one)]


def _layer_norm(values: _Values, node: "onnx.NodeProto") -> "list[onnx.NodeProto]":
    """Return the operators for a layer norm whose last operator is ``node``; none where it ends none.

    The pattern is ``x * f + (offset - mean * f)`` with ``f = scale / sqrt(variance + epsilon)``.
    """
    if node.op_type != "Add":
        return []
    for scaled_name, shift_name in _both_ways(node):
        scaled = values.maker(scaled_name, "Mul")
        for x, factor in _both_ways(scaled) if scaled is not None else []:
            scale, mean, epsilon = _factor(values, factor, x)
            offset = None if scale is None else _offset(values, shift_name, factor, mean, scale)
            axis = _axis(values, mean, scale, offset)
            if scale is not None and offset is not None and axis:
                return _normalized(values, x, (scale, offset), epsilon, axis, node.output[0])
    return []


def _factor(values: _Values, name: str, x: str) -> "tuple[np.ndarray | None, str, float]":
    """Return ``(scale, name of the mean, epsilon)`` of ``scale / sqrt(variance of x + epsilon)``."""
    nothing = (None, "", 0.0)
    scale = values.parted(values.maker(name, "Mul"))
    reciprocal = values.maker(scale[1], "Reciprocal") if scale else None
    root = values.maker(reciprocal.input[0], "Sqrt") if reciprocal is not None else None
    total = values.parted(values.maker(root.input[0], "Add")) if root is not None else None
    variance = values.maker(total[1], *_MEANS) if total else None
    square = values.maker(variance.input[0], "Mul") if variance is not None else None
    if square is None or square.input[0] != square.input[1] or scale is None or total is None:
        return nothing
    difference = values.maker(square.input[0], "Sub")
    if difference is None or difference.input[0] != x or total[0].size != 1:
        return nothing
    reshaped = values.maker(difference.input[1], "Reshape")
    mean = difference.input[1] if reshaped is None else reshaped.input[0]
    source = values.maker(mean, *_MEANS)
    if source is None or variance is None or source.input[0] != x or _axes(source) != _axes(variance):
        return nothing
    return scale[0], mean, float(total[0].reshape(-1)[0])


def _offset(values: _Values, name: str, factor: str, mean: str, scale: np.ndarray) -> "np.ndarray | None":
    """Return the offset in ``offset - mean * factor``; None for another value."""
    offset = values.parted(values.maker(name, "Add"))
    product = values.maker(offset[1] if offset else name, "Mul")
    for one, other in _both_ways(product) if product is not None else []:
        negated = values.maker(one, "Neg")
        if other == factor and negated is not None and negated.input[0] == mean:
            return offset[0] if offset else np.zeros_like(scale)
    return None


def _axes(node: "onnx.NodeProto") -> list[int] | None:
    """Return the axes of a mean; of GlobalAveragePool those after the second, the last of rank 3."""
    if node.op_type == "GlobalAveragePool":
        return [2]
    return next((list(one.ints) for one in node.attribute if one.name == "axes"), None)


def _axis(values: _Values, mean: str, scale: "np.ndarray | None", offset: "np.ndarray | None") -> int | None:
    """Return the one axis that is normalized, counted from the end as scale and offset have it.

    -1 is the last of a sequence (B, N, C), -3 that of the channels of (B, C, H, W).
    """
    node = values.maker(mean, *_MEANS)
    if node is None or scale is None or offset is None or scale.shape != offset.shape or scale.size == 1:
        return None
    sides = [place - scale.ndim for place, side in enumerate(scale.shape) if side > 1]
    expected = {-1: ([2], [-1]), -3: ([1],)}.get(sides[0], ()) if len(sides) == 1 else ()
    return sides[0] if _axes(node) in expected else None


def _normalized(
    values: _Values, x: str, weights: tuple[np.ndarray, np.ndarray], epsilon: float, axis: int, output: str
) -> "list[onnx.NodeProto]":
    from onnx import helper

    names = [
        values.add(value.reshape(-1), f"{output}_{part}")
        for value, part in zip(weights, ("scale", "offset"), strict=True)
    ]
    if axis == -1:
        return [helper.make_node("LayerNormalization", [x, *names], [output], axis=-1, epsilon=epsilon)]
    inside = (f"{output}_last", f"{output}_normalized")
    return [
        helper.make_node("Transpose", [x], [inside[0]], perm=_TO_LAST),
        helper.make_node("LayerNormalization", [inside[0], *names], [inside[1]], axis=-1, epsilon=epsilon),
        helper.make_node("Transpose", [inside[1]], [output], perm=_TO_SECOND),
    ]


def _quotient_in_erf(values: _Values, node: "onnx.NodeProto") -> "list[onnx.NodeProto]":
    """Return ``erf(x / sqrt(2))`` for ``erf(x * sqrt(1/2))``; nothing for another operator."""
    from onnx import helper

    product = values.parted(values.maker(node.input[0], "Mul")) if node.op_type == "Erf" else None
    if (
        product is None
        or product[0].size != 1
        or abs(float(product[0].reshape(-1)[0]) - math.sqrt(0.5)) > 1e-6
    ):
        return []
    output = node.output[0]
    root = values.add(np.array(math.sqrt(2)), f"{output}_root")
    return [
        helper.make_node("Div", [product[1], root], [f"{output}_quotient"]),
        helper.make_node("Erf", [f"{output}_quotient"], [output]),
    ]
