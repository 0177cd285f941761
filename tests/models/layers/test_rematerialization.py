"""Models/layers/rematerialization.py: the same training, by the same weights, with blocks computed twice."""

import keras
import numpy as np
import pytest
from helpers import zoo
from helpers.quick import slow_but

import Models
from Models.layers import rematerialization

RATES = {"stochastic_depth": 0.5, "dropout": 0.3}  # masks in the blocks and outside


def steps(name, rematerialize):
    """Return losses and all variables after three steps; gates that start at 0 let their branches through."""
    keras.backend.clear_session()  # names of seed generators are counted
    keras.utils.set_random_seed(3)
    model = zoo.build_small(name, **RATES)
    for weight in model.trainable_variables:
        if weight.path.split("/")[-1] in ("scale", "gamma", "gain"):
            weight.assign(0.7 * keras.ops.ones_like(weight))
    trained = Models.rematerialized(model) if rematerialize else model
    trained.compile(keras.optimizers.SGD(0.05), keras.losses.BinaryCrossentropy(from_logits=True))
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (8, *model.input_shape[1:])).astype("uint8")
    labels = draw.integers(0, 2, (8, model.output_shape[-1])).astype("float32")
    losses = [float(trained.train_on_batch(images, labels)) for _ in range(3)]
    # The same names, so that a checkpoint of one is a checkpoint of the other.
    return losses, {variable.path: variable.numpy() for variable in trained.variables}


@pytest.mark.parametrize(
    "name", slow_but(["ViT/test", "ResNet/test"], "ViT/test")
)  # seeds; moving averages too
def test_training_is_the_same_with_masks_and_moving_averages(name):
    (losses, before), (again, after) = steps(name, False), steps(name, True)
    np.testing.assert_allclose(again, losses, rtol=1e-6)
    assert set(before) == set(after)
    for path, value in before.items():
        np.testing.assert_allclose(after[path], value, rtol=1e-5, atol=1e-6, err_msg=path)
    counters = [path for path, value in before.items() if value.dtype.kind in "iu"]
    assert counters, "random layers take part, and their seeds move once a step"


@pytest.mark.parametrize("family", Models.available())
def test_every_family_has_blocks_that_give_the_same_as_the_model(family):
    model = zoo.build_small(f"{family}/test")
    parts = rematerialization._Rematerialized(model).parts
    assert sum(part.is_block for part in parts) >= 2
    assert all(len(part.input_keys) == len(part.output_keys) == 1 for part in parts if part.is_block)
    layers = [layer for part in parts for layer in part.model.layers]
    taken = {layer.name for layer in layers if not isinstance(layer, keras.layers.InputLayer)}
    assert taken == {layer.name for layer in model.layers if layer.name != "image"}


def test_inference_is_that_of_the_model():
    model = zoo.build_small("ConvNext/test")
    images = np.random.default_rng(0).integers(0, 256, (2, *model.input_shape[1:])).astype("uint8")
    np.testing.assert_array_equal(Models.rematerialized(model)(images), model(images))
