"""Conversion to ONNX: kernels become constants of the graph, and a model always gives the same bytes."""

import os

import keras
import numpy as np
import onnx

from Utils.release import onnx_converter


def test_kernels_pass_by_the_converter_and_are_stored_as_the_graph_uses_them(tmp_path):
    image = keras.Input((16, 16, 3))
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(200, 5)(image))
    model = keras.Model(image, keras.layers.Dense(500)(features))
    converted = onnx_converter.convert(model, tmp_path / "small.onnx", 17)
    weights = {tensor.name for tensor in converted.graph.initializer}
    assert (tmp_path / "small.onnx").stat().st_size < 20_000 < 4 * model.count_params()
    assert len(converted.graph.input) == 1
    assert [node.op_type for node in converted.graph.node if set(node.input) <= weights] == []
    # tf2onnx goes on counting in its names, and orders by their hashes
    again = onnx_converter.convert(model, tmp_path / "again.onnx", 17)
    assert again.SerializeToString(deterministic=True) == converted.SerializeToString(deterministic=True)


def test_constants_are_folded_through_several_operators():
    """A kernel that is transposed and doubled is stored so; a value that depends on the input stays."""
    nodes = [
        onnx.helper.make_node("Transpose", ["kernel"], ["turned"], perm=[1, 0]),
        onnx.helper.make_node("Mul", ["turned", "two"], ["doubled"]),
        onnx.helper.make_node("MatMul", ["x", "doubled"], ["y"]),
    ]
    values = [onnx.helper.make_tensor_value_info(name, 1, [None, 2]) for name in "xy"]
    constants = [onnx.numpy_helper.from_array(np.float32(2), name) for name in ("two", "unused")]
    graph = onnx.helper.make_graph(nodes, "folding", values[:1], values[1:], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    kernel = np.arange(4, dtype=np.float32).reshape(2, 2)
    onnx_converter._fold_constants(model, {"kernel": kernel})
    assert [node.op_type for node in model.graph.node] == ["MatMul"]
    (tensor,) = model.graph.initializer
    assert tensor.name == "doubled"
    np.testing.assert_array_equal(onnx.numpy_helper.to_array(tensor), 2 * kernel.T)


def test_operators_are_ordered_and_named_whatever_order_they_came_in():
    def graph(order, suffix):
        nodes = [
            onnx.helper.make_node("Relu", ["x"], ["a" + suffix]),
            onnx.helper.make_node("Neg", ["a" + suffix], ["b" + suffix]),
            onnx.helper.make_node("Add", ["a" + suffix, "b" + suffix], ["y"]),
            onnx.helper.make_node("Abs", ["x"], ["unused"]),
        ]
        values = [onnx.helper.make_tensor_value_info(name, 1, [None, 2]) for name in "xy"]
        made = onnx.helper.make_graph([nodes[place] for place in order], "g", values[:1], values[1:])
        onnx_converter._make_deterministic(made)
        return made

    first, second = graph([0, 1, 2, 3], "1"), graph([2, 3, 1, 0], "2")
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)
    assert [node.op_type for node in first.node] == ["Relu", "Neg", "Add"]
    assert (first.input[0].name, first.output[0].name) == ("x", "y")


def test_the_environment_is_left_as_it_was(monkeypatch):
    for before in (None, "TRUE"):
        monkeypatch.delenv(onnx_converter.CATCH_ERRORS, raising=False)
        if before:
            monkeypatch.setenv(onnx_converter.CATCH_ERRORS, before)
        with onnx_converter._without_copies():
            assert os.environ[onnx_converter.CATCH_ERRORS] == "FALSE"
        assert os.environ.get(onnx_converter.CATCH_ERRORS) == before
