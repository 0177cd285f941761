"""Weights of a saved model into another: the same body, images of another size, other tags."""

import functools
import json
import re

import keras
import numpy as np

from Models.layers.model_ends import LOGITS, without_activation
from Models.loading import load_model
from Models.resizing import fitted
from Utils.command.cli import UserError

BLOCK = re.compile(r"(?:stage\d+_)?block\d+")
WITHOUT_EFFECT = ("name", "dtype", "trainable", "seed", "rate", "units")  # on what the trained model says
IGNORED = ("initializer", "regularizer", "constraint", "quantization")


def like(file, image_size, num_labels, dtype_policy="float32"):
    """Return the JSON from which ``rebuild`` makes a model built as the one in a ``.keras`` file is.

    It gives logits of ``num_labels`` tags and computes in ``dtype_policy``. Raises UserError where the
    architecture cannot take that size.
    """
    model = without_activation(load_model(file))
    image = keras.Input((image_size, image_size, 3), name="image")
    fresh = functools.partial(_fresh, num_labels=num_labels, dtype_policy=dtype_policy)
    try:
        copy = keras.models.clone_model(model, input_tensors=image, clone_function=fresh)
    except ValueError as error:
        raise UserError(f"{model.name} cannot take images of {image_size} px: {error}") from error
    return describe(copy)


def describe(model):
    """Return the JSON from which ``rebuild`` makes the same model; how it is trained is another matter."""
    described = json.loads(model.to_json())
    described.pop("compile_config", None)
    return json.dumps(described)


def _fresh(layer, num_labels, dtype_policy):
    config = layer.get_config()
    if layer.name == LOGITS:
        config["units"] = num_labels  # stays float32
    else:
        config["dtype"] = dtype_policy
    return type(layer).from_config(config)


def rebuild(described):
    """Return the model of the JSON that ``like`` or ``describe`` gave, with fresh weights."""
    return keras.models.model_from_json(described)


def transfer(file, model, rows, frequencies):
    """Copy the weights of a ``.keras`` file into ``model``; return in words where the two differ.

    Args:
        file: a model of the zoo; position embeddings are resampled where its images have another size.
        model: the model that receives, without a sigmoid.
        rows: (num_labels,) for each tag its output in the file, -1 for a new one. Its column of the kernel
            and its bias are copied as they are.
        frequencies: (num_labels,) between 0 and 1. A new tag begins with a kernel of 0 and a bias at which
            the probability is its frequency.

    Returns a list of settings without weights that differ, such as the epsilon of a norm. Raises UserError
    where a layer is missing, left over or has other shapes; nothing is copied then.
    """
    source = without_activation(load_model(file))
    old, new = ({layer.name: layer for layer in each.layers} for each in (source, model))
    both = [name for name in old if name in new]
    try:
        values = {name: fitted(old[name], new[name]) for name in both if old[name].get_weights()}
    except ValueError as error:
        raise UserError(f"{file} does not fit images of {model.input_shape[1]} px: {error}") from error
    _check(file, model, old, new, values)
    for name in values.keys() - {LOGITS}:
        new[name].set_weights(values[name])
    classifier = _classifier(old[LOGITS].get_weights(), rows, frequencies)
    new[LOGITS].set_weights(classifier)
    return sorted({text for name in both for text in _differences(old[name], new[name])})


def _check(file, model, old, new, values):
    """Raise UserError where weights are missing, left over or of other shapes."""
    ours, theirs = ({name for name, layer in each.items() if layer.get_weights()} for each in (new, old))
    values = {**values, LOGITS: [values[LOGITS][0][:, :0], values[LOGITS][1][:0]]}  # tags may differ
    wanted = {name: [tuple(weight.shape) for weight in new[name].weights] for name in ours & theirs}
    features = wanted[LOGITS][0][0]
    wanted[LOGITS] = [(features, 0), (0,)]
    shapes = [name for name, shape in wanted.items() if [value.shape for value in values[name]] != shape]
    told = [("missing from it", ours - theirs), ("left over in it", theirs - ours), ("other shapes", shapes)]
    lines = [f"{what}: {', '.join(sorted(names)[:4])} ({len(names)})" for what, names in told if names]
    if lines:
        raise UserError(
            f"{file} is another {model.name} than the recipe's; layers {'; '.join(lines)}. "
            "Give the options it was built with, or use the recipe finetune, which takes the model as it is"
        )


def _classifier(weights, rows, frequencies):
    """Return kernel (C, num_labels) and bias (num_labels,) for the new list of tags."""
    kernel, bias = weights
    priors = np.log(frequencies) - np.log1p(-np.asarray(frequencies))
    new = rows < 0
    columns = np.where(new, 0, rows)
    return [np.where(new, 0.0, kernel[:, columns]), np.where(new, priors.astype(bias.dtype), bias[columns])]


def _differences(old, new):
    """Return in words the settings of two layers that differ and change what they compute."""
    if not isinstance(new, type(old)):
        yield f"a {type(old).__name__} is a {type(new).__name__} now"
        return
    before, now = old.get_config(), new.get_config()
    for key in now:
        if key in WITHOUT_EFFECT or key.endswith(IGNORED) or before.get(key) == now[key]:
            continue
        if isinstance(now[key], (int, float, str, type(None))):
            yield f"{key} was {before.get(key)}, is {now[key]}"


def freeze(model, frozen):
    """Let the classifier alone learn, or everything again."""
    for layer in model.layers:
        layer.trainable = layer.name == LOGITS or not frozen


def layer_rates(model, decay):
    """Return (pattern, factor) pairs: the head learns at 1, every block below at ``decay`` of the one above.

    Blocks are told by their names, ``stage0_block1_...`` or ``block1_...``; the stem is one step below the
    first one, what stands between two belongs to the later one (arXiv:2106.08254, section 3.1).
    """
    if decay == 1:
        return []
    depths, blocks = {}, []  # {depth: names of layers}
    for name in (layer.name for layer in model.layers if layer.weights):
        block = BLOCK.match(name)
        if block and block[0] not in blocks:
            blocks.append(block[0])
        between = len(blocks) + 1 if blocks else 0
        depths.setdefault(blocks.index(block[0]) + 1 if block else between, []).append(name)
    top = len(blocks) + 1
    return [(rf"^(?:{'|'.join(names)})/", decay ** (top - depth)) for depth, names in sorted(depths.items())]
