"""Layer norms and GELUs of graphs as tf2onnx writes them become what onnxruntime knows; others stay."""

import collections

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from Utils.release import onnx_converter, onnx_fusion

CHANNELS = 6
RNG = np.random.default_rng(0)
WEIGHTS = {"gamma": RNG.normal(1, 0.2, CHANNELS), "beta": RNG.normal(0, 0.2, CHANNELS)}


def layer_norm(mean_of, *, scale_shape=(-1,), eps=1e-5, restore=False, square="difference", x="x"):
    """tf2onnx' operators for a layer norm; ``restore``: the mean is reshaped, as of maps (B, C, H, W)."""
    mean = "restored" if restore else "mean"
    nodes = [mean_of([x], ["mean"])]
    nodes += [helper.make_node("Reshape", ["mean", "shape"], ["restored"])] if restore else []
    nodes += [
        helper.make_node("Sub", [x, mean], ["difference"]),
        helper.make_node("Mul", ["difference", square], ["square"]),
        mean_of(["square"], ["variance"]),
        helper.make_node("Add", ["variance", "eps"], ["total"]),
        helper.make_node("Sqrt", ["total"], ["root"]),
        helper.make_node("Reciprocal", ["root"], ["reciprocal"]),
        helper.make_node("Mul", ["gamma", "reciprocal"], ["factor"]),
        helper.make_node("Mul", [x, "factor"], ["scaled"]),
        helper.make_node("Neg", ["mean"], ["negated"]),
        helper.make_node("Mul", ["negated", "factor"], ["product"]),
        helper.make_node("Add", ["product", "beta"], ["shift"]),
        helper.make_node("Add", ["scaled", "shift"], ["y"]),
    ]
    constants = {name: value.reshape(scale_shape) for name, value in WEIGHTS.items()} | {"eps": np.array(eps)}
    return nodes, constants | {"shape": np.array([0, 1, 5, 4], np.int64)} if restore else constants


def global_pool(inputs, outputs):
    return helper.make_node("GlobalAveragePool", inputs, outputs)


def mean_over(axis):
    return lambda inputs, outputs: helper.make_node("ReduceMean", inputs, outputs, axes=[axis], keepdims=1)


def gelu():
    nodes = [
        helper.make_node("Mul", ["half", "x"], ["halved"]),
        helper.make_node("Mul", ["x", "root"], ["inner"]),
        helper.make_node("Erf", ["inner"], ["erf"]),
        helper.make_node("Add", ["one", "erf"], ["sum"]),
        helper.make_node("Mul", ["halved", "sum"], ["y"]),
    ]
    return nodes, {"half": np.array(0.5), "root": np.array(0.5**0.5), "one": np.array(1.0)}


def model(parts, shape):
    nodes, constants = parts
    tensors = [
        numpy_helper.from_array(value if value.dtype == np.int64 else value.astype(np.float32), name)
        for name, value in constants.items()
    ]
    values = [helper.make_tensor_value_info(name, 1, shape) for name in "xy"]
    graph = helper.make_graph(nodes, "pattern", values[:1], values[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def run(made, x, optimized=None):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if optimized:
        options.optimized_model_filepath = str(optimized)
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, ["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def operators(made):
    return collections.Counter(node.op_type for node in made.graph.node)


def fused(made):
    copy = onnx.ModelProto.FromString(made.SerializeToString())
    onnx_fusion.fuse(copy.graph)
    onnx_converter._make_deterministic(copy.graph)
    onnx.checker.check_model(copy)
    return copy


@pytest.mark.parametrize(
    ("parts", "shape", "expected"),
    [
        (layer_norm(global_pool), [2, 5, CHANNELS], {"LayerNormalization": 1}),
        (layer_norm(mean_over(-1), scale_shape=(1, 1, -1)), [2, 5, CHANNELS], {"LayerNormalization": 1}),
        (
            layer_norm(mean_over(1), scale_shape=(-1, 1, 1), restore=True),
            [2, CHANNELS, 5, 4],
            {"Transpose": 2, "LayerNormalization": 1},
        ),
        (gelu(), [2, 5, CHANNELS], {"Mul": 2, "Div": 1, "Erf": 1, "Add": 1}),
    ],
)
def test_a_pattern_is_fused_and_gives_the_same_numbers(parts, shape, expected, tmp_path):
    made = model(parts, shape)
    x = np.random.default_rng(1).normal(2, 3, shape).astype(np.float32)
    result = fused(made)
    assert operators(result) == expected
    np.testing.assert_allclose(
        run(result, x, tmp_path / "optimized.onnx"), run(made, x), rtol=2e-5, atol=2e-5
    )
    if "Erf" in expected:
        assert operators(onnx.load(tmp_path / "optimized.onnx")) == {"Gelu": 1}


@pytest.mark.parametrize(
    ("parts", "shape"),
    [
        (layer_norm(mean_over(1)), [2, 5, CHANNELS]),  # not over the axis of the weights
        (layer_norm(global_pool, square="x"), [2, 5, CHANNELS]),  # no variance
        (layer_norm(mean_over(2), scale_shape=(-1, 1, 1)), [2, CHANNELS, 5, 4]),
    ],
)
def test_what_differs_from_the_pattern_stays(parts, shape):
    made = model(parts, shape)
    assert operators(fused(made)) == operators(made)
