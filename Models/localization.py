"""Where in the picture a model sees a tag: maps from inside of a network, for any head.

`activation` applies the classifier to every place of the last feature map instead of to their average (class
activation, arXiv:1512.04150). `attention` is where the queries of a head look. `gradient` is the feature map
times the gradient of the tag's logit, summed over channels (HiResCAM, arXiv:2011.08891); where the head is an
average and a matrix it is `activation` but for the bias.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from Models.layers.attention import AttentionPooling
from Models.layers.input_gradients import input_gradients
from Models.layers.ml_decoder import GroupDense, GroupQueryAttention
from Models.layers.model_ends import LOGITS, CellAverage, without_activation
from Models.layers.normalization import Affine
from Models.layers.randomness import Dropout
from Models.layers.tensors import Tensor, ops
from Models.layers.tokens import TokenPooling, square_side
from Utils.command.cli import UserError

METHODS = ("activation", "attention", "gradient")
# (picture (S, S, 3) 0..255, columns of tags (T,)) -> (T, h, w) float32, larger where the tag is more likely
Mapper = Callable[[np.ndarray, Sequence[int]], np.ndarray]

# Cells of a last map's side: at 64 px it is coarser, and occlusion pointed far better (results/heads).
LEAST_SIDE = 7
_LAST_BLOCK = re.compile(r"block(\d+)_norm1$")


def methods(model: keras.Model) -> list[str]:
    """Return which of `METHODS` a model allows, the best first; empty for a model that is not of the zoo."""
    return [name for name in METHODS if _BUILDERS[name](without_activation(model)) is not None]


def mapper(model: keras.Model, method: str = "auto") -> tuple[Mapper, str] | None:
    """Return the function that makes maps by a method, and the method; "auto" is the best that there is.

    Returns None where "auto" has no choice, as the model is not of the zoo or its last map is coarser than
    `LEAST_SIDE`: there occlusion is better. Raises UserError that names the methods there are for this model.
    """
    logits = without_activation(model)
    if method == "auto" and _side(logits) < LEAST_SIDE:
        return None
    for name in METHODS if method == "auto" else (method,):
        if name in _BUILDERS and (maps := _BUILDERS[name](logits)) is not None:
            return maps, name
    if method == "auto":
        return None
    allowed = [*methods(model), "occlusion"]
    raise UserError(f"maps of {model.name} are made by {' or '.join(allowed)}; got {method}")


def _layer(model: keras.Model, name: str) -> Any:
    return next((layer for layer in model.layers if layer.name == name), None)


def _grid(values: np.ndarray) -> np.ndarray:
    """Return (T, N) values as maps (T, h, w) of a square picture."""
    side = square_side(values.shape[-1])
    return np.asarray(values, np.float32).reshape(-1, side, side)


def _run(model: keras.Model, picture: np.ndarray) -> Any:
    return model.predict_on_batch(np.asarray(picture, np.float32)[None])


# Class activation


def _activation(model: keras.Model) -> Mapper | None:
    """Return maps whose mean is the tag's logit; None where the head is more than averages and a matrix."""
    pool, classifier = _layer(model, "head_pool"), _layer(model, LOGITS)
    average = isinstance(pool, TokenPooling) and pool.pool == "average"
    if not (average or isinstance(pool, (keras.layers.GlobalAveragePooling2D, CellAverage))):
        return None
    tail = model.layers[model.layers.index(pool) + 1 : -1]
    if any(not isinstance(layer, (*_PER_CHANNEL, keras.layers.LayerNormalization)) for layer in tail):
        return None
    probe = keras.Model(model.input, [pool.input, pool.output])
    cells = pool.cells if isinstance(pool, CellAverage) else 1

    def maps(picture: np.ndarray, columns: Sequence[int]) -> np.ndarray:
        features, pooled = (ops.cast(part, "float32") for part in _run(probe, picture))
        width = features.shape[-1]
        kernel, bias = (ops.convert_to_numpy(weight) for weight in classifier.weights)
        if cells > 1:  # each part of the picture has rows of the classifier of its own
            return _of_cells(ops.convert_to_numpy(features)[0], kernel[:, columns], bias[columns], pool)
        places = ops.reshape(features, (-1, width))[getattr(pool, "prefix", 0) :]
        for layer in tail:
            places, pooled = _normalized(layer, places, pooled)
        return _grid((ops.convert_to_numpy(places) @ kernel[:, columns] + bias[columns]).T)

    return maps


