"""Models/layers/head_projections.py: projections split into heads and joined again."""

import numpy as np
import pytest
from helpers.layers import normal, with_weights

from Models.layers.rotary import RotaryAttention


def test_heads_are_slices_of_the_channels():
    layer = with_weights(RotaryAttention(2), (1, 4, 16))
    x = normal(1, 4, 16)
    query, key, value = layer.project(x, 4)
    assert query.shape == key.shape == value.shape == (1, 2, 4, 8)
    np.testing.assert_allclose(query[0, 1], np.array(layer.query_dense(x))[0, :, 8:], rtol=1e-6)
    assert layer.key_dense.bias is None
    joined = np.array(value).transpose(0, 2, 1, 3).reshape(1, 4, 16)
    np.testing.assert_allclose(layer.join(value, 4), layer.output_dense(joined), rtol=1e-5)


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match="heads must divide the width 16; got 3"):
        RotaryAttention(3).build((None, 4, 16))
