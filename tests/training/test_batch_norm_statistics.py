"""Utils/training/batch_norm_statistics.py: statistics of the evaluated weights, and the way back."""

import keras
import numpy as np
import pytest

from Models.layers.normalization import BatchNorm
from Utils.training import batch_norm_statistics, losses

pytestmark = pytest.mark.every_backend
BATCH, SIZE = 8, 6


def images(step):
    """The batch of a step, whose brightness and contrast differ from those of the others."""
    random = np.random.default_rng(step)
    values = random.normal(step, 1 + step / 2, (BATCH, SIZE, SIZE, 3)).astype("float32")
    return values, np.zeros((BATCH, 2), "float32")


def batches(step):
    while True:
        yield images(step)
        step += 1


@pytest.fixture
def model():
    """Two convolutions with batch norm and dropout before the classifier."""
    keras.utils.set_random_seed(0)
    x = inputs = keras.Input((SIZE, SIZE, 3))
    for number in (1, 2):
        x = keras.layers.Conv2D(4, 3, name=f"conv{number}")(x)
        x = BatchNorm(epsilon=1e-5, name=f"norm{number}")(x)
        x = keras.layers.Activation("relu")(x)
    x = keras.layers.Dropout(0.5, name="dropout")(keras.layers.GlobalAveragePooling2D()(x))
    built = keras.Model(inputs, keras.layers.Dense(2)(x))
    built.compile("sgd", losses.build("bce"))
    return built


def state(model):
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in model.variables]


def array(tensor):
    return np.array(keras.ops.convert_to_numpy(tensor))


def test_the_first_layer_has_mean_and_variance_of_all_that_it_saw(model):
    before = state(model)
    measured = batch_norm_statistics.measured_statistics(model, model, batches, 3)
    maps = np.concatenate([array(model.get_layer("conv1")(images(step)[0])) for step in (5, 6, 7)])
    with measured(5):
        norm = model.get_layer("norm1")
        np.testing.assert_allclose(array(norm.moving_mean), maps.mean((0, 1, 2)), rtol=1e-5)
        np.testing.assert_allclose(array(norm.moving_variance), maps.var((0, 1, 2)), rtol=1e-4)
        changed = [one.tobytes() != other.tobytes() for one, other in zip(before, state(model), strict=True)]
        assert sum(changed) == 4, "two statistics of two layers, and no weight or random state"
    assert all(one.tobytes() == other.tobytes() for one, other in zip(before, state(model), strict=True))


def test_of_one_batch_evaluation_is_training_without_dropout(model):
    model.get_layer("dropout").rate = 0.0
    values, _ = images(4)
    trained = array(model(values, training=True))
    with batch_norm_statistics.measured_statistics(model, model, batches, 1)(4):
        np.testing.assert_allclose(array(model(values, training=False)), trained, atol=2e-6)
    assert np.abs(array(model(values, training=False)) - trained).max() > 0.1


def test_they_are_those_of_the_weights_that_are_in_the_model(model):
    measured = batch_norm_statistics.measured_statistics(model, model, batches, 1)
    norm, kernel = model.get_layer("norm1"), model.get_layer("conv1").kernel
    with measured(0):
        first = array(norm.moving_variance)
    kernel.assign(2.0 * kernel)
    with measured(0):
        np.testing.assert_allclose(array(norm.moving_variance), 4 * first, rtol=1e-5)


def test_frozen_statistics_stay(model):
    model.get_layer("norm1").trainable = False
    measured = batch_norm_statistics.measured_statistics(model, model, batches, 1)
    with measured(0):
        assert not array(model.get_layer("norm1").moving_mean).any()
        assert array(model.get_layer("norm2").moving_mean).any()


def test_an_error_within_puts_the_statistics_back(model):
    before = state(model)
    measured = batch_norm_statistics.measured_statistics(model, model, batches, 1)
    with pytest.raises(ZeroDivisionError), measured(0):
        raise ZeroDivisionError
    assert all(one.tobytes() == other.tobytes() for one, other in zip(before, state(model), strict=True))
    assert not model.get_layer("norm1").measuring


def test_the_momentum_is_what_a_step_keeps(model):
    batch_norm_statistics.set_momentum(model, 0.75)
    values, _ = images(3)
    mean = array(model.get_layer("conv1")(values)).mean((0, 1, 2))
    model(values, training=True)
    np.testing.assert_allclose(array(model.get_layer("norm1").moving_mean), 0.25 * mean, rtol=1e-5)
