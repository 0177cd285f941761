"""Models/layers/input_gradients.py against a derivative by hand."""

import keras
import numpy as np
import pytest
from helpers.layers import normal, with_weights

from Models.layers.input_gradients import input_gradients


@pytest.mark.every_backend
def test_gradients_of_a_square():
    inputs = keras.Input((3,))
    dense = with_weights(keras.layers.Dense(4), (None, 3))
    model = keras.Model(inputs, keras.ops.square(dense(inputs)))
    values = normal(1, 3)
    kernel, slopes = np.asarray(dense.kernel), 2 * np.asarray(dense(values))[0]
    gradients = input_gradients(model, values, [2, 0])
    np.testing.assert_allclose(gradients, [slopes[2] * kernel[:, 2], slopes[0] * kernel[:, 0]], rtol=1e-5)
