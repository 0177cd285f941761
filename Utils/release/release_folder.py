"""Release folders: which outputs a released model has, in which order, and its files.

The clients of WD taggers read ``model.onnx`` (NHWC, float32, 0..255 BGR, probabilities first) and
``selected_tags.csv``, whose rows they cut by position: ratings, then general, then character tags.
"""

import importlib.util
import pathlib
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
import pandas as pd

from Utils.command import programs
from Utils.command.cli import UserError, WorkError
from Utils.files.atomic import AnyPath
from Utils.release import onnx_converter, onnx_runner, quantization
from Utils.tags import tag_categories, tag_list

OPSET = 17  # clients still run onnxruntime 1.17
INPUT, PROBABILITIES, EMBEDDING = "input", "prediction", "embedding"  # names in model.onnx
PACKAGES = {"saved_model": (), "litert": ("ai_edge_litert",)}  # of formats other than ONNX
ONNX_PACKAGES = ("onnx", "onnxruntime", "tf2onnx")
MAX_BYTES = 2**31 - 2**20  # of the weights of a file without external data: protobuf ends at 2 GiB
WD_CATEGORIES = tuple(tag_categories.CODES[name] for name in ("rating", "general", "character"))


def columns(tags: pd.DataFrame, layout: str) -> np.ndarray:
    """Return which outputs a layout has, in its order: int64 rows of a tag list.

    "full" has all in the order of tag lists; "wd" the four ratings, then general, then character tags. Tags
    of equal counts keep the order of the list, which clients may have built in (`tag_list.in_blocks`).
    Raises UserError where "wd" lacks a rating.
    """
    rows = tags.assign(row=np.arange(len(tags)))
    if layout == "full":
        return tag_list.in_blocks(rows)["row"].to_numpy(np.int64)
    ratings = rows.loc[rows["category"] == tag_categories.CODES["rating"], "name"].tolist()
    if sorted(ratings) != sorted(tag_list.RATINGS):
        raise UserError(
            f"the layout wd needs the four ratings {', '.join(tag_list.RATINGS)} among the tags "
            f"(category 9); this model has {', '.join(ratings) or 'none'}. Export it with --layout full"
        )
    return tag_list.in_blocks(rows[rows["category"].isin(WD_CATEGORIES)])["row"].to_numpy(np.int64)


def with_columns(model: keras.Model, columns: np.ndarray) -> keras.Model:
    """Return a float32 copy of a classifier of the zoo, without its sigmoid, of some outputs only.

    ``columns`` are int64 indices of the outputs, in the order that the copy has them.
    """
    copy: Any = keras.models.clone_model(model, clone_function=_in_float32)
    copy.set_weights(model.get_weights())
    head = copy.get_layer("head_logits")
    config = head.get_config() | {"units": len(columns)}
    if hasattr(head, "group_of_tags"):  # of ML-Decoder, whose groups the tags keep
        config["members"] = head.group_of_tags()[columns].tolist()
    new_head = type(head).from_config(config)
    logits = new_head(head.input)
    new_head.set_weights([value[..., columns] for value in head.get_weights()])
    return keras.Model(copy.input, logits, name=model.name)


def released(model: keras.Model, columns: np.ndarray, embedding: bool = False) -> keras.Model:
    """Return a float32 model of some outputs: probabilities first, then the embedding if asked for.

    Args:
        model: a classifier of the zoo, with or without its sigmoid.
        columns: int64 indices of its outputs.
        embedding: add the features (B, D) that the last layer gets, of groups of tags their mean.
    """
    logits = with_columns(model, columns)
    outputs = [keras.layers.Activation("sigmoid", dtype="float32", name=PROBABILITIES)(logits.output)]
    if embedding:
        features = logits.get_layer("head_logits").input
        if len(features.shape) > 2:  # of groups of tags: their mean says what the image is like
            features = keras.layers.GlobalAveragePooling1D(dtype="float32")(features)
        outputs.append(keras.layers.Identity(dtype="float32", name=EMBEDDING)(features))
    return keras.Model(logits.input, outputs if embedding else outputs[0], name=model.name)


