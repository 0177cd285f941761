"""Models/layers/scaling.py: 0..255 to the range of a network."""

import numpy as np
import pytest

from Models.layers import scaling


@pytest.mark.parametrize(("name", "low", "high"), [("inception", -1, 1), ("simple", 0, 1), (None, 0, 255)])
def test_input_scaling(name, low, high):
    x = np.array([[0, 127, 255]], "uint8")
    y = np.array(scaling.InputScaling(name)(x))
    np.testing.assert_allclose(y, [[low, low + (high - low) * 127 / 255, high]], atol=1e-6)


def test_input_scaling_by_means_and_deviations():
    x = np.array([[0, 51, 255]], "uint8")
    y = np.array(scaling.InputScaling((0.5, 0.2, 0.4, 0.5, 0.1, 0.3))(x))
    np.testing.assert_allclose(y, [[-1, 0, 2]], atol=1e-6)
    for wrong in ((0.5, 0.5), (0.0, 0.0, 0.0, 1.0, 1.0, 0.0)):
        with pytest.raises(ValueError, match="three means and three standard deviations"):
            scaling.InputScaling(wrong)


def test_input_scaling_computes_in_float32():
    x = np.array([[127.75]], "float32")  # bfloat16 would round it to 128
    y = np.array(scaling.InputScaling("inception", dtype="mixed_bfloat16")(x), "float32")
    assert y[0, 0] == pytest.approx(0.25 / 127.5, rel=0.01)
