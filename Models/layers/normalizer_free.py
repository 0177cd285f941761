"""Parts of the residual blocks of networks without normalization (arXiv:2101.08692, arXiv:2102.06171).

A block is ``branch(h) * alpha + shortcut`` with ``h = act(x) * beta``. Each block adds the variance
``alpha^2`` of its branch; beta divides by the standard deviation that has accumulated so far.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras

from Models.layers.activations import Activation
from Models.layers.attention import channel_attention
from Models.layers.convolution import ScaledConv2D
from Models.layers.initializers import lecun_normal
from Models.layers.residual import SkipInit, StochasticDepth
from Models.layers.tensors import Tensor

ALPHA = 0.2  # as both papers train


def expected_betas(depths: Sequence[int]) -> list[float]:
    """Return beta of every block: 1 over the standard deviation that its input is expected to have.

    ``depths`` are the numbers of blocks of the stages. The shortcut of a stage's first block is a convolution
    of the normalized input, so that the variance starts again from 1 there.
    """
    betas, std = [], 1.0
    for depth in depths:
        for block in range(depth):
            betas.append(1.0 / std)
            shortcut_std = 1.0 if block == 0 else std
            std = math.sqrt(shortcut_std**2 + ALPHA**2)
    return betas


def activate(
    x: Tensor, activation: str, name: str, scale: float = 1.0, preserve_variance: bool = True
) -> Tensor:
    """Apply a variance-preserving activation, times ``scale``."""
    return Activation(activation, preserve_variance=preserve_variance, scale=scale, name=name)(x)


def shortcut(
    x: Tensor,
    h: Tensor,
    filters: int,
    strides: int,
    compensate_avgpool_var: bool,
    name: str,
    **convolution: Any,
) -> Tensor:
    """Return x itself if its shape fits, else a 1x1 convolution of h, average-pooled first for strides > 1.

    The average of 2 x 2 independent values has half their standard deviation; ``compensate_avgpool_var``
    multiplies by 2. ``convolution``: further arguments of ``ScaledConv2D``.
    """
    if strides == 1 and x.shape[-1] == filters:
        return x
    if strides > 1:
        h = keras.layers.AveragePooling2D(2, strides=strides, padding="same", name=f"{name}_pool")(h)
        if compensate_avgpool_var:
            h = keras.layers.Rescaling(2.0, name=f"{name}_compensate")(h)
    return ScaledConv2D(filters, 1, name=f"{name}_shortcut", **convolution)(h)


def merge(
    branch: Tensor,
    around: Tensor,
    attention: str | None,
    rate: float,
    name: str,
    attention_ratio: float = 0.5,
    skip_init: bool = True,
) -> Tensor:
    """Finish a block: attention times 2, stochastic depth without rescaling, SkipInit times alpha, sum.

    Without ``skip_init`` the branch is multiplied by alpha only; the gain of its last convolution should then
    start at 0. ``around`` is the shortcut, ``rate`` that of stochastic depth.
    """
    gate = channel_attention(attention, name, lecun_normal, factor=2.0, ratio=attention_ratio)
    if gate is not None:
        branch = gate(branch)
    if rate > 0:
        branch = StochasticDepth(rate, rescale=False, name=f"{name}_drop")(branch)
    if skip_init:
        branch = SkipInit(ALPHA, name=f"{name}_skip")(branch)
    else:
        branch = keras.layers.Rescaling(ALPHA, name=f"{name}_alpha")(branch)
    return keras.layers.Add(name=f"{name}_add")([branch, around])
