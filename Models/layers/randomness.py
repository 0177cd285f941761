"""Seeds that differ between the replicas of a tensorflow strategy, and the Dropout that uses them.

Keras keeps the state of a ``SeedGenerator`` equal on all replicas of a ``tf.distribute`` strategy, so
all of them would draw the same mask. Here the replica's number enters the seed. On JAX masks are drawn
for the global batch and nothing needs to be done.
"""

from typing import Annotated

import keras
from keras import ops

from Models.layers import replicas

Rate = Annotated[float, "at least 0 and below 1"]


def check_rate(rate, name):
    """Return ``rate`` as a float; ValueError where it is not in [0, 1)."""
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"{name} must be at least 0 and below 1; got {rate!r}")
    return float(rate)


class ReplicaSeedGenerator(keras.random.SeedGenerator):
    """A SeedGenerator whose draws differ between replicas; with one replica it is the stock one."""

    def next(self, ordered=True):
        """Return the next seed, shape (2,), its first half moved by a large odd multiple of the replica."""
        seed = super().next(ordered)
        replica = replicas.replica()
        if isinstance(replica, int) and replica == 0:
            return seed
        offset = ops.stack([ops.cast(replica, seed.dtype) * 1_000_003, ops.zeros((), seed.dtype)])
        return seed + offset


class _Random(keras.layers.Layer):
    """A layer with a rate and its own seeds; the mask is drawn in float32 whatever the compute type."""

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = check_rate(rate, "rate")
        self.seed = seed
        if self.rate > 0:
            self.seed_generator = ReplicaSeedGenerator(seed)
        self.supports_masking = True

    def build(self, input_shape):
        """Nothing to build."""
        self.built = True

    def keep_mask(self, shape, dtype):
        """Return a mask of 0 and 1 that is 1 with probability ``1 - rate``."""
        uniform = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        return ops.cast(uniform >= self.rate, dtype)

    def compute_output_shape(self, input_shape):
        """Return the input's shape."""
        return input_shape

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="Models")
class Dropout(_Random):
    """Inverted dropout: in training ``x * mask / (1 - rate)``, element by element (JMLR 15, 2014).

    Arguments: ``rate`` in [0, 1); ``seed``. Any shape in, the same shape out. Raises ValueError for
    another rate. Unlike ``keras.layers.Dropout`` its replicas draw different masks.
    """

    def call(self, x, training=False):
        """Drop in training, pass through otherwise."""
        if not training or self.rate == 0:
            return x
        return x * self.keep_mask(ops.shape(x), x.dtype) * (1.0 / (1.0 - self.rate))
