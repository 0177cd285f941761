"""The first and last layers of every model: scaled image input, pooling, logits and probabilities."""

from typing import Any

import keras

from Models.layers.scaling import InputScaling
from Models.layers.tensors import Shape, Tensor, ops

LOGITS = "head_logits"  # name of the classifier layer; output i is tag i
PROBABILITIES = "probabilities"  # name of the last layer of a model that ends with a sigmoid


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
            rows, columns = (_cell_ranges(side, self.cells) for side in (height, width))
            means = [ops.mean(x[:, a:b, c:d], axis=(1, 2)) for a, b in rows for c, d in columns]
            return ops.concatenate(means, axis=-1)
        parts = (-1, self.cells, height // self.cells, self.cells, width // self.cells, channels)
        return ops.reshape(ops.mean(ops.reshape(x, parts), axis=(2, 4)), (-1, self.cells**2 * channels))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (B, cells * cells * C)."""
        _require_cells(input_shape, self.cells, self.overlap)
        return (input_shape[0], self.cells**2 * input_shape[3])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "cells": self.cells, "overlap": self.overlap}


def _cell_ranges(side: int, cells: int) -> list[tuple[int, int]]:
    return [(cell * side // cells, -(-(cell + 1) * side // cells)) for cell in range(cells)]


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


def classifier(
    features: Tensor, num_labels: int, classifier_activation: str | None, kernel_initializer: Any
) -> Tensor:
    """Return float32 logits (B, num_labels) of features (B, C), or their activation if one is named."""
    dense = keras.layers.Dense(
        num_labels, kernel_initializer=kernel_initializer, dtype="float32", name=LOGITS
    )
    logits = dense(features)
    if classifier_activation is None:
        return logits
    return keras.layers.Activation(classifier_activation, dtype="float32", name=PROBABILITIES)(logits)


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
    return model.layers[-1].name == PROBABILITIES
