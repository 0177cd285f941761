"""Models/layers/model_ends.py: pooling by cells, logits and probabilities."""

import keras
import numpy as np
import pytest
from helpers import zoo

import Models
from Models.layers import model_ends


def test_putting_a_sigmoid_on_and_taking_it_off():
    model = zoo.build_small("ConvNext/test")
    assert Models.without_activation(model) is model
    tagger = Models.with_probabilities(model)
    assert Models.with_probabilities(tagger) is tagger
    logits = np.array(model(zoo.draw_images()))
    np.testing.assert_allclose(tagger(zoo.draw_images()), 1 / (1 + np.exp(-logits)), atol=1e-6)
    np.testing.assert_array_equal(Models.without_activation(tagger)(zoo.draw_images()), logits)
    model.get_layer("head_logits").bias.assign(np.full(zoo.LABELS, 9.0))
    assert np.array(tagger(zoo.draw_images())).min() > 0.9  # the layers are shared


def test_cells_are_averaged_row_by_row():
    features = np.random.default_rng(0).normal(size=(2, 6, 4, 3)).astype("float32")
    quarters = [features[:, y : y + 3, x : x + 2].mean((1, 2)) for y in (0, 3) for x in (0, 2)]
    pooled = model_ends.CellAverage(2)(features)
    np.testing.assert_allclose(pooled, np.concatenate(quarters, 1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(model_ends.average_pool(features), features.mean((1, 2)), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="6 x 4 features cannot be cut into 4 x 4"):
        model_ends.average_pool(features, 4)


def test_cells_that_overlap_share_the_middle_of_an_odd_map():
    features = np.random.default_rng(0).normal(size=(2, 3, 7, 3)).astype("float32")
    quarters = [features[:, y : y + 2, x : x + 4].mean((1, 2)) for y in (0, 1) for x in (0, 3)]
    pooled = model_ends.average_pool(features, 2, overlap=True)
    np.testing.assert_allclose(pooled, np.concatenate(quarters, 1), rtol=1e-5, atol=1e-6)
    even = np.random.default_rng(0).normal(size=(2, 6, 4, 3)).astype("float32")
    np.testing.assert_array_equal(
        model_ends.CellAverage(2, overlap=True)(even), model_ends.CellAverage(2)(even)
    )
    pixel = model_ends.average_pool(features[:, :1, :1], 2, overlap=True)  # one pixel is in all cells
    np.testing.assert_array_equal(pixel, np.tile(features[:, 0, 0], 4))


def test_the_classifier_is_float32_under_mixed_precision():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        features = keras.Input((4,), dtype="float16")
        model = keras.Model(features, model_ends.classifier(features, 3, "sigmoid", "zeros"))
    finally:
        keras.config.set_dtype_policy("float32")
    outputs = model(np.ones((1, 4), "float16"))
    assert outputs.dtype == "float32"
    np.testing.assert_array_equal(outputs, np.full((1, 3), 0.5))
