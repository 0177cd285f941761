"""A copy of a model for images of another size."""

import keras
import numpy as np

from Models.layers.tokens import PositionEmbedding, resample_positions
from Utils.command.cli import UserError


def at_size(model: keras.Model, image_size: int) -> keras.Model:
    """Return a copy of a functional model of the zoo that takes ``image_size`` x ``image_size`` images.

    Weights are copied, position embeddings resampled (bicubic, antialiased). The same size gives the same
    outputs. Raises UserError if the architecture cannot take that size.
    """
    image = keras.Input((image_size, image_size, 3), name="image")
    try:
        copy = keras.models.clone_model(model, input_tensors=image)
        for old, new in zip(model.layers, copy.layers, strict=True):
            new.set_weights(resized_weights(old, new))
    except ValueError as error:
        raise UserError(f"{model.name} cannot take images of {image_size} px: {error}") from error
    return copy


def resized_weights(old: keras.layers.Layer, new: keras.layers.Layer) -> list[np.ndarray]:
    """Return the weights of a layer in the shapes of ``new``, its copy for images of another size."""
    values = old.get_weights()
    if isinstance(old, PositionEmbedding) and isinstance(new, PositionEmbedding):
        return [resample_positions(values[0], new.table.shape[0], old.prefix)]
    return values
