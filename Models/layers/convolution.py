"""Convolutions padded as the original's: half a kernel of zeros on each side, then no other padding."""

import keras


def conv2d(x, filters, kernel_size, *, strides=1, use_bias=False, name):
    """Apply a k x k convolution to (B, H, W, I) after ``k // 2`` zeros on each side; Glorot uniform kernel.

    At stride 1 that is Keras' "same"; at stride 2 "same" would put its zeros at the bottom and right only.
    """
    if strides > 1:
        x = keras.layers.ZeroPadding2D(kernel_size // 2, name=f"{name}_pad")(x)
    padding = "valid" if strides > 1 else "same"
    return keras.layers.Conv2D(
        filters, kernel_size, strides=strides, padding=padding, use_bias=use_bias, name=name
    )(x)


def patch_conv2d(x, filters, size, *, name):
    """Cut (B, H, W, I) into ``size`` x ``size`` patches and project each to ``filters``, with bias.

    Where the size does not divide, zeros are added at the bottom and right.
    """
    return keras.layers.Conv2D(filters, size, strides=size, padding="same", name=name)(x)


def depthwise_conv2d(x, kernel_size, *, name):
    """Convolve every channel of (B, H, W, C) with a k x k kernel of its own, with bias, at stride 1."""
    return keras.layers.DepthwiseConv2D(kernel_size, padding="same", name=name)(x)
