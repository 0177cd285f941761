"""Conversion of Keras models to ONNX graphs in the memory of a few copies of their weights.

TensorFlow and tf2onnx copy every constant of a graph at each of their dozen steps: 17 GB were not enough for
a ViT/L16. So kernels, nearly all of the weights, are inputs of the graph that they convert, and become
constants again afterwards.
"""

import collections
import contextlib
import os
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from Utils.files.atomic import AnyPath
from Utils.release import onnx_fusion

if TYPE_CHECKING:
    import onnx

CATCH_ERRORS = "TF2ONNX_CATCH_ERRORS"  # environment variable of tf2onnx


class _WithKernelInputs(keras.Model):
    """A model whose kernels are inputs: ``[images, *kernels]``."""

    def __init__(self, inner: keras.Model, kernels: list[keras.Variable]) -> None:
        super().__init__(name="fed")
        self.inner, self._kernels = inner, kernels

    def call(self, inputs: list) -> Any:
        images, *values = inputs
        with keras.StatelessScope(state_mapping=list(zip(self._kernels, values, strict=True))):
            return self.inner(images, training=False)


def _is_kernel(variable: keras.Variable) -> bool:
    """Whether a weight has two or more sides, as matrices have; factors and offsets have one."""
    return sum(side > 1 for side in variable.shape) >= 2


def convert(model: keras.Model, path: AnyPath, opset: int) -> "onnx.ModelProto":
    """Return a built model as an ONNX model with one input, of any batch size.

    ``path`` is only for tf2onnx' own file, which lacks the kernels: save the returned model there.
    """
    import onnx

    kernels = [variable for variable in model.weights if _is_kernel(variable)]
    signature = [keras.InputSpec(shape=(None, *model.input_shape[1:]), dtype="float32", name="images")]
    for place, variable in enumerate(kernels):
        signature.append(keras.InputSpec(shape=variable.shape, dtype="float32", name=f"kernel_{place}"))
    wrapped = _WithKernelInputs(model, kernels)
    wrapped.built = True
    with _without_copies(), warnings.catch_warnings():
        # Keras asks numpy for np.object, which tf2onnx still names.
        warnings.filterwarnings("ignore", message=".*np.object.*", category=FutureWarning)
        wrapped.export(
            str(path), format="onnx", verbose=False, input_signature=[signature], opset_version=opset
        )
    converted = onnx.load(str(path))
    inputs = list(converted.graph.input)
    values = {
        node.name: np.asarray(keras.ops.convert_to_numpy(variable))
        for node, variable in zip(inputs[1:], kernels, strict=True)
    }
    del converted.graph.input[1:]
    _fold_constants(converted, values)
    onnx_fusion.fuse(converted.graph)
    _make_deterministic(converted.graph)
    return converted


@contextlib.contextmanager
def _without_copies() -> Iterator[None]:
    """Keep tf2onnx from copying the graph before each pass, in case that raises: a third of its time."""
    before = os.environ.get(CATCH_ERRORS)
    os.environ[CATCH_ERRORS] = "FALSE"
    try:
        yield
    finally:
        os.environ.pop(CATCH_ERRORS)
        if before is not None:
            os.environ[CATCH_ERRORS] = before


def _fold_constants(model: "onnx.ModelProto", values: dict[str, np.ndarray]) -> None:
    """Make ``values``, arrays by name, constants of a graph, and precompute what depends only on constants.

    So a kernel that is transposed, standardized or split is stored as the graph uses it.
    """
    from onnx import numpy_helper

    graph = model.graph
    small = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    constants = collections.ChainMap(values, small)
    remaining = []
    for node in graph.node:
        inputs = [name for name in node.input if name]  # an optional input that is not given has no name
        if any(name in values for name in inputs) and all(name in constants for name in inputs):
            values |= _outputs_of(model, node, {name: constants[name] for name in inputs})
        else:
            remaining.append(node)
    used = {name for node in remaining for name in node.input}
    del graph.node[:]
    graph.node.extend(remaining)
    used_tensors = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(used_tensors)
    for name, value in values.items():
        if name in used:
            graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))


def _outputs_of(
    model: "onnx.ModelProto", node: "onnx.NodeProto", inputs: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Return the outputs of one operator for arrays, by name."""
    from onnx import helper, reference

    tensors = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in inputs.items()
    ]
    names = [name for name in node.output if name]
    outputs = [helper.make_empty_tensor_value_info(name) for name in names]
    graph = helper.make_graph([node], "one_operator", tensors, outputs)
    single: Any = helper.make_model(graph, opset_imports=model.opset_import)
    values: Any = reference.ReferenceEvaluator(single).run(None, inputs)
    return dict(zip(names, values, strict=True))


def _make_deterministic(graph: "onnx.GraphProto") -> None:
    """Order operators as the outputs need them, and name all by number, so that a model gives the same bytes.

    tf2onnx orders and names by hashes. Inputs and outputs of the graph keep their names.
    """
    nodes = _in_needed_order(graph)
    names = {value.name: value.name for value in [*graph.input, *graph.output]} | {"": ""}
    for place, node in enumerate(nodes):
        for name in node.input:
            names.setdefault(name, f"constant_{len(names)}")  # outputs of operators have their names by now
        for name in node.output:
            names.setdefault(name, f"value_{len(names)}")
        node.name = f"{node.op_type}_{place}"
        node.input[:] = [names[name] for name in node.input]
        node.output[:] = [names[name] for name in node.output]
    constants = {tensor.name: tensor for tensor in graph.initializer}
    ordered = [constants[name] for name in names if name in constants]
    for tensor in ordered:
        tensor.name = names[tensor.name]
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    graph.doc_string = ""  # it numbers the conversions of a process
    del graph.value_info[:]  # shapes of intermediate values, under their old names
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(ordered)


def _in_needed_order(graph: "onnx.GraphProto") -> "list[onnx.NodeProto]":
    """Return the operators that the outputs need, each after those whose outputs it takes."""
    nodes = list(graph.node)
    maker_of = {name: place for place, node in enumerate(nodes) for name in node.output if name}
    ordered: dict[int, None] = {}  # places, as a set that keeps its order
    stack = [maker_of[value.name] for value in reversed(graph.output)]  # depth first, without recursion
    while stack:
        makers = (maker_of[name] for name in nodes[stack[-1]].input if name in maker_of)
        missing = next((place for place in makers if place not in ordered), None)
        if missing is None:
            ordered.setdefault(stack.pop())
        else:
            stack.append(missing)
    return [nodes[place] for place in ordered]
