"""What the residual blocks of networks without normalization share (arXiv:2101.08692, arXiv:2102.06171).

``result = branch(h) * alpha + shortcut`` with ``h = act(x) * beta``: beta undoes the growth of the
variance from block to block, alpha sets it.
"""

import math

import keras

from Models.layers.activations import Activation
from Models.layers.attention import channel_attention
from Models.layers.convolution import ScaledConv2D
from Models.layers.residual import SkipInit, StochasticDepth

ALPHA = 0.2


def betas(depths):
    """Return, for every block, 1 over the standard deviation its input is expected to have."""
    found, std = [], 1.0
    for depth in depths:
        for block in range(depth):
            found.append(1.0 / std)
            before = (
                1.0 if block == 0 else std
            )  # the shortcut of a first block is a convolution of unit variance
            std = math.sqrt(before**2 + ALPHA**2)
    return found


def activate(x, activation, name, scale=1.0, preserve_variance=True):
    """Apply a variance-preserving activation, times ``scale``."""
    return Activation(activation, preserve_variance=preserve_variance, scale=scale, name=name)(x)


def shortcut(x, h, filters, strides, compensate_avgpool_var, name, **convolution):
    """Return x itself where shapes allow, else a 1x1 convolution of h, averaged before where strides > 1.

    The average of 2 x 2 independent values has half their standard deviation; ``compensate_avgpool_var``
    multiplies it by 2.
    """
    if strides == 1 and x.shape[-1] == filters:
        return x
    if strides > 1:
        h = keras.layers.AveragePooling2D(2, strides=strides, padding="same", name=f"{name}_pool")(h)
        if compensate_avgpool_var:
            h = keras.layers.Rescaling(2.0, name=f"{name}_compensate")(h)
    return ScaledConv2D(filters, 1, name=f"{name}_shortcut", **convolution)(h)


def merge(branch, way_around, attention, rate, name, attention_ratio=0.5, skip_init=True):
    """Finish a block: attention times 2, stochastic depth without rescaling, SkipInit times alpha, sum.

    Without ``skip_init`` alpha alone; the gain of the last convolution is then to start at 0.
    """
    gate = channel_attention(attention, name, factor=2.0, ratio=attention_ratio)
    if gate is not None:
        branch = gate(branch)
    if rate > 0:
        branch = StochasticDepth(rate, rescale=False, name=f"{name}_drop")(branch)
    if skip_init:
        branch = SkipInit(ALPHA, name=f"{name}_skip")(branch)
    else:
        branch = keras.layers.Rescaling(ALPHA, name=f"{name}_alpha")(branch)
    return keras.layers.Add(name=f"{name}_add")([branch, way_around])
