"""Faster forms of computations with tensorflow on CPUs, for which ``keras.ops`` has no name.

On other devices XLA or cuDNN do the like, or nobody has measured what they do.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras

from Models.layers.platform import platform
from Models.layers.tensors import Shape, Tensor, ops

_NORMALIZED = ("float32", "bfloat16")  # types of maps that the kernel of batch normalization takes


def are_available() -> bool:
    """Whether tensorflow computes, and all devices are CPUs."""
    return keras.backend.backend() == "tensorflow" and platform() == "cpu"


def batch_normalize(x: Tensor, gamma: Tensor, beta: Tensor, epsilon: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return maps (B, H, W, C) normalized by their own statistics, the mean (C,) and the variance (C,).

    One kernel, oneDNN's, forward and one backward. float32 and bfloat16 maps keep their type, others become
    float32. The statistics are float32 and have no gradient; the variance is that of the batch, not an
    estimate for more than it.
    """
    import tensorflow as tf  # here, because other backends need no tensorflow

    if keras.backend.standardize_dtype(x.dtype) not in _NORMALIZED:
        x = ops.cast(x, "float32")
    none = tf.zeros((0,))
    outputs: Any = tf.raw_ops.FusedBatchNormV3(
        x=x, scale=gamma, offset=beta, mean=none, variance=none, epsilon=epsilon, is_training=True
    )
    count = ops.cast(ops.prod(ops.shape(x)[:-1]), "float32")
    share = ops.maximum(count - 1.0, 1.0) / count  # the kernel divides by one less
    return outputs.y, ops.stop_gradient(outputs.batch_mean), ops.stop_gradient(outputs.batch_variance * share)


def elementwise(forward: Callable[[Tensor], Tensor], gradient: Callable[[Tensor, Tensor], Tensor]) -> Any:
    """Return a function x -> y of any shape that XLA compiles: one pass over memory forward, one backward.

    ``gradient`` takes x and the gradient of y. 16-bit tensors are computed in float32 and rounded once, at
    the end. x alone is kept for the backward pass.
    """

    @ops.custom_gradient
    def function(x: Tensor) -> Any:
        kind = (tuple(x.shape), keras.backend.standardize_dtype(x.dtype))
        backward = _compiled(gradient, 2, *kind)
        return _compiled(forward, 1, *kind)(x), lambda upstream: backward(x, upstream)

    return function


@functools.cache
def _compiled(function: Callable[..., Tensor], arity: int, shape: Shape, dtype: str) -> Callable[..., Tensor]:
    import tensorflow as tf  # here, because other backends need no tensorflow

    wide = "float64" if dtype == "float64" else "float32"

    def computed(*tensors: Tensor) -> Tensor:
        return ops.cast(function(*(ops.cast(tensor, wide) for tensor in tensors)), dtype)

    # Traced here for its one shape: tensorflow warns of a function that is traced for many when it is called.
    compiled: Any = tf.function(computed, jit_compile=True, autograph=False)
    with tf.init_scope():
        return compiled.get_concrete_function(*[tf.TensorSpec(shape, dtype)] * arity)
