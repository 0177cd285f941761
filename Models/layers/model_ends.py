"""Both ends that all families share: the image that goes in, the logits or probabilities that come out."""

import keras
from keras import ops

from Models.layers.scaling import InputScaling

LOGITS = "head_logits"  # the name of the classifier, whose outputs are the tags
PROBABILITIES = "probabilities"  # the name of the last layer of a model that ends with a sigmoid


def image_input(image_size, input_scaling):
    """Return the input tensor ``image`` (B, S, S, 3), 0..255, and the scaled image."""
    image = keras.Input((image_size, image_size, 3), name="image")
    return image, InputScaling(input_scaling, name="scaling")(image)


@keras.saving.register_keras_serializable(package="Models")
class CellAverage(keras.layers.Layer):
    """Average over ``cells`` x ``cells`` equal parts of the image, row by row.

    (B, H, W, C) in, (B, cells * cells * C) out, for images of any size. Raises ValueError where the sides do
    not divide.
    """

    def __init__(self, cells, **kwargs):
        super().__init__(**kwargs)
        self.cells = cells

    def call(self, x):
        """Average."""
        height, width, channels = x.shape[1:]
        parts = (-1, self.cells, height // self.cells, self.cells, width // self.cells, channels)
        return ops.reshape(ops.mean(ops.reshape(x, parts), axis=(2, 4)), (-1, self.cells**2 * channels))

    def compute_output_shape(self, input_shape):
        """Return (B, cells * cells * C)."""
        _require_cells(input_shape, self.cells)
        return (input_shape[0], self.cells**2 * input_shape[3])

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "cells": self.cells}


def _require_cells(shape, cells):
    height, width = shape[1:3]
    if height % cells or width % cells:
        raise ValueError(f"{height} x {width} features cannot be cut into {cells} x {cells} equal cells")


def average_pool(x, cells=1):
    """Average (B, H, W, C) over ``cells`` x ``cells`` equal parts of the image; (B, cells * cells * C) out.

    With one cell that is global average pooling. Raises ValueError where the sides do not divide.
    """
    if cells == 1:
        return keras.layers.GlobalAveragePooling2D(name="head_pool")(x)
    _require_cells(x.shape, cells)  # without what Keras says about calls
    return CellAverage(cells, name="head_pool")(x)


def classifier(features, num_labels, classifier_activation, kernel_initializer):
    """Return float32 logits (B, num_labels) of (B, C) features, or their sigmoid where one is asked for."""
    head = keras.layers.Dense(num_labels, kernel_initializer=kernel_initializer, dtype="float32", name=LOGITS)
    logits = head(features)
    if classifier_activation is None:
        return logits
    return keras.layers.Activation(classifier_activation, dtype="float32", name=PROBABILITIES)(logits)


def without_activation(model):
    """Return the model that gives logits, sharing layers and weights; ``model`` itself where it does."""
    if not _has_probabilities(model):
        return model
    return keras.Model(model.input, model.layers[-1].input, name=model.name)


def with_probabilities(model):
    """Return the model that gives probabilities, sharing layers and weights; ``model`` itself if it does."""
    if _has_probabilities(model):
        return model
    sigmoid = keras.layers.Activation("sigmoid", dtype="float32", name=PROBABILITIES)
    return keras.Model(model.input, sigmoid(model.output), name=model.name)


def _has_probabilities(model):
    return model.layers[-1].name == PROBABILITIES
