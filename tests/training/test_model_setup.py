"""Utils/training/model_setup.py: which models a recipe asks for."""

import keras
import numpy as np
import pytest

from Models.layers import dot_product_attention
from Utils.recipe.recipe import Recipe
from Utils.training import model_setup
from Utils.training.devices import Devices


def models(**fields):
    recipe = Recipe(model="ViT/test", image_size=32, seed=1, **fields)
    return model_setup.build_models(recipe, 3, Devices("1 CPU", "CPU", 1, False), None, mixup_rows=32)


def test_by_default_one_model_is_trained_and_saved():
    model, trained_model = models()
    assert trained_model is model


def test_the_form_of_attention_is_the_recipes():
    models(attention_implementation="fused")
    assert dot_product_attention.attention_implementation(4) == "fused"
    models()
    assert dot_product_attention.attention_implementation(4) == "plain"


@pytest.mark.parametrize("augment_on", ["host", "device"])
def test_rematerialized_models_share_weights_and_names(augment_on):
    model, trained_model = models(rematerialize="blocks", augment_on=augment_on)
    assert trained_model is not model
    assert len(trained_model.inputs) == (2 if augment_on == "device" else 1)
    assert {weight.path for weight in trained_model.weights} == {weight.path for weight in model.weights}
    assert {id(weight) for weight in trained_model.weights} == {id(weight) for weight in model.weights}


def test_without_rematerialization_augmentation_wraps_the_model():
    model, trained_model = models(augment_on="device")
    assert trained_model is not model and len(trained_model.inputs) == 2


def losses_and_weights(**fields):
    """Return those of two steps with stochastic depth, whose masks both passes of a block must share."""
    keras.backend.clear_session()  # names of seed generators are counted
    model, trained_model = models(stochastic_depth=0.5, **fields)
    trained_model.compile(keras.optimizers.SGD(0.05), keras.losses.BinaryCrossentropy(from_logits=True))
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (8, 32, 32, 3)).astype("uint8")
    labels = draw.integers(0, 2, (8, 3)).astype("float32")
    losses = [float(trained_model.train_on_batch(images, labels)) for _ in range(2)]
    return losses, {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.variables}


@pytest.mark.every_backend
@pytest.mark.parametrize("fields", [{"rematerialize": "blocks"}, {"attention_implementation": "fused"}])
def test_training_is_the_same_but_for_rounding(fields):
    (losses, before), (other_losses, after) = losses_and_weights(), losses_and_weights(**fields)
    np.testing.assert_allclose(other_losses, losses, rtol=1e-5)
    assert set(before) == set(after)
    for path, value in before.items():
        np.testing.assert_allclose(after[path], value, rtol=1e-4, atol=1e-6, err_msg=path)
