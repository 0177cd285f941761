"""The first and last layers of every model: scaled image input, pooling, logits and probabilities."""

import dataclasses
import math
from typing import Any, Literal

import keras
import numpy as np

from Models.layers.activations import Activation
from Models.layers.attention import AttentionPooling
from Models.layers.initializers import truncated_normal
from Models.layers.ml_decoder import GroupDense, GroupQueryAttention, carried_groups
from Models.layers.normalization import normalization
from Models.layers.randomness import Dropout
from Models.layers.scaling import InputScaling
from Models.layers.tensors import Shape, Tensor, ops
from Models.layers.tokens import GridTokens, TokenPooling

LOGITS = "head_logits"  # name of the classifier layer; output i is tag i
PROBABILITIES = "probabilities"  # name of the last layer of a model that ends with a sigmoid
HEAD = "head_"  # the names of all layers behind the last block begin with this
# The first learned layer of a head, where it has others than norms and the classifier.
HEAD_STARTS = ("head_map", "head_decoder_dense")


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadOptions:
    """Fields of every Spec: what stands between the last block and the logits of the tags."""

    head: Literal["gap", "map", "ml_decoder"] = "gap"
    # ML-Decoder: queries, each for a group of tags; as many as tags or more: one for each tag.
    decoder_groups: int = 100
    decoder_width: int | None = None  # None: 768 as published, or the channels where these are fewer
    decoder_mlp_width: int | None = None  # None: 8/3 of the width, as published: 2048 for 768


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenHeadOptions(HeadOptions):
    """Those of families that have a class token."""

    head: Literal["gap", "token", "map", "ml_decoder"] = "gap"


def image_input(image_size: int, input_scaling: str | tuple[float, ...] | None) -> tuple[Tensor, Tensor]:
    """Return the input ``image`` (B, S, S, 3), 0..255, and the image scaled for the network."""
    image = keras.Input((image_size, image_size, 3), name="image")
    return image, InputScaling(input_scaling, name="scaling")(image)


