"""Releases as eight projects make them, of random graphs whose probabilities a test computes by hand."""

import json
import pathlib

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE, CELLS = 16, 4  # of the pictures; the graphs average cells of CELLS pixels, so that places matter
RATINGS = ("general", "sensitive", "questionable", "explicit")
NAMES = [*RATINGS, "solo", "smile", "cat_ears", "rei_(eva)"]
CODES = [9, 9, 9, 9, 0, 0, 0, 4]
WORDS = ["rating"] * 4 + ["general"] * 3 + ["character"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


def weights(scale=1.0, seed=0):
    """Random weights (cells * 3, L) and bias (L,) for inputs of a range ``scale``."""
    rng = np.random.default_rng(seed)
    num = (SIDE // CELLS) ** 2 * 3
    return rng.normal(0, 1 / scale, (num, len(NAMES))).astype("f4"), rng.normal(0, 0.5, len(NAMES)).astype(
        "f4"
    )


def logits(tensor, scale=1.0, seed=0):
    """By hand: the logits of an input (B, S, S, 3), whatever layout the graph takes it in."""
    batch, cells = len(tensor), SIDE // CELLS
    means = tensor.reshape(batch, cells, CELLS, cells, CELLS, 3).mean((2, 4))  # (B, cells, cells, 3)
    matrix, bias = weights(scale, seed)
    return means.reshape(batch, -1) @ matrix + bias


def sigmoid(values):
    return 1 / (1 + np.exp(-values.astype("f8")))


def graph(
    path, *, channels_first, scale=1.0, sigmoids=(True,), outputs=("prediction",), batch="batch", side=SIDE
):
    """Write an ONNX file with an output for each of ``outputs``, seeds 0, 1, ..., with a sigmoid or none."""
    nodes = [] if channels_first else [helper.make_node("Transpose", ["input"], ["first"], perm=[0, 3, 1, 2])]
    nodes += [
        helper.make_node(
            "AveragePool",
            ["input" if channels_first else "first"],
            ["pooled"],
            kernel_shape=[CELLS] * 2,
            strides=[CELLS] * 2,
        ),
        helper.make_node("Transpose", ["pooled"], ["last"], perm=[0, 2, 3, 1]),
        helper.make_node("Flatten", ["last"], ["flat"]),
    ]
    constants = []
    for seed, (name, ends) in enumerate(zip(outputs, sigmoids, strict=True)):
        matrix, bias = weights(scale, seed)
        constants += [numpy_helper.from_array(matrix, f"w{seed}"), numpy_helper.from_array(bias, f"b{seed}")]
        last = f"{name}_sum" if ends else name
        nodes += [helper.make_node("Gemm", ["flat", f"w{seed}", f"b{seed}"], [last])]
        nodes += [helper.make_node("Sigmoid", [last], [name])] if ends else []
    shape = [batch, 3, side, side] if channels_first else [batch, side, side, 3]
    model = helper.make_model(
        helper.make_graph(
            nodes,
            "random",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, len(NAMES)]) for name in outputs],
            constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def table(path, header="tag_id,name,category,count", codes=None, last=lambda row: "9"):
    rows = [
        f"{row + 100},{name},{code},{last(row)}"
        for row, (name, code) in enumerate(zip(NAMES, codes or CODES, strict=True))
    ]
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")


def wd(folder):
    graph(folder / "model.onnx", channels_first=False, scale=255.0)
    table(folder / "selected_tags.csv")
    return lambda rgb: sigmoid(logits(rgb[..., ::-1].astype("f4"), 255.0))


def animetimm(folder):
    """Normalized, channels first, with embedding-like further outputs and a column of thresholds."""
    graph(
        folder / "model.onnx", channels_first=True, sigmoids=(False, True), outputs=("logits", "prediction")
    )
    table(folder / "selected_tags.csv", "id,name,category,best_threshold", last=lambda row: 0.1 * row)
    steps = [
        {
            "type": "pad_to_size",
            "size": [SIDE, SIDE],
            "background_color": "white",
            "interpolation": "bicubic",
        },
        {"type": "to_tensor"},
        {"type": "normalize", "mean": MEAN, "std": STD},
    ]
    (folder / "preprocess.json").write_text(json.dumps({"stages": steps}))
    return lambda rgb: sigmoid(logits((rgb / np.float32(255) - np.float32(MEAN)) / np.float32(STD), seed=1))


def e621(folder):
    graph(folder / "model.onnx", channels_first=False, scale=255.0, outputs=("predictions_sigmoid",))
    table(folder / "tags-selected.csv", codes=[0, 0, 1, 3, 5, 7, 8, 4])
    return lambda rgb: sigmoid(logits(rgb[..., ::-1].astype("f4"), 255.0))


def pair(folder):
    """x.onnx and x.csv, as ComfyUI keeps them, of one picture at a time."""
    graph(folder / "x.onnx", channels_first=False, scale=255.0, batch=1)
    table(folder / "x.csv")
    return lambda rgb: sigmoid(logits(rgb[..., ::-1].astype("f4"), 255.0))


def camie(folder):
    """Two outputs of logits, of which the second is refined."""
    names = ("initial_predictions", "refined_predictions")
    graph(folder / "camie.onnx", channels_first=True, sigmoids=(False, False), outputs=names)
    mapping = {
        "idx_to_tag": {str(row): name for row, name in enumerate(NAMES)},
        "tag_to_category": dict(zip(NAMES, WORDS, strict=True)),
    }
    (folder / "metadata.json").write_text(json.dumps(mapping))
    return lambda rgb: sigmoid(logits(rgb / np.float32(255), seed=1))


def cl_tagger(folder):
    graph(folder / "model_optimized.onnx", channels_first=True, sigmoids=(False,), outputs=("output",))
    rows = {
        str(row): {"tag": name, "category": word.title()}
        for row, (name, word) in enumerate(zip(NAMES, WORDS, strict=True))
    }
    (folder / "tag_mapping.json").write_text(json.dumps(rows))
    return lambda rgb: sigmoid(logits(rgb[..., ::-1] / np.float32(127.5) - 1))


def joytag(folder):
    graph(folder / "model.onnx", channels_first=True, sigmoids=(False,), outputs=("output",))
    (folder / "top_tags.txt").write_text("\n".join(NAMES))
    return lambda rgb: sigmoid(logits((rgb / np.float32(255) - np.float32(CLIP_MEAN)) / np.float32(CLIP_STD)))


def deepdanbooru(folder):
    graph(folder / "model-resnet_custom_v3.onnx", channels_first=False)
    (folder / "project.json").write_text(
        json.dumps({"image_width": SIDE, "image_height": SIDE, "model": "x"})
    )
    (folder / "tags.txt").write_text("\n".join(NAMES) + "\n")
    (folder / "tags-character.txt").write_text(NAMES[-1])
    return lambda rgb: sigmoid(logits(rgb / np.float32(255)))


LAYOUTS = {
    function.__name__: function
    for function in (wd, animetimm, e621, pair, camie, cl_tagger, joytag, deepdanbooru)
}


def make(folder, name):
    """Write a release; returns (its folder, function (B, S, S, 3) RGB -> probabilities by hand)."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    return folder, LAYOUTS[name](folder)
