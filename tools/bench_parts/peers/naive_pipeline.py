"""The original zoo's order of operations in TensorFlow's image ops: a peer of the input pipeline.

Decode fully, swap channels, flip, crop, resize by one of three antialiased methods, batch, rotate, MixUp
through float32. ``tools/bench.py input`` times it; nothing trains on it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from Generators import records
from Utils.images.resize import METHODS


def train_dataset(
    shards: list[str], *, num_labels: int, image_size: int, batch_size: int, stored_size: int
) -> tf.data.Dataset:
    """Return an endless dataset of (images uint8, labels float32) from shards of square JPEGs."""

    def decode(serialized: Any) -> tuple[Any, Any]:
        record = records.parse(serialized)
        image = tf.gather(tf.io.decode_jpeg(record["image_bytes"], channels=3), [2, 1, 0], axis=-1)
        image.set_shape((stored_size, stored_size, 3))
        return image, tf.reduce_max(tf.one_hot(record["label_indexes"], num_labels), axis=0)

    def crop(image: Any, labels: Any) -> tuple[Any, Any]:
        image = tf.image.random_flip_left_right(image)
        side = tf.cast(stored_size * tf.random.uniform([], 0.87, 0.998), tf.int32)
        return tf.image.random_crop(image, (side, side, 3)), labels

    def resize(image: Any, labels: Any) -> tuple[Any, Any]:
        sides = (image_size, image_size)

        def resize_by(method: str) -> Callable[[], Any]:
            return lambda: tf.cast(tf.image.resize(image, sides, method, antialias=True), tf.uint8)

        image = tf.switch_case(tf.random.uniform([], 0, 3, tf.int32), [resize_by(name) for name in METHODS])
        return tf.ensure_shape(image, (image_size, image_size, 3)), labels

    dataset = tf.data.TFRecordDataset(shards).repeat().shuffle(2 * batch_size)
    for step in (decode, crop, resize):
        dataset = dataset.map(step, tf.data.AUTOTUNE)
    dataset = dataset.batch(batch_size, drop_remainder=True)
    for step in (_rotation, _mixup):
        dataset = dataset.map(step, tf.data.AUTOTUNE)
    return dataset.prefetch(tf.data.AUTOTUNE)


def _rotation(batch: Any, labels: Any) -> tuple[Any, Any]:
    """Rotate each image by up to 45 degrees."""
    count, size = batch.shape[0], batch.shape[1]
    angles = tf.random.uniform([count], -np.pi / 4, np.pi / 4)
    cos, sin, zero = tf.cos(angles), tf.sin(angles), tf.zeros([count])
    middle = (size - 1) / 2
    rows = [cos, -sin, middle * (1 - cos + sin), sin, cos, middle * (1 - sin - cos), zero, zero]
    rotated = tf.raw_ops.ImageProjectiveTransformV3(
        images=batch,
        transforms=tf.stack(rows, axis=1),
        output_shape=[size, size],
        interpolation="BILINEAR",
        fill_mode="CONSTANT",
        fill_value=255.0,
    )
    return rotated, labels


def _mixup(batch: Any, labels: Any) -> tuple[Any, Any]:
    """Mix each image with the image at the same place from the end, by shares from Beta(0.2, 0.2)."""
    count = batch.shape[0]
    # Beta(0.2, 0.2) as a ratio of two Gamma(0.2).
    first, second = tf.random.gamma([count], 0.2), tf.random.gamma([count], 0.2)
    share = (first + 1e-30) / (first + second + 2e-30)
    weight, batch = share[:, None, None, None], tf.cast(batch, tf.float32)
    mixed = tf.cast(batch * weight + batch[::-1] * (1 - weight), tf.uint8)
    return mixed, labels * share[:, None] + labels[::-1] * (1 - share[:, None])
