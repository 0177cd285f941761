"""Losses, gradients and scores of packed labels are those of the labels, bit for bit."""

import keras
import numpy as np
import pytest

from Generators import packed_labels
from Utils.training import devices, losses, prior_scores, validation_metrics
from Utils.training.packed_labels import unpacked
from Utils.training.tensors import ops

RNG = np.random.default_rng(1)
LABELS = np.zeros((8, 300), np.float32)
for row in range(8):
    LABELS[row, RNG.choice(300, 5, replace=False)] = [1, 1, 0.3, 1, -1]
PACKED = packed_labels.pack(LABELS, 9, np.arange(8))
LOGITS = RNG.normal(size=(8, 300)).astype(np.float32)


def test_labels_are_unpacked_on_the_device():
    assert (ops.convert_to_numpy(unpacked(ops.convert_to_tensor(PACKED), 300)) == LABELS).all()
    assert unpacked(LABELS, 300) is LABELS


@pytest.mark.every_backend
@pytest.mark.parametrize("name", ["bce", "focal", "asl", "hill", "two_way", "zlpr", "epr"])
def test_loss_and_gradient_are_the_same(name):
    options = {"expected_positives": 6.0} if name == "epr" else {}
    loss = losses.build(name, **options)
    dense, packed = (
        (ops.convert_to_numpy(loss.call(ops.convert_to_tensor(labels), ops.convert_to_tensor(LOGITS))),
         devices.gradient(lambda logits, labels=labels: ops.sum(loss.call(labels, logits)), LOGITS))
        for labels in (LABELS, PACKED)
    )  # fmt: skip
    for one, other in zip(dense, packed, strict=True):
        assert np.array_equal(np.asarray(one), np.asarray(other))


def test_training_on_packed_labels_gives_the_same_weights():
    images = RNG.normal(size=(8, 6)).astype(np.float32)
    weights = []
    for labels in (LABELS, PACKED):
        keras.utils.set_random_seed(0)
        inputs = keras.Input((6,))
        model = keras.Model(inputs, keras.layers.Dense(300)(inputs))
        model.compile(keras.optimizers.Adam(0.01), losses.SummedBCE(), jit_compile=False)
        model.fit(images, labels, batch_size=4, epochs=2, verbose=0, shuffle=False)
        weights.append(model.get_weights())
    assert all(np.array_equal(*pair) for pair in zip(*weights, strict=True))


def test_scores_of_packed_labels_are_those_of_the_labels():
    assert (LABELS < 0).any()  # unknown ones are compared, too
    frequencies = np.linspace(0.01, 0.3, 300)
    loss = losses.build("bce")
    metrics = [
        [
            validation_metrics.MeanLoss(loss),
            validation_metrics.EqualPR(300),
            validation_metrics.GroupF1([3, 40, 299], "new"),
            prior_scores.of_loss(loss, frequencies),
        ]
        for _ in range(2)
    ]
    weights = np.array([1, 1, 1, 1, 1, 1, 0, 0], np.float32)
    for labels, of_labels in zip((LABELS, PACKED), metrics, strict=True):
        for metric in of_labels:
            metric.update_state(labels, LOGITS, weights)
    dense, packed = ([metric.variables for metric in of_labels] for of_labels in metrics)
    for one, other in zip(sum(dense, []), sum(packed, []), strict=True):
        assert np.array_equal(ops.convert_to_numpy(one), ops.convert_to_numpy(other))
