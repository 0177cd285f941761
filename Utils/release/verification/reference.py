"""The reference of a verification: the Keras model's probabilities of the released tags on test images."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from Utils.bench.timing import draw_jpeg
from Utils.command.cli import progress
from Utils.images import codec
from Utils.release import release_folder

MANY_BATCHES = 8  # from which progress is shown
BATCH_PIXELS = 2**20  # of the images that are computed at a time: bounds the memory of large models


class Reference:
    """The probabilities of a classifier of the zoo, in float32, for some of its outputs.

    Args:
        model: the classifier.
        columns: int64 indices of its outputs.
    """

    def __init__(self, model: Any, columns: np.ndarray) -> None:
        self.columns = columns
        self.model = release_folder.with_columns(model, columns)
        self.image_size: int = model.input_shape[1]

    def probabilities(self, images: np.ndarray) -> np.ndarray:
        """Return (N, L) float64 for images (N, S, S, 3), 0..255 BGR."""
        batch_size = max(1, BATCH_PIXELS // self.image_size**2)
        starts: Iterable[int] = range(0, len(images), batch_size)
        if len(images) > MANY_BATCHES * batch_size:
            starts = progress(starts, label="Keras", unit="batches")
        images = np.ascontiguousarray(images, "float32")
        logits = [self.model(images[at : at + batch_size], training=False) for at in starts]
        return sigmoid(np.concatenate([np.asarray(keras.ops.convert_to_numpy(part)) for part in logits]))


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return the probabilities of logits, in float64; the form with tanh does not overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * np.asarray(logits, "float64")))


def drawn_images(size: int, count: int, seed: int = 0) -> np.ndarray:
    """Return (count, size, size, 3) uint8 BGR drawn images, the same for the same arguments."""
    random = np.random.default_rng(seed)
    return np.stack([codec.prepare(draw_jpeg(random, max(size, 64)), size) for _ in range(count)])
