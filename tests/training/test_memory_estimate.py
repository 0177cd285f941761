"""The estimate of memory against a model whose numbers are known."""

import keras
import pytest

from Utils.training import memory_estimate


def test_a_dense_layer_in_bytes():
    inputs = keras.Input((4,))
    dense = keras.layers.Dense(3, dtype="mixed_float16")
    model = keras.Model(inputs, dense(inputs))
    model.compile(keras.optimizers.Adam(), "mse")
    model.optimizer.build(model.trainable_variables)
    need = memory_estimate.estimate(model, model.optimizer, batch_size=5)
    assert need["weights"] == need["gradients"] == (4 * 3 + 3) * 4
    slots = 2 * (4 * 3 + 3) * 4  # two moments; besides them the step and the learning rate
    assert slots < need["optimizer"] <= slots + 16
    assert need["activations"] == 5 * (4 * 4 + 3 * 2), "the input in float32, the output in float16"


def test_layers_without_weights_need_activations_only():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Activation("relu")(inputs))
    model.compile("sgd", "mse")
    need = memory_estimate.estimate(model, model.optimizer, batch_size=1)
    assert (need["weights"], need["gradients"], need["activations"]) == (0, 0, 32)


def test_the_sum_comes_first_in_words():
    need = {"weights": 1_500_000, "activations": 500}
    assert memory_estimate.describe(need) == (
        "about 1.5 MB on each device (weights 1.5 MB, activations 500 B)"
    )


@pytest.mark.parametrize(
    ("size", "text"),
    [(999, "999 B"), (1000, "1 kB"), (1.234e6, "1.23 MB"), (5.6e9, "5.6 GB"), (4e12, "4e+03 GB")],
)
def test_sizes_as_people_read_them(size, text):
    assert memory_estimate.readable(size) == text
