"""Releases: which outputs a released model has, in which order, and the formats it is written in.

The clients of WD's taggers read ``model.onnx`` (NHWC, float32, 0..255 BGR, probabilities first) and
``selected_tags.csv``, whose rows they cut by position: ratings, then general, then character tags.
"""

import importlib.util
import pathlib

import keras
import numpy as np
import pandas as pd

from Utils.command.cli import UserError, WorkError
from Utils.evaluation import threshold_table
from Utils.release import onnx_converter, quantization
from Utils.tags import tag_list

OPSET = 17  # clients still run onnxruntime 1.17
INPUT, PROBABILITIES, EMBEDDING = "input", "prediction", "embedding"  # names in model.onnx
PACKAGES = {"saved_model": (), "litert": ("ai_edge_litert",)}
ONNX_PACKAGES = ("onnx", "onnxruntime", "tf2onnx")
MOST_BYTES = 2**31 - 2**20  # of one file without external data, less what the graph itself takes
WD_CATEGORIES = tuple(tag_list.CATEGORIES[name] for name in ("rating", "general", "character"))


def columns(frame, layout):
    """Return which outputs a layout has, in its order: int64 rows of a tag list.

    "full" has all, as tag lists are ordered; "wd" the four ratings, then general, then character tags.
    Raises UserError where "wd" lacks a rating.
    """
    rows = frame.assign(row=np.arange(len(frame)))
    if layout == "full":
        return tag_list.ordered(rows)["row"].to_numpy(np.int64)
    ratings = rows.loc[rows["category"] == tag_list.CATEGORIES["rating"], "name"].tolist()
    if sorted(ratings) != sorted(tag_list.RATINGS):
        raise UserError(
            f"the layout wd needs the four ratings {', '.join(tag_list.RATINGS)} among the tags "
            f"(category 9); "
            f"this model has {', '.join(ratings) or 'none'}. Export it with --layout full"
        )
    return tag_list.ordered(rows[rows["category"].isin(WD_CATEGORIES)])["row"].to_numpy(np.int64)


def with_columns(model, chosen):
    """Return a float32 copy of a classifier of the zoo, without its sigmoid, whose outputs are ``chosen``."""
    plain = keras.models.clone_model(model, clone_function=_in_float32)
    plain.set_weights(model.get_weights())
    head = plain.get_layer("head_logits")
    small = keras.layers.Dense(len(chosen), dtype="float32", name="head_logits")
    logits = small(head.input)
    small.set_weights([value[..., chosen] for value in head.get_weights()])
    return keras.Model(plain.input, logits, name=model.name)


def released(model, chosen, embedding=False):
    """Return a float32 model of the outputs ``chosen``, probabilities first, then the embedding if asked for.

    Args:
        model: a classifier of the zoo, with or without its sigmoid.
        chosen: int64 indices of its outputs.
        embedding: add the features that its last layer sees.
    """
    logits = with_columns(model, chosen)
    found = [keras.layers.Activation("sigmoid", dtype="float32", name=PROBABILITIES)(logits.output)]
    if embedding:
        features = logits.get_layer("head_logits").input
        found.append(keras.layers.Identity(dtype="float32", name=EMBEDDING)(features))
    return keras.Model(logits.input, found if embedding else found[0], name=model.name)


def _in_float32(layer):
    config = layer.get_config()
    config["dtype"] = "float32"
    return type(layer).from_config(config)


def preprocessing(image_size):
    """Return what preprocess.json says: how a picture becomes the input.

    Beside it, under the names and in the words of imgutils, the steps that those words have: channels and
    their place are not among them.
    """
    steps = [
        {"type": "convert_rgb", "force_background": "white"},
        {"type": "pad_to_size", "size": [image_size, image_size], "background_color": "white",
         "interpolation": "bicubic"},
    ]  # fmt: skip
    return {
        "image_size": image_size,
        "layout": "NHWC",
        "channels": "BGR",
        "range": [0, 255],
        "dtype": "float32",
        "transparency": "composited on white",
        "padding": "to a square, white, centered",
        "resize": "area",
        "output": "probabilities",
        "test": steps,
        "val": steps,
    }