@keras.saving.register_keras_serializable(package="Models")
class CellAverage(keras.layers.Layer):
    """Average over ``cells`` x ``cells`` equal parts of the image, row by row.

    (B, H, W, C) in, (B, cells * cells * C) out: the number of features does not depend on the image size.
    Where ``cells`` does not divide H and W, cells that ``overlap`` share a row or a column, as in PyTorch's
    AdaptiveAvgPool2d: cell i has the rows from floor(i H / cells) to ceil((i + 1) H / cells). Without
    ``overlap`` that is a ValueError.
    """

    def __init__(self, cells: int, overlap: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cells = cells
        self.overlap = overlap

    def call(self, x: Tensor) -> Tensor:
        """Average over the pixels of each cell."""
        height, width, channels = x.shape[1:]
        if height % self.cells or width % self.cells:
            rows, columns = self.ranges(height), self.ranges(width)
            means = [ops.mean(x[:, a:b, c:d], axis=(1, 2)) for a, b in rows for c, d in columns]
            return ops.concatenate(means, axis=-1)
        parts = (-1, self.cells, height // self.cells, self.cells, width // self.cells, channels)
        return ops.reshape(ops.mean(ops.reshape(x, parts), axis=(2, 4)), (-1, self.cells**2 * channels))

    def ranges(self, side: int) -> list[tuple[int, int]]:
        """Return the first row, and the one behind the last, of every cell of ``side`` rows or columns."""
        cells = range(self.cells)
        return [(cell * side // self.cells, -(-(cell + 1) * side // self.cells)) for cell in cells]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (B, cells * cells * C)."""
        _require_cells(input_shape, self.cells, self.overlap)
        return (input_shape[0], self.cells**2 * input_shape[3])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "cells": self.cells, "overlap": self.overlap}


def _require_cells(shape: Shape, cells: int, overlap: bool) -> None:
    height, width = shape[1:3]
    if not overlap and (height % cells or width % cells):
        raise ValueError(f"{height} x {width} features cannot be cut into {cells} x {cells} equal cells")


def average_pool(x: Tensor, cells: int = 1, overlap: bool = False) -> Tensor:
    """Average (B, H, W, C) over ``cells`` x ``cells`` equal parts of the image; (B, cells * cells * C) out.

    One cell is global average pooling. Raises ValueError as `CellAverage` does.
    """
    if cells == 1:
        return keras.layers.GlobalAveragePooling2D(name="head_pool")(x)
    _require_cells(x.shape, cells, overlap)  # before Keras wraps the error in its own words
    return CellAverage(cells, overlap, name="head_pool")(x)


def attention_head(
    x: Tensor,
    options: HeadOptions,
    num_labels: int,
    heads: int | None = None,
    mlp_width: int | None = None,
    activation: str = "gelu",
    epsilon: float = 1e-6,
) -> Tensor:
    """Return what the classifier gets where queries attend to the tokens: the heads "map" and "ml_decoder".

    Args:
        x: (B, N, C) tokens or a map (B, H, W, C), normalized.
        options: the model's Spec.
        num_labels: tags; no more queries than these are used.
        heads: of attention pooling; None: channels / 64, or the next fewer that divide the channels.
        mlp_width: of attention pooling; None: 4 times the channels.
        activation: of the MLP of attention pooling.
        epsilon: of the norms.

    "map" is attention pooling of one learned query and an MLP (arXiv:2303.15343): (B, C). "ml_decoder" is
    that of arXiv:2111.12933, a vector for every group of tags: (B, K, D).
    """
    channels = x.shape[-1]
    if len(x.shape) == 4:
        x = keras.layers.Reshape((-1, channels), name="head_tokens")(x)
    if options.head == "ml_decoder":
        return _decode_groups(x, options, num_labels, epsilon)
    if heads is None:
        heads = next(count for count in range(max(channels // 64, 1), 0, -1) if channels % count == 0)
    x = AttentionPooling(heads, name="head_map")(x)
    y = normalization("layernorm", epsilon, "head_map_norm")(x)
    y = _dense(mlp_width or 4 * channels, "head_map_dense1")(y)
    y = _dense(channels, "head_map_dense2")(Activation(activation, name="head_map_act")(y))
    return keras.layers.Add(name="head_map_add")([x, y])


def token_head(x: Tensor, options: TokenHeadOptions, num_labels: int, prefix: int, **sizes: Any) -> Tensor:
    """Return what the classifier gets of the tokens of a transformer, by any head.

    Args:
        x: (B, prefix + N, C) tokens.
        options: the model's Spec.
        num_labels: tags.
        prefix: number of leading tokens outside of the grid: averages and attention leave them out.
        sizes: those of `attention_head`.

    Raises ValueError for the head "token" without a class token.
    """
    if options.head in ("gap", "token"):
        pool = "average" if options.head == "gap" else "token"
        return TokenPooling(pool, prefix, name="head_pool")(x)
    if prefix:
        x = GridTokens(prefix, name="head_grid")(x)
    return attention_head(x, options, num_labels, **sizes)


def _decode_groups(x: Tensor, options: HeadOptions, num_labels: int, epsilon: float) -> Tensor:
    """Decode (B, N, C) tokens to (B, K, D), by cross-attention and an MLP, norms after the shortcuts."""
    width = options.decoder_width or min(768, x.shape[-1])
    mlp_width = options.decoder_mlp_width or width * 8 // 3
    groups = min(options.decoder_groups, num_labels)
    if groups < 1:
        raise ValueError(f"decoder_groups must be 1 or more; got {options.decoder_groups}")
    x = Activation("relu", name="head_decoder_act")(_dense(width, "head_decoder_dense")(x))
    attention = GroupQueryAttention(groups, math.gcd(width, 8), epsilon, name="head_decoder_attention")
    x = normalization("layernorm", epsilon, "head_decoder_norm1")(attention(x))
    y = Activation("relu", name="head_decoder_mlp_act")(_dense(mlp_width, "head_decoder_dense1")(x))
    y = keras.layers.Add(name="head_decoder_add")([x, _dense(width, "head_decoder_dense2")(y)])
    return normalization("layernorm", epsilon, "head_decoder_norm2")(y)


def _dense(width: int, name: str) -> keras.layers.Layer:
    return keras.layers.Dense(width, kernel_initializer=truncated_normal(), name=name)


def head_dropout(features: Tensor, rate: float) -> Tensor:
    """Return features, (B, C) or (B, K, D), of which a share, 0 to 1, is dropped in training."""
    return Dropout(rate, name="head_dropout")(features) if rate > 0 else features


def classifier(
    features: Tensor, num_labels: int, classifier_activation: str | None, kernel_initializer: Any
) -> Tensor:
    """Return float32 logits (B, num_labels) of features, or their activation if one is named.

    Features are (B, C), or (B, K, D) of groups of tags.
    """
    kind = keras.layers.Dense if len(features.shape) == 2 else GroupDense
    layer = kind(num_labels, kernel_initializer=kernel_initializer, dtype="float32", name=LOGITS)
    logits = layer(features)
    if classifier_activation is None:
        return logits
    return keras.layers.Activation(classifier_activation, dtype="float32", name=PROBABILITIES)(logits)


def keep_groups(old: keras.layers.Layer, new: keras.layers.Layer, rows: np.ndarray) -> None:
    """Leave kept tags in the groups that they have learned with, if the classifiers have groups.

    ``rows`` are the old outputs of the new tags, -1 for a tag without one. Weights are not copied.
    """
    if isinstance(old, GroupDense) and isinstance(new, GroupDense) and old.groups == new.groups:
        new.regroup(carried_groups(old.group_of_tags(), old.groups, rows).tolist())


def without_activation(model: keras.Model) -> keras.Model:
    """Return the model that gives logits, with the same layers and weights; ``model`` itself if it does."""
    if not _has_probabilities(model):
        return model
    return keras.Model(model.input, model.layers[-1].input, name=model.name)


def with_probabilities(model: keras.Model) -> keras.Model:
    """Return the model that gives probabilities, with the same layers and weights; ``model`` itself if so."""
    if _has_probabilities(model):
        return model
    sigmoid = keras.layers.Activation("sigmoid", dtype="float32", name=PROBABILITIES)
    return keras.Model(model.input, sigmoid(model.output), name=model.name)


def _has_probabilities(model: keras.Model) -> bool:
    """Whether a model ends in a sigmoid, by name, or by its function in models of others."""
    last = model.layers[-1]
    return last.name == PROBABILITIES or getattr(last, "activation", None) is keras.activations.sigmoid
