"""Models/localization.py: maps whose mean is the logit, attention as the head computes it, gradients."""

import keras
import numpy as np
import pytest
from helpers import zoo
from helpers.weights import randomized

from Models import localization
from Models.layers.model_ends import average_pool, classifier, with_probabilities
from Models.layers.normalization import normalization
from Utils.command.cli import UserError

COLUMNS = [3, 0]


def pooled_model(cells=1, norm=None, side=5):
    """An average over a map of 5 x 5 x 4 and a classifier of 6 tags, with random weights."""
    image = keras.Input((4 * side, 4 * side, 3), name="image")
    x = keras.layers.Conv2D(4, 4, strides=4, name="stage0_conv")(image)
    x = average_pool(x, cells, overlap=True)
    if norm:
        x = normalization(norm, 1e-5, "head_norm")(x)
    return randomized(keras.Model(image, classifier(x, 6, None, "glorot_uniform")))


def maps_of(model, image, method):
    made = localization.mapper(model, method)
    assert made is not None
    return made[0](image, COLUMNS)


def picture(model, seed=1):
    return zoo.draw_images(1, model.input_shape[1], seed)[0]


@pytest.mark.parametrize(("cells", "norm"), [(1, None), (2, None), (1, "layernorm"), (1, "batchnorm")])
def test_the_mean_of_an_activation_map_is_the_logit(cells, norm):
    model = pooled_model(cells, norm)
    image = picture(model)
    logits = np.asarray(model(image[None]))[0]
    maps = maps_of(with_probabilities(model), image, "activation")
    assert maps.shape == (2, 5, 5)
    assert maps.std(axis=(1, 2)).min() > 0
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), logits[COLUMNS], rtol=1e-4, atol=1e-4)


def test_gradients_of_an_average_and_a_matrix_are_the_activation_without_the_bias():
    model = pooled_model()
    image, bias = picture(model), np.asarray(model.layers[-1].bias)[COLUMNS]
    activation = maps_of(model, image, "activation")
    gradient = maps_of(model, image, "gradient")
    np.testing.assert_allclose(25 * gradient, activation - bias[:, None, None], rtol=1e-4, atol=1e-4)


def test_the_prefix_of_tokens_has_no_place():
    model = randomized(zoo.build_small("ViT/registers-test", head="gap", layer_scale=None))
    image = picture(model)
    maps = maps_of(model, image, "activation")
    logits = np.asarray(model(image[None]))[0]
    np.testing.assert_allclose(maps.mean(axis=(1, 2)), logits[COLUMNS], rtol=1e-3, atol=1e-3)
    token = randomized(zoo.build_small("ViT/registers-test", layer_scale=None, depth=2))
    assert localization.methods(token) == ["gradient"]
    assert localization._source(token)[0] is token.get_layer("block1_norm1").input
    assert np.abs(maps_of(token, image, "gradient")).min(axis=(1, 2)).max() > 0


@pytest.mark.parametrize(("head", "differ"), [("map", False), ("ml_decoder", True)])
def test_attention_is_that_of_the_queries_of_the_tags_groups(head, differ):
    model = randomized(zoo.build_small("ViT/map-test", head=head, decoder_groups=5))
    assert localization.methods(model) == ["attention", "gradient"]
    maps = maps_of(model, picture(model), "attention")
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), 1, atol=1e-5)
    assert (np.abs(maps[0] - maps[1]).max() > 1e-6) == differ
    gradient = maps_of(model, picture(model), "gradient")
    assert gradient.shape == maps.shape
    assert np.abs(gradient[0] - gradient[1]).max() > 1e-6


def test_coarse_maps_are_left_to_occlusion():
    assert localization.mapper(pooled_model()) is None
    made = localization.mapper(pooled_model(side=7))
    assert made is not None
    assert made[1] == "activation"


def test_methods_that_a_model_lacks_are_refused_with_those_it_has():
    with pytest.raises(UserError, match="made by activation or gradient or occlusion; got attention"):
        localization.mapper(pooled_model(), "attention")
    foreign = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    assert localization.methods(foreign) == []
    assert localization.mapper(foreign) is None
