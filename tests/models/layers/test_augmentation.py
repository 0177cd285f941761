"""Models/layers/augmentation.py: flip, rotation and MixUp on the device."""

import keras
import numpy as np
import pytest

from Models.layers import augmentation


def test_augmentation_mirrors_turns_and_mixes_in_training_only():
    images = np.random.default_rng(0).integers(0, 256, (3, 9, 9, 3), np.uint8)
    draws = np.array([[1, 0, 1, 0], [0, 90, 1, 1], [0, 0, 0.25, 0]], "float32")
    keras.config.set_dtype_policy("mixed_bfloat16")  # which has 8 bits: not enough for angles and rows
    try:
        layer = augmentation.BatchAugmentation()
    finally:
        keras.config.set_dtype_policy("float32")
    mirrored, turned, mixed = np.array(layer([images, draws], training=True))
    np.testing.assert_allclose(mirrored, images[0, :, ::-1], atol=1e-3)
    np.testing.assert_allclose(turned, np.rot90(images[1]), atol=1e-3)
    np.testing.assert_allclose(mixed, 0.25 * images[2] + 0.75 * mirrored, atol=1e-3)
    assert np.array_equal(layer([images, draws]), images)


def test_partners_of_a_group_are_found_within_it():
    random = np.random.default_rng(0)
    images, draws = random.integers(0, 256, (12, 5, 5, 3), np.uint8), random.random((12, 4), np.float32)
    order = np.concatenate([4 * group + random.permutation(4) for group in range(3)])
    draws[:, 3] = order + 24  # rows 24 to 35 of a larger batch
    mixed = augmentation.BatchAugmentation(4)([images, draws], training=True)
    draws[:, 3] = order
    np.testing.assert_array_equal(mixed, augmentation.BatchAugmentation()([images, draws], training=True))
    with pytest.raises(ValueError, match="group must be at least 1"):
        augmentation.BatchAugmentation(0)


def test_rotation_fills_white():
    black = np.zeros((1, 32, 32, 3), np.uint8)
    turned = np.array(augmentation.augment_batch(black, np.array([[0, 45, 1, 0]], "float32")))[0]
    assert (turned[[0, 0, -1, -1], [0, -1, 0, -1]] == 255).all()
    octagon = 2 * (np.sqrt(2) - 1)  # share of a square that its copy turned by 45 degrees covers
    assert (turned == 0).mean() == pytest.approx(octagon, abs=0.06)


def test_an_augmenting_model_shares_the_weights():
    inner = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    model = augmentation.with_augmentation(inner)
    images = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    draws = np.array([[1, 30, 0.5, 1], [0, -20, 0.5, 0]], "float32")
    np.testing.assert_allclose(model([images, draws]), inner(images.astype("float32")), rtol=1e-5)
    seen = augmentation.augment_batch(images, draws)
    np.testing.assert_allclose(model([images, draws], training=True), inner(seen), rtol=1e-4)
    assert all(one is other for one, other in zip(model.weights, inner.weights, strict=True))