def categories(frame):
    """Return what categories.json says: the categories of a tag list in its order, with their sizes."""
    counts = frame["category"].value_counts(sort=False)
    return [
        {"category": int(code), "name": tag_list.category_name(code), "count": int(counts[code])}
        for code in dict.fromkeys(frame["category"].tolist())
    ]


def require(formats):
    """Raise UserError where a package that a format needs is not installed, before any work."""
    wanted = {package for name in formats for package in PACKAGES.get(name, ONNX_PACKAGES)}
    missing = sorted(package for package in wanted if importlib.util.find_spec(package) is None)
    if missing:
        raise UserError(
            f"{', '.join(missing)} is needed and not installed: pip install -r requirements-export.txt"
        )
    if keras.backend.backend() != "tensorflow":
        raise UserError(f"exports run on KERAS_BACKEND=tensorflow; got {keras.backend.backend()}")


def write_onnx(model, path):
    """Write ``model.onnx``: one file, any batch size, the names that clients look for."""
    made = onnx_converter.convert(model, path, OPSET)
    names = {made.graph.input[0].name: INPUT}
    names |= dict(zip((found.name for found in made.graph.output), (PROBABILITIES, EMBEDDING), strict=False))
    _rename(made.graph, names)
    quantization.save(made, path)


def _rename(graph, names):
    """Give values of an ONNX graph other names, wherever they are made or used."""
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for ends in (node.input, node.output):
            for place, name in enumerate(ends):
                ends[place] = names.get(name, name)


def write_saved_model(model, path):
    """Write a TensorFlow SavedModel folder."""
    model.export(str(path), format="tf_saved_model", verbose=False)


def write_litert(model, path):
    """Write a LiteRT (TFLite) file."""
    model.export(str(path), format="litert", verbose=False)


def onnx_runner(path):
    """Return a function ``(images (N, S, S, 3), batch_size=4) -> first output``, computed on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name, output = session.get_inputs()[0].name, session.get_outputs()[0].name

    def run(images, batch_size=4):
        parts = [images[start : start + batch_size] for start in range(0, len(images), batch_size)]
        return np.concatenate([session.run([output], {name: part.astype("float32")})[0] for part in parts])

    return run


def run_onnx(path, images, batch_size=4):
    """Return the first output of an ONNX file for images (N, S, S, 3), computed on the CPU."""
    return onnx_runner(path)(images, batch_size)


def check_onnx(path, model, images, bound=1e-4):
    """Return the largest difference between an ONNX file and its Keras model; WorkError beyond ``bound``."""
    expected = model(images)
    expected = expected[0] if isinstance(expected, (list, tuple)) else expected
    worst = 0.0
    for batch in (1, len(images)):
        found = run_onnx(path, images, batch)
        worst = max(worst, float(np.abs(found - keras.ops.convert_to_numpy(expected)).max()))
    if not worst <= bound:
        raise WorkError(
            f"{pathlib.Path(path).name} differs from the Keras model by {worst:.2g}, over {bound:g}"
        )
    return worst


def with_thresholds(frame, table):
    """Return a tag list with the column ``best_threshold`` of a thresholds.csv as a DataFrame.

    A tag that the table has nothing for gets the median of its category's, else of all, since programs that
    read the column expect a number in every row. Raises UserError where no tag has one.
    """
    found = pd.Series(threshold_table.per_tag(table, frame), index=frame.index)
    if found.isna().all():
        raise UserError("the thresholds are of other tags: none of the released ones is in the table")
    found = found.fillna(found.groupby(frame["category"]).transform("median")).fillna(found.median())
    return frame.assign(best_threshold=found)
