"""Transfers a saved model's weights to a new run, which may have another image size and other tags.

An architecture travels as JSON text, because a run keeps it beside its checkpoints to continue later.
"""

import contextlib
import functools
import json
import math
import pathlib
from collections.abc import Iterator

import keras
import numpy as np

from Models.layers.model_ends import HEAD, HEAD_STARTS, LOGITS, keep_groups, without_activation
from Models.layers.rematerialization import BLOCK
from Models.loading import load_model
from Models.resizing import resized_weights
from Utils.command.cli import UserError
from Utils.command.text import join_names
from Utils.files import damage

Layers = dict[str, keras.layers.Layer]

# Settings that may differ: they do not change what a trained model computes.
WITHOUT_EFFECT = ("name", "dtype", "trainable", "seed", "rate", "units", "momentum")
WITHOUT_EFFECT_SUFFIXES = ("initializer", "stddev", "regularizer", "constraint", "quantization")


def head_layers(model: keras.Model, new_head: bool = False) -> list[str]:
    """Return the names of the layers of a model's head, in forward order.

    That is the classifier alone; of a ``new_head`` all from its first layer on that has weights of its own:
    attention pooling or the decoder, but not the norm before it.
    """
    names = [layer.name for layer in model.layers if layer.name.startswith(HEAD)]
    starts = (*HEAD_STARTS, LOGITS) if new_head else (LOGITS,)
    first = next(place for place, name in enumerate(names) if name in starts)
    return names[first : names.index(LOGITS) + 1]


def split_at_head(model: keras.Model, new_head: bool = False) -> tuple[keras.Model, keras.Model]:
    """Return the body (B, S, S, 3) -> features (B, F) of a model, and the head, features -> logits.

    Both share its layers: to train the head trains the model's. `head_layers` says where it
    begins.
    """
    first = model.get_layer(head_layers(model, new_head)[0])
    shape = first.input.shape[1:]
    features = keras.Input((math.prod(shape),), name="features")
    x = first.input if len(shape) == 1 else keras.layers.Reshape((math.prod(shape),))(first.input)
    body = keras.Model(model.input, x, name="body")
    head = keras.Model(first.input, without_activation(model).output)
    x = features if len(shape) == 1 else keras.layers.Reshape(shape)(features)
    return body, keras.Model(features, head(x), name="head")


def adapted_json(file: pathlib.Path, image_size: int, num_labels: int, dtype_policy: str = "float32") -> str:
    """Return the architecture of a ``.keras`` file for another size and number of tags, for ``from_json``.

    The model gives logits of ``num_labels`` tags and computes in ``dtype_policy``. Clears Keras' session but
    not its distribution: names of variables must not depend on what was loaded. Raises UserError if the
    architecture cannot take images of that size.
    """
    with _on_one_device():
        model = without_activation(load_model(file))
        image = keras.Input((image_size, image_size, 3), name="image")
        adapt = functools.partial(_adapted, num_labels=num_labels, dtype_policy=dtype_policy)
        try:
            copy = keras.models.clone_model(model, input_tensors=image, clone_function=adapt)
        except ValueError as error:
            raise UserError(f"{model.name} cannot take images of {image_size} px: {error}") from error
        text = to_json(copy)
        keras.backend.clear_session()
    return text


def to_json(model: keras.Model) -> str:
    """Return the architecture of a model for ``from_json``, without optimizer and loss."""
    config = json.loads(model.to_json())
    # A run compiles its own optimizer and loss; those of the source may not even be importable.
    config.pop("compile_config", None)
    return json.dumps(config)


def _adapted(layer: keras.layers.Layer, num_labels: int, dtype_policy: str) -> keras.layers.Layer:
    """Return a copy of a layer for ``adapted_json``, with fresh weights."""
    config = layer.get_config()
    if layer.name == LOGITS:
        config["units"] = num_labels  # the classifier stays float32
    else:
        config["dtype"] = dtype_policy
    return type(layer).from_config(config)


def from_json(architecture: str) -> keras.Model:
    """Return the model of an architecture from ``adapted_json`` or ``to_json``, with fresh weights.

    Raises UserError where the text describes none.
    """
    with damage.named("the architecture.json of the run", "is damaged"):
        model = keras.models.model_from_json(architecture)
        if not isinstance(model, keras.Model):
            raise ValueError("it describes no model")
    return model


