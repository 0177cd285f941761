"""Rematerialized blocks and fused attention train as the plain model does, on every backend."""

import keras
import numpy as np
import pytest

import Models


@pytest.fixture(autouse=True)
def back_to_auto():
    yield
    Models.set_attention_implementation("auto")


def losses_and_weights(rematerializes=False, attention="plain"):
    """Return those of two steps with stochastic depth, whose masks both passes of a block must share."""
    keras.backend.clear_session()  # names of seed generators are counted
    keras.utils.set_random_seed(1)
    Models.set_attention_implementation(attention)
    options = {"image_size": 32, "num_labels": 3, "classifier_activation": None, "stochastic_depth": 0.5}
    model = Models.build("ViT/test", **options)
    trained_model = Models.rematerialized(model) if rematerializes else model
    trained_model.compile(keras.optimizers.SGD(0.05), keras.losses.BinaryCrossentropy(from_logits=True))
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (8, 32, 32, 3)).astype("uint8")
    labels = draw.integers(0, 2, (8, 3)).astype("float32")
    losses = [float(trained_model.train_on_batch(images, labels)) for _ in range(2)]
    return losses, {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.variables}


@pytest.mark.every_backend
@pytest.mark.slow
def test_training_is_the_same_but_for_rounding():
    losses, before = losses_and_weights()
    for changes in ({"rematerializes": True}, {"attention": "fused"}):
        other_losses, after = losses_and_weights(**changes)
        np.testing.assert_allclose(other_losses, losses, rtol=1e-5)
        assert set(before) == set(after)
        for path, value in before.items():
            np.testing.assert_allclose(after[path], value, rtol=1e-4, atol=1e-6, err_msg=path)
