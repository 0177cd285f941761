"""Which models a recipe asks for: the one that is saved, and the one that is trained."""

import types

import pytest

import train
from Models.layers import dot_product_attention
from Utils.recipe.recipe import Recipe
from Utils.training.devices import Devices


def models(**fields):
    recipe = Recipe(model="ViT/test", image_size=32, seed=1, **fields)
    dataset = types.SimpleNamespace(num_labels=3)
    return train._models(recipe, dataset, Devices("1 CPU", "CPU", 1, False), None, mixup_rows=32)


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
