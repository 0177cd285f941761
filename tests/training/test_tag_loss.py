"""What the losses share: limits, averages over images, and the epoch inside of a compiled step."""

import keras
import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.training import losses, tag_loss

random = np.random.default_rng(2)
LOGITS = random.normal(-1, 3, (6, 9)).astype("float32")
HARD = (random.random((6, 9)) < 0.3).astype("float32")


def values(loss, labels, logits, **options):
    return np.asarray(keras.ops.convert_to_numpy(loss(labels, logits, **options)))


def test_cross_entropy_is_exact_in_both_tails():
    logits = np.float32([-200, -50, 0, 50, 200])
    for label in (0.0, 1.0, 0.25):
        expected = label * np.logaddexp(0, -logits.astype("float64"))
        expected += (1 - label) * np.logaddexp(0, logits.astype("float64"))
        got = values(tag_loss.cross_entropy, np.float32(label), logits)
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-30)


def test_prepared_gives_unknown_labels_no_weight():
    labels, _, weights = tag_loss.prepared(
        np.float32([[1, 0, -1]]), np.zeros((1, 3), "float32"), 0.2, [1.0, 2.0, 3.0]
    )
    np.testing.assert_allclose(labels, [[0.9, 0.1, 0.1]], rtol=1e-6)
    np.testing.assert_allclose(weights, [[1, 2, 0]])


def test_only_losses_with_an_epoch_have_a_state():
    built = {name: losses.build(name) for name in losses.LOSSES}
    assert [loss.name for loss in built.values()] == list(built)
    states = {name: len(loss.states) for name, loss in built.items()}
    assert {name for name, number in states.items() if number} == {"splc", "ll_r", "ll_ct"}


@pytest.mark.every_backend
def test_a_compiled_step_sees_the_epoch_of_the_loop():
    """A number would be frozen into the traced program: only the metric's variable is an input of it."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((9,)), keras.layers.Dense(9, kernel_initializer="identity")])
    loss = losses.build("ll_r", delta_rel=50.0)
    model.compile(keras.optimizers.SGD(0.0), loss, metrics=loss.states)
    seen, told = [], []
    for epoch in range(3):
        callback = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda *_, e=epoch: setattr(loss, "epoch", e),
            on_train_batch_end=lambda batch, logs: told.append(loss.epoch),
        )
        history = model.fit(LOGITS, HARD, batch_size=6, verbose=0, callbacks=[callback])
        seen.append(history.history["loss"][0])
    expected = [values(losses.ll_r, HARD, LOGITS, epoch=e, delta_rel=50.0).mean() for e in range(3)]
    np.testing.assert_allclose(seen, expected, rtol=1e-5)
    assert seen[0] > seen[1] > seen[2]
    assert told == [0, 1, 2], "JAX has no variables to read while it trains"


@pytest.mark.every_backend
def test_the_epoch_of_a_step_that_does_not_see_it_cannot_be_changed():
    model = keras.Sequential([keras.Input((9,)), keras.layers.Dense(9)])
    loss = losses.build("splc")
    model.compile("sgd", loss)
    model.fit(LOGITS, HARD, verbose=0)
    loss.epoch = 0
    if keras.backend.backend() == "tensorflow":  # whose steps read the variable
        loss.epoch = 1
        return
    with pytest.raises(UserError, match=r"loss splc depends on the epoch.*metrics=loss\.states"):
        loss.epoch = 1


def test_the_activation_at_the_end_of_a_model_is_seen():
    images = keras.Input((9,))
    linear, sigmoid = (keras.layers.Dense(9, activation=name)(images) for name in (None, "sigmoid"))
    models = [keras.Model(images, each) for each in (linear, sigmoid, [linear, sigmoid], [sigmoid, sigmoid])]
    models += [keras.Model(images, models[1](images))]
    assert [tag_loss._ends_with_activation(model) for model in models] == [False, True, False, True, True]


def test_the_activation_is_seen_through_layers_that_pass_its_values_on():
    images, layers = keras.Input((9,)), keras.layers
    logits = layers.Dense(9)(images)
    passing = [layers.Dropout(0.1), layers.Identity(), layers.Activation("linear", dtype="float32")]
    passing += [layers.Reshape((9,)), layers.Flatten(), lambda tensor: keras.ops.cast(tensor, "float16")]
    ends = [layers.Activation("sigmoid"), layers.Softmax(), keras.ops.sigmoid, keras.ops.softmax]
    for layer in passing:
        assert not tag_loss._ends_with_activation(keras.Model(images, layer(logits)))
        assert all(tag_loss._ends_with_activation(keras.Model(images, layer(end(logits)))) for end in ends)
