"""A release whose tags are known: its model depends only on the mean color of an image."""

import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HEAD = "tag_id,name,category,count\n"
TAGS = """9999999,general,9,0
9999998,sensitive,9,0
9999997,questionable,9,0
9999996,explicit,9,0
1,blue_sky,0,900
2,green_grass,0,800
3,^_^,0,700
4,red_(color),0,600
5,rei_(eva),4,500
"""
# Outputs are weights @ (blue, green, red, 1), each color 0 to 1, so that the tests can compute them by hand.
WEIGHTS = [
    [0, 0, 0, 0.6],
    [0, 0, 0.8, 0],
    [0, 0, 0, 0.1],
    [0, 0, 0, 0],
    [1, 0, 0, 0],
    [0, 1, 0, 0],
    [0.5, 0.5, 0, 0],
    [0, 0, 1, 0],
    [0.9, 0, 0, 0],
]


def make(folder, *, size=8, batch="batch", tags=TAGS, weights=WEIGHTS, channels_first=False):
    """Write model.onnx and selected_tags.csv; returns the folder."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    (folder / "selected_tags.csv").write_text(HEAD + tags, encoding="utf-8")
    weights = np.array(weights, np.float32)
    shape, axes = ([batch, 3, size, size], [2, 3]) if channels_first else ([batch, size, size, 3], [1, 2])
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["mean"], axes=axes, keepdims=0),
        helper.make_node("Mul", ["mean", "scale"], ["color"]),
        helper.make_node("MatMul", ["color", "weights"], ["sum"]),
        helper.make_node("Add", ["sum", "bias"], ["prediction"]),
    ]
    constants = {
        "scale": np.float32(1 / 255),
        "weights": weights[:, :3].T.copy(),
        "bias": weights[:, 3].copy(),
    }
    graph = helper.make_graph(
        nodes,
        "mean_color",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("prediction", TensorProto.FLOAT, [batch, len(weights)])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(folder / "model.onnx"))
    return folder
