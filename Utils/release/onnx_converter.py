"""Keras models as ONNX graphs in the memory of a few copies of their weights.

TensorFlow and tf2onnx copy every constant of a graph at each of their dozen steps: 17 GB were not enough for
a ViT/L16. So kernels, nearly all of the weights, are inputs of what they convert, and become constants again
afterwards.
"""

import contextlib
import os

import keras
import numpy as np

COPIES = "TF2ONNX_CATCH_ERRORS"  # the variable of the environment that decides about copies


class _Fed(keras.Model):
    """A model whose kernels are inputs: ``[images, *kernels]``."""

    def __init__(self, inner, kernels):
        super().__init__(name="fed")
        self.inner, self._kernels = inner, kernels

    def call(self, inputs):
        images, *values = inputs
        with keras.StatelessScope(state_mapping=list(zip(self._kernels, values, strict=True))):
            return self.inner(images, training=False)


def _is_kernel(variable):
    """Tell whether a weight has two sides or more, as matrices have; factors and offsets have one."""
    return sum(side > 1 for side in variable.shape) >= 2


def convert(model, path, opset):
    """Write a built model as an ONNX file with one input, of any batch size; return it as a ModelProto.

    The file at ``path`` lacks the kernels: what is returned is what counts.
    """
    import onnx

    kernels = [variable for variable in model.weights if _is_kernel(variable)]
    signature = [keras.InputSpec(shape=(None, *model.input_shape[1:]), dtype="float32", name="images")]
    for place, variable in enumerate(kernels):
        signature.append(keras.InputSpec(shape=variable.shape, dtype="float32", name=f"kernel_{place}"))
    fed = _Fed(model, kernels)
    fed.built = True
    with _without_copies():
        fed.export(str(path), format="onnx", verbose=False, input_signature=[signature], opset_version=opset)
    made = onnx.load(str(path))
    inputs = list(made.graph.input)
    values = {
        found.name: keras.ops.convert_to_numpy(variable)
        for found, variable in zip(inputs[1:], kernels, strict=True)
    }
    del made.graph.input[1:]
    _fold(made, values)
    _number(made.graph)
    return made


@contextlib.contextmanager
def _without_copies():
    """Keep tf2onnx from copying the graph before each pass, in case it raises: a third of its time."""
    given = os.environ.get(COPIES)
    os.environ[COPIES] = "FALSE"
    try:
        yield
    finally:
        os.environ.pop(COPIES)
        if given is not None:
            os.environ[COPIES] = given


def _fold(made, values):
    """Make ``values``, arrays by name, constants of a graph, and what follows from constants alone.

    A kernel that is transposed, standardized or divided in parts is stored as the graph uses it.
    """
    from onnx import numpy_helper

    graph = made.graph
    small = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    left = []
    for node in graph.node:
        given = [name for name in node.input if name]
        if any(name in values for name in given) and all(name in values or name in small for name in given):
            values |= _computed(made, node, {name: values.get(name, small.get(name)) for name in given})
        else:
            left.append(node)
    used = {name for node in left for name in node.input}
    del graph.node[:]
    graph.node.extend(left)
    kept = [tensor for tensor in graph.initializer if tensor.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    for name, value in values.items():
        if name in used:
            graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))


def _computed(made, node, given):
    """Return what one operator makes of arrays, by name."""
    from onnx import helper, reference

    tensors = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in given.items()
    ]
    outputs = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    alone = helper.make_graph([node], "alone", tensors, outputs)
    model = helper.make_model(alone, opset_imports=made.opset_import)
    found = reference.ReferenceEvaluator(model).run(None, given)
    return dict(zip([name for name in node.output if name], found, strict=True))


def _number(graph):
    """Order operators as the outputs need them, and name all by number: tf2onnx does both by hashes.

    The same model gives the same bytes. Inputs and outputs of the graph keep their names.
    """
    nodes = _as_needed(graph)
    kept = {value.name for value in [*graph.input, *graph.output]} | {""}
    names = {name: name for name in kept}
    for place, node in enumerate(nodes):
        for name in node.input:
            names.setdefault(name, f"constant_{len(names)}")  # what operators make was named before
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
    graph.doc_string = ""  # which call it was
    del graph.value_info[:]  # names and shapes in between, which nothing needs
    for field, content in ((graph.node, nodes), (graph.initializer, ordered)):
        del field[:]
        field.extend(content)


def _as_needed(graph):
    """Return the operators that the outputs need, each after what it takes."""
    nodes = list(graph.node)
    makers = {name: place for place, node in enumerate(nodes) for name in node.output if name}
    ordered = {}  # places, as a set that keeps its order
    waiting = [makers[value.name] for value in reversed(graph.output)]
    while waiting:
        place = waiting[-1]
        needed = [makers[name] for name in nodes[place].input if name in makers]
        needed = [other for other in needed if other not in ordered]
        if needed:
            waiting.append(needed[0])
        else:
            ordered.setdefault(waiting.pop())
    return [nodes[place] for place in ordered]