def copy_weights(
    file: pathlib.Path,
    model: keras.Model,
    rows: np.ndarray,
    new_biases: np.ndarray,
    order: str | None = None,
    new_head: bool = False,
) -> list[str]:
    """Copy the weights of a saved model into ``model``; return in words which settings differ.

    Args:
        file: a ``.keras`` file of the zoo, or a timm folder. Position embeddings are resampled if its image
            size differs.
        model: the model that gets the weights; it gives logits.
        rows: (num_labels,) the output of the file for each tag, -1 for a new tag. Column of the kernel and
            bias are copied as they are.
        new_biases: (num_labels,) logits. A new tag starts with a kernel of 0 and this bias: the bias alone
            decides, and is the logit at which the tag should start.
        order: channels that a timm folder's model takes, "bgr" or "rgb".
        new_head: the model has another head than the file, whose own layers begin fresh.

    Returns the settings that differ and have no weights, the epsilon of a norm for example. Raises UserError
    if layers are missing, left over or have other shapes, or a weight is not finite; then nothing is copied.
    """
    with _on_one_device():  # of each host: what is spread over hosts cannot be read
        source = without_activation(load_model(file, order))
    old, new = ({layer.name: layer for layer in each.layers} for each in (source, model))
    common = [name for name in old if name in new]
    try:
        values = {name: resized_weights(old[name], new[name]) for name in common if old[name].weights}
    except ValueError as error:
        raise UserError(f"{file} does not fit images of {model.input_shape[1]} px: {error}") from error
    if new_head:  # what both heads have is taken over, a norm for example
        of_head = {name for name in values if name.startswith(HEAD) and name != LOGITS}
        fits = {name for name in of_head if _same_shapes(name, values[name], new[name])}
        values = {name: value for name, value in values.items() if name not in of_head - fits}
    _check(file, model, old, new, values, new_head)  # before the first assignment: all or nothing
    broken = [name for name in old if not all(np.isfinite(each).all() for each in old[name].get_weights())]
    if broken:
        names = join_names(broken, 4)
        raise UserError(f"{file} has weights that are not finite, as of a run that diverged: {names}")
    for name in values.keys() - {LOGITS}:
        new[name].set_weights(values[name])
    keep_groups(old[LOGITS], new[LOGITS], rows)
    kernel = np.zeros(new[LOGITS].kernel.shape, "float32") if new_head else old[LOGITS].get_weights()[0]
    bias = new_biases if new_head else old[LOGITS].get_weights()[1]
    new[LOGITS].set_weights(_classifier([kernel, bias], rows, new_biases))
    return sorted({text for name in common for text in _differences(old[name], new[name])})


@contextlib.contextmanager
def _on_one_device() -> Iterator[None]:
    """Let Keras distribute nothing within the block."""
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def _check(
    file: pathlib.Path,
    model: keras.Model,
    old: Layers,
    new: Layers,
    values: dict[str, list[np.ndarray]],
    new_head: bool,
) -> None:
    """Raise UserError if weights are missing, left over or of other shapes; those of a new head may be."""
    ours, theirs = ({name for name, layer in each.items() if layer.weights} for each in (new, old))
    if new_head:
        ours, theirs = ({name for name in names if not name.startswith(HEAD)} for names in (ours, theirs))
    wrong_shape = [name for name in ours & theirs if not _same_shapes(name, values[name], new[name])]
    faults = {"missing from it": ours - theirs, "left over in it": theirs - ours, "other shapes": wrong_shape}
    listed = [
        f"{what}: {', '.join(sorted(names)[:4])} ({len(names)})" for what, names in faults.items() if names
    ]
    if listed:
        raise UserError(
            f"{file} is another {model.name} than the recipe's; layers {'; '.join(listed)}. "
            "Give the options it was built with, or use the recipe finetune, which takes the model as it is"
        )


