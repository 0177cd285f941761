"""A model at another image size: the same weights, resampled positions."""

import numpy as np
import pytest
from helpers.quick import slow_but

import Models
from Models.layers.tokens import resample_positions
from Utils.command.cli import UserError

FAMILIES = [f"{family}/test" for family in Models.available()]
WITH_POSITIONS = ("DINOv3/test", "EVA02/test", "SwinV2/test", "ViT/test")


def noisy(name, size, **overrides):
    """A model whose weights are all drawn, so that nothing is hidden behind zeros or ones."""
    model = Models.build(name, image_size=size, num_labels=5, **overrides)
    rng = np.random.default_rng(1)
    model.set_weights([rng.uniform(0.3, 0.7, value.shape) for value in model.get_weights()])
    return model


@pytest.mark.parametrize("name", slow_but(FAMILIES, "ConvNext/test", "ViT/test"))
def test_the_same_size_gives_the_same_outputs(name):
    model = noisy(name, 32)
    images = np.random.default_rng(0).uniform(0, 255, (2, 32, 32, 3)).astype("float32")
    copy = Models.at_size(model, 32)
    np.testing.assert_array_equal(copy(images), model(images))
    assert not {id(weight) for weight in copy.weights} & {id(weight) for weight in model.weights}


@pytest.mark.parametrize("name", slow_but(FAMILIES, *WITH_POSITIONS))
def test_another_size_is_the_model_built_at_that_size(name):
    model, expected = noisy(name, 32), Models.build(name, image_size=64, num_labels=5)
    copy = Models.at_size(model, 64)
    for value, variable in zip(copy.get_weights(), expected.weights, strict=True):
        assert value.shape == tuple(variable.shape), variable.path
    expected.set_weights(copy.get_weights())
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype("float32")
    np.testing.assert_array_equal(copy(images), expected(images))


def test_position_embeddings_are_resampled_and_all_else_is_copied():
    model = noisy("ViT/test", 32)
    copy = Models.at_size(model, 64)
    for old, new in zip(model.weights, copy.weights, strict=True):
        if old.path.endswith("stem_positions/table"):
            assert new.shape != old.shape
            np.testing.assert_array_equal(new, resample_positions(old.numpy(), new.shape[0]))
        else:
            np.testing.assert_array_equal(new, old)


def test_an_impossible_image_size_is_an_error():
    with pytest.raises(UserError, match="cannot take images of 40 px"):
        Models.at_size(Models.build("ResNet/basic-test", image_size=32, num_labels=5, pool_cells=2), 40)


def test_the_cells_of_a_head_grow_with_the_image():
    model = noisy("ResNet/basic-test", 32, pool_cells=2)
    copy = Models.at_size(model, 64)
    assert copy.output_shape == model.output_shape
    assert all(np.array_equal(*pair) for pair in zip(copy.get_weights(), model.get_weights(), strict=True))
