"""tools/bench_parts/peers/naive_pipeline.py: what the peer makes of a batch."""

import numpy as np
import tensorflow as tf

from tools.bench_parts.peers import naive_pipeline


def test_mixup_mixes_images_and_labels_by_the_same_shares():
    images = np.zeros((4, 8, 8, 3), np.uint8)
    images[:2] = 200
    labels = np.repeat(np.eye(2, dtype=np.float32), 2, axis=0)
    mixed, shares = (part.numpy() for part in naive_pipeline._mixup(tf.constant(images), tf.constant(labels)))
    np.testing.assert_allclose(shares.sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(mixed[:, 0, 0, 0], 200 * shares[:, 0], atol=1)


def test_rotation_keeps_the_center_and_fills_with_white():
    images = np.zeros((2, 9, 9, 3), np.uint8)
    rotated = naive_pipeline._rotation(tf.constant(images), None)[0].numpy()
    assert (rotated[:, 4, 4] == 0).all()
    assert set(np.unique(rotated[:, [0, 0, 8, 8], [0, 8, 0, 8]])) <= set(range(256))
    assert rotated.max() > 0
