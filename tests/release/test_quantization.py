"""Smaller ONNX files: weights in half precision or 8 bits, inputs and outputs still in float32."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from Utils.release import onnx_runner, quantization


def chain(*types):
    """A model of operators with weights, 8 values wide, one after the other."""
    random, nodes, weights = np.random.default_rng(0), [], []
    for place, op_type in enumerate(types):
        names = [f"x{place}", f"w{place}"]
        nodes.append(helper.make_node(op_type, names, [f"x{place + 1}"], name=f"{op_type}_{place}"))
        shape = (8, 8, 1, 1) if op_type == "Conv" else (8, 8)
        weights.append(numpy_helper.from_array(random.normal(size=shape).astype(np.float32), names[1]))
    shape = ["batch", 8, 8, 8] if "Conv" in types else ["batch", 8]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("x0", f"x{len(types)}")
    ]
    graph = helper.make_graph(nodes, "chain", values[:1], values[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "source.onnx"
    quantization.save(chain(*["MatMul"] * 4), path)
    return path


def rows(count):
    return np.random.default_rng(1).normal(size=(count, 8)).astype(np.float32)


def types_of(path):
    model = onnx.load(str(path))
    values = [*model.graph.input, *model.graph.output]
    assert {value.type.tensor_type.elem_type for value in values} == {TensorProto.FLOAT}
    return {tensor.name: tensor.data_type for tensor in model.graph.initializer}


def test_a_saved_file_is_for_older_runtimes(source):
    assert onnx.load(str(source)).ir_version == quantization.MAX_IR


def test_float16_keeps_inputs_and_outputs(source, tmp_path):
    quantization.write_float16(source, tmp_path / "half.onnx")
    assert set(types_of(tmp_path / "half.onnx").values()) == {TensorProto.FLOAT16}
    expected, outputs = (onnx_runner.run(path, rows(5)) for path in (source, tmp_path / "half.onnx"))
    np.testing.assert_allclose(outputs, expected, rtol=0.01, atol=0.1)


def test_dynamic_quantization_is_for_models_of_matrix_products(source, tmp_path):
    assert quantization.kinds(source) == ("static", "dynamic")
    quantization.save(chain("Conv", "Conv"), tmp_path / "conv.onnx")
    assert quantization.kinds(tmp_path / "conv.onnx") == ("static",)


@pytest.mark.parametrize("kind", ["static", "dynamic"])
def test_int8_leaves_the_first_and_the_last_weights_in_float32(source, tmp_path, kind):
    quantization.write_int8(source, tmp_path / "int8.onnx", rows(20), kind)
    types = types_of(tmp_path / "int8.onnx")
    assert types["w0"] == types["w3"] == TensorProto.FLOAT
    assert types["w1_quantized"] == types["w2_quantized"] == TensorProto.INT8
    expected, outputs = (onnx_runner.run(path, rows(5)) for path in (source, tmp_path / "int8.onnx"))
    assert 0 < np.abs(outputs - expected).max() < 0.1 * np.abs(expected).max()