def _same_shapes(name: str, values: list[np.ndarray], layer: keras.layers.Layer) -> bool:
    """Tell whether values fit a layer; the number of tags of the classifier may differ."""
    shapes = [value.shape for value in values], [tuple(weight.shape) for weight in layer.weights]
    if name == LOGITS:
        shapes = [[shape[:-1] for shape in side] for side in shapes]
    return shapes[0] == shapes[1]


def _classifier(weights: list[np.ndarray], rows: np.ndarray, new_biases: np.ndarray) -> list[np.ndarray]:
    """Return kernel (C, num_labels) and bias (num_labels,) for the new list of tags."""
    kernel, bias = weights
    new = rows < 0
    columns = np.where(new, 0, rows)  # any valid column; `where` discards it for new tags
    return [
        np.where(new, 0.0, kernel[:, columns]),
        np.where(new, new_biases.astype(bias.dtype), bias[columns]),
    ]


def _differences(old: keras.layers.Layer, new: keras.layers.Layer) -> Iterator[str]:
    """Yield in words the settings of two layers that differ and change what they compute."""
    if not isinstance(new, type(old)):
        yield f"a {type(old).__name__} is a {type(new).__name__} now"
        return
    before, now = old.get_config(), new.get_config()
    for key in now:
        if key in WITHOUT_EFFECT or key.endswith(WITHOUT_EFFECT_SUFFIXES) or before.get(key) == now[key]:
            continue
        # Nested settings, of layers within a layer, have no short text.
        if isinstance(now[key], (int, float, str, type(None))):
            yield f"{key} was {before.get(key)}, is {now[key]}"


def has_moved_groups(model: keras.Model) -> bool:
    """Return whether the classifier's groups of tags are those of a source, so that no recipe tells them."""
    return getattr(model.get_layer(LOGITS), "members", None) is not None


def set_classifier_bias(model: keras.Model, biases: np.ndarray) -> None:
    """Set the bias of the classifier, (num_labels,) logits."""
    model.get_layer(LOGITS).bias.assign(biases)


def freeze(model: keras.Model, frozen: bool, new_head: bool = False) -> None:
    """Make the head alone trainable (`head_layers`), or everything again."""
    trained = head_layers(model, new_head)
    for layer in model.layers:
        layer.trainable = layer.name in trained or not frozen


RateFactor = float | tuple[float, ...]  # of a whole weight, or of each entry of its last axis


def learning_rate_factors(
    model: keras.Model,
    layer_decay: float,
    learned: float = 1.0,
    is_new: np.ndarray | None = None,
    new_head: bool = False,
) -> list[tuple[str, RateFactor]]:
    """Return (regex of layer paths, factor on the learning rate) pairs: what was learned, and by layers.

    New rows of the classifier (``is_new``, (num_labels,) bool; None: all) have factor 1, its other rows and
    all below it ``learned``; so have the other layers of a ``new_head`` 1. With ``layer_decay`` every block
    has ``layer_decay`` times that of the next one, the stem one step less than the first block
    (arXiv:2106.08254, section 3.1). Blocks are recognized by their names, ``stage0_block1_...`` or
    ``block1_...``; a layer between two blocks belongs to the later one, and what follows the last block has
    no step below the classifier.
    """
    if layer_decay == learned == 1:
        return []
    rows: RateFactor = 1.0 if is_new is None else tuple(np.where(is_new, 1.0, learned).tolist())
    head: list[tuple[str, RateFactor]] = [(rf"^{LOGITS}/", rows)]
    if new_head:
        head.append((rf"^(?:{'|'.join(head_layers(model, True))})/", 1.0))
    if layer_decay == 1:
        return [*head, ("", learned)]
    depths: dict[int, list[str]] = {}  # layers by depth, 0 is the stem
    blocks: list[str] = []
    for name in (layer.name for layer in model.layers if layer.weights and layer.name != LOGITS):
        block = BLOCK.match(name)
        if block and block[0] not in blocks:
            blocks.append(block[0])
        between = len(blocks) + 1 if blocks else 0
        depths.setdefault(blocks.index(block[0]) + 1 if block else between, []).append(name)
    top = len(blocks) + 1
    factors = ((names, learned * layer_decay ** (top - depth)) for depth, names in sorted(depths.items()))
    return [*head, *((rf"^(?:{'|'.join(names)})/", factor) for names, factor in factors)]
