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
    Raises ValueError if ``cells`` does not divide H and W.
    """

    def __init__(self, cells: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cells = cells

    def call(self, x: Tensor) -> Tensor:
        """Average over H / cells x W / cells pixels."""
        height, width, channels = x.shape[1:]
        parts = (-1, self.cells, height // self.cells, self.cells, width // self.cells, channels)
        return ops.reshape(ops.mean(ops.reshape(x, parts), axis=(2, 4)), (-1, self.cells**2 * channels))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (B, cells * cells * C)."""
        _require_cells(input_shape, self.cells)
        return (input_shape[0], self.cells**2 * input_shape[3])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "cells": self.cells}


def _require_cells(shape: Shape, cells: int) -> None:
    height, width = shape[1:3]
    if height % cells or width % cells:
        raise ValueError(f"{height} x {width} features cannot be cut into {cells} x {cells} equal cells")


def average_pool(x: Tensor, cells: int = 1) -> Tensor:
    """Average (B, H, W, C) over ``cells`` x ``cells`` equal parts of the image; (B, cells * cells * C) out.

    One cell is global average pooling. Raises ValueError if ``cells`` does not divide H and W.
    """
    if cells == 1:
        return keras.layers.GlobalAveragePooling2D(name="head_pool")(x)
    _require_cells(x.shape, cells)  # before Keras wraps the error in its own words
    return CellAverage(cells, name="head_pool")(x)


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
