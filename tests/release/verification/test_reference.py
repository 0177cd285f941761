"""The reference gives the Keras model's probabilities of the released tags, on images that never change."""

import numpy as np
from helpers.exported_release import SIZE, build
from helpers.weights import randomized

from Utils.release.verification import reference


def test_probabilities_are_those_of_the_chosen_outputs_for_any_number_of_images(monkeypatch):
    model = randomized(build())
    columns = np.array([4, 0, 17])
    images = reference.drawn_images(SIZE, 5)
    logits = np.asarray(model(images.astype("float32")))[:, columns]
    expected = 1 / (1 + np.exp(-logits.astype("float64")))
    np.testing.assert_allclose(reference.Reference(model, columns).probabilities(images), expected, atol=1e-6)
    monkeypatch.setattr(reference, "BATCH_PIXELS", 2 * SIZE**2)  # batches of two, one and a rest
    monkeypatch.setattr(reference, "MANY_BATCHES", 1)
    np.testing.assert_allclose(reference.Reference(model, columns).probabilities(images), expected, atol=1e-6)


def test_sigmoid_does_not_overflow():
    values = reference.sigmoid(np.array([-1000.0, 0.0, 1000.0], np.float32))
    assert values.tolist() == [0, 0.5, 1]
    assert values.dtype == np.float64


def test_drawn_images_depend_on_their_arguments_only():
    images = reference.drawn_images(SIZE, 3)
    assert (images.shape, images.dtype) == ((3, SIZE, SIZE, 3), np.uint8)
    np.testing.assert_array_equal(images, reference.drawn_images(SIZE, 3))
    assert (images != reference.drawn_images(SIZE, 3, seed=1)).any()
    assert (images[0] != images[1]).any()