_PER_CHANNEL = (keras.layers.BatchNormalization, Affine, Dropout)


def _normalized(layer: Any, places: Tensor, pooled: Tensor) -> tuple[Tensor, Tensor]:
    """Apply a layer behind the pooling to places (N, C) as it treats their average ``pooled`` (1, C).

    Layer norm divides all places by the deviation of the average, so that their mean stays what it makes of
    the average.
    """
    if not isinstance(layer, keras.layers.LayerNormalization):
        return layer(places, training=False), layer(pooled, training=False)
    deviation = ops.sqrt(ops.var(pooled, axis=-1, keepdims=True) + layer.epsilon)
    centered = (places - ops.mean(places, axis=-1, keepdims=True)) / deviation
    scale = 1.0 if layer.gamma is None else ops.cast(layer.gamma, "float32")
    shift = 0.0 if layer.beta is None else ops.cast(layer.beta, "float32")
    return centered * scale + shift, layer(pooled)


def _of_cells(features: np.ndarray, kernel: np.ndarray, bias: np.ndarray, pool: CellAverage) -> np.ndarray:
    """Return maps (T, H, W) of features (H, W, C) of which the averages of cells are classified."""
    height, width, channels = features.shape
    maps = np.zeros((height, width, len(bias)), np.float32) + bias
    rows, columns = pool.ranges(height), pool.ranges(width)
    parts = kernel.reshape(len(rows) * len(columns), channels, -1)
    for place, (top, low) in enumerate(rows):
        for at, (left, right) in enumerate(columns):
            share = height * width / ((low - top) * (right - left))
            weights = parts[place * len(columns) + at]
            maps[top:low, left:right] += share * (features[top:low, left:right] @ weights)
    return maps.transpose(2, 0, 1)


# Attention


def _attention(model: keras.Model) -> Mapper | None:
    """Return the attention of the head's queries; of `map`, whose query is one, the same for every tag."""
    decoder, pooling = _layer(model, "head_decoder_attention"), _layer(model, "head_map")
    layer = decoder if isinstance(decoder, GroupQueryAttention) else pooling
    if not isinstance(layer, (GroupQueryAttention, AttentionPooling)):
        return None
    probe, classifier = keras.Model(model.input, layer.input), _layer(model, LOGITS)

    def maps(picture: np.ndarray, columns: Sequence[int]) -> np.ndarray:
        weights = ops.convert_to_numpy(layer.attention(ops.convert_to_tensor(_run(probe, picture))))[0]
        if isinstance(classifier, GroupDense):
            return _grid(weights[classifier.group_of_tags()[np.asarray(columns)]])
        return _grid(np.broadcast_to(weights, (len(columns), weights.shape[-1])))

    return maps


# Gradients


def _gradient(model: keras.Model) -> Mapper | None:
    """Return maps by the gradient at the input of the head, or of the last block before a class token."""
    source, prefix = _source(model)
    if source is None:
        return None
    probe, tail = keras.Model(model.input, source), keras.Model(source, model.output)

    def maps(picture: np.ndarray, columns: Sequence[int]) -> np.ndarray:
        features = np.asarray(ops.convert_to_numpy(_run(probe, picture)), np.float32)
        gradients = input_gradients(tail, features, columns)  # (T, ..., C)
        places = (gradients * features).sum(axis=-1).reshape(len(columns), -1)
        return _grid(places[:, prefix:])

    return maps


def _side(model: keras.Model) -> int:
    """Return the side of the map on which a model's head looks, in cells; 0 where there is none."""
    source, prefix = _source(model)
    return 0 if source is None else square_side(math.prod(source.shape[1:-1]) - prefix)


def _source(model: keras.Model) -> tuple[Any, int]:
    """Return the tensor whose places are judged, and how many tokens in front have no place."""
    pool = _layer(model, "head_pool")
    prefix = getattr(pool, "prefix", 0)
    if isinstance(pool, TokenPooling) and pool.pool == "token":
        blocks = [layer for layer in model.layers if _LAST_BLOCK.match(layer.name)]
        return (blocks[-1].input, prefix) if blocks else (None, 0)
    layers = (pool, _layer(model, "head_map"), _layer(model, "head_decoder_dense"))
    first = next((layer for layer in layers if layer is not None), None)
    return (None, 0) if first is None else (first.input, prefix)


_BUILDERS: dict[str, Callable[[keras.Model], Mapper | None]] = {
    "activation": _activation,
    "attention": _attention,
    "gradient": _gradient,
}