def _in_float32(layer: Any) -> Any:
    config = layer.get_config()
    config["dtype"] = "float32"
    return type(layer).from_config(config)


def preprocessing(image_size: int | None) -> dict[str, Any]:
    """Return the content of preprocess.json: how an image becomes the input.

    "test" and "val" repeat it for imgutils, as far as its vocabulary goes: it has no word for the order of
    the channels.
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


def categories(tags: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the content of categories.json: the categories of a tag list in its order, with their sizes."""
    return tag_categories.sizes(tags)


def require(formats: Iterable[str]) -> None:
    """Raise UserError where a package that one of the formats needs is not installed."""
    packages = {package for name in formats for package in PACKAGES.get(name, ONNX_PACKAGES)}
    missing = sorted(package for package in packages if importlib.util.find_spec(package) is None)
    if missing:
        raise UserError(
            f"{', '.join(missing)} is needed and not installed: {programs.install_line('export')}"
        )
    if keras.backend.backend() != "tensorflow":
        raise UserError(f"exports run on KERAS_BACKEND=tensorflow; got {keras.backend.backend()}")


def write_onnx(model: keras.Model, path: AnyPath) -> None:
    """Write ``model.onnx``: one file, any batch size, the names that clients look for."""
    converted = onnx_converter.convert(model, path, OPSET)
    outputs = [output.name for output in converted.graph.output]
    names = {converted.graph.input[0].name: INPUT}
    names |= dict(zip(outputs, (PROBABILITIES, EMBEDDING), strict=False))  # the embedding is optional
    _rename(converted.graph, names)
    quantization.save(converted, path)


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Rename values of an ONNX graph, wherever they are made or used."""
    for value in (*graph.input, *graph.output):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for values in (node.input, node.output):
            for place, name in enumerate(values):
                values[place] = names.get(name, name)


def write_saved_model(model: keras.Model, path: AnyPath) -> None:
    """Write a TensorFlow SavedModel folder."""
    model.export(str(path), format="tf_saved_model", verbose=False)


def write_litert(model: keras.Model, path: AnyPath) -> None:
    """Write a LiteRT (TFLite) file."""
    model.export(str(path), format="litert", verbose=False)


def check_onnx(path: AnyPath, model: keras.Model, images: np.ndarray, bound: float = 1e-4) -> float:
    """Return the largest difference between an ONNX file and its Keras model, images (N, S, S, 3).

    The file runs the images one by one and all at once. Raises WorkError where the difference is above
    ``bound``.
    """
    expected: Any = model(images)
    expected = expected[0] if isinstance(expected, (list, tuple)) else expected
    worst = 0.0
    for batch_size in (1, len(images)):
        outputs = onnx_runner.run(path, images, batch_size)
        worst = max(worst, float(np.abs(outputs - keras.ops.convert_to_numpy(expected)).max()))
    if not worst <= bound:  # NaN fails, too
        raise WorkError(
            f"{pathlib.Path(path).name} differs from the Keras model by {worst:.2g}, over {bound:g}"
        )
    return worst


def with_thresholds(tags: pd.DataFrame, cutoffs: np.ndarray) -> pd.DataFrame:
    """Return a tag list with the column ``best_threshold``, from the threshold of each tag, NaN without one.

    A tag without a threshold gets the median of its category, else of all tags, because programs that read
    the column expect a number in every row, from 0 to 1; where every image has a tag, find_thresholds.py puts
    the float below 0. Raises UserError where no tag has one.
    """
    thresholds = pd.Series(cutoffs, index=tags.index).clip(0, 1)
    if thresholds.isna().all():
        raise UserError("the thresholds are of other tags: none of the released ones is in the table")
    of_category = thresholds.groupby(tags["category"]).transform("median")
    return tags.assign(best_threshold=thresholds.fillna(of_category).fillna(thresholds.median()))
