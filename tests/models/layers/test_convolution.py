"""Models/layers/convolution.py: padding, grouped and weight-standardized convolutions."""

import keras
import numpy as np
import pytest
from helpers.layers import normal, with_weights

from Models.layers import convolution


@pytest.mark.parametrize("strides", [1, 2])
@pytest.mark.parametrize("groups", [1, 3])
def test_the_forms_of_a_grouped_convolution_agree(strides, groups):
    x, kernel = normal(2, 9, 10, 12), normal(3, 3, 12 // groups, 18, seed=1)
    padding = "valid" if strides > 1 else "same"
    forms = [
        np.array(convolution.grouped_conv2d(x, kernel, groups, strides=strides, padding=padding, split=split))
        for split in (False, True)
    ]
    np.testing.assert_allclose(*forms, atol=1e-4)


@pytest.mark.parametrize(("kernel_size", "strides", "groups"), [(1, 1, 1), (3, 1, 2), (3, 2, 2), (7, 2, 1)])
def test_scaled_convolution(kernel_size, strides, groups):
    layer = convolution.ScaledConv2D(8, kernel_size, strides=strides, groups=groups)
    layer = with_weights(layer, (None, 9, 11, 4))
    x = normal(2, 9, 11, 4, seed=3)
    kernel, bias, gain = map(np.array, (layer.kernel, layer.bias, layer.gain))
    fan_in = kernel_size**2 * 4 // groups
    spread = np.sqrt(np.maximum(kernel.var((0, 1, 2)) * fan_in, 1e-4))
    kernel = (kernel - kernel.mean((0, 1, 2))) / spread * gain
    margin = kernel_size // 2
    padded = np.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
    expected = [
        np.array(keras.ops.conv(part, weights, strides=strides, padding="valid"))
        for part, weights in zip(np.split(padded, groups, -1), np.split(kernel, groups, -1), strict=True)
    ]
    got = np.array(layer(x))
    np.testing.assert_allclose(got, np.concatenate(expected, -1) + bias, atol=1e-4)
    assert got.shape == layer.compute_output_shape(x.shape)


def test_a_flat_kernel_stays_finite():
    layer = convolution.ScaledConv2D(2, 3)
    layer.build((None, 4, 4, 3))
    layer.kernel.assign(np.ones(layer.kernel.shape))
    np.testing.assert_array_equal(layer.standardized_kernel(), np.zeros(layer.kernel.shape))


def test_groups_must_divide():
    with pytest.raises(ValueError, match="3 groups must divide 4 and 8 channels"):
        convolution.ScaledConv2D(8, 3, groups=3).build((None, 4, 4, 4))


def test_padding_is_the_same_on_all_sides():
    """At stride 2 the center of the first window is the first pixel, which Keras' "same" would not give."""
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, convolution.conv2d(image, 1, 3, strides=2, name="c"))
    kernel = np.zeros((3, 3, 1, 1))
    kernel[1, 1] = 1
    model.get_layer("c").kernel.assign(kernel)
    x = normal(1, 8, 8, 1)
    np.testing.assert_array_equal(model(x), x[:, ::2, ::2])


def test_zeros_take_part_in_the_pooling_of_the_stem():
    image = keras.Input((8, 8, 1))
    model = keras.Model(image, convolution.stem_max_pool(image, "p"))
    y = np.array(model(-np.ones((1, 8, 8, 1))))[0, :, :, 0]
    assert y.shape == (4, 4)
    assert (y[0] == 0).all() and (y[:, 0] == 0).all() and (y[1:, 1:] == -1).all()
