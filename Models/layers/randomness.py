"""Dropout, and the base of all random layers: different replicas draw different masks.

Keras keeps the state of a ``SeedGenerator`` equal on all replicas of a ``tf.distribute`` strategy, so all of
them would draw the same mask. Here the number of the replica enters the seed. JAX draws masks for the global
batch and needs nothing.
"""

from typing import Annotated, Any

import keras

from Models.layers import replicas
from Models.layers.tensors import Shape, Tensor, ops

Rate = Annotated[float, "at least 0 and below 1"]


def check_rate(rate: float, name: str) -> float:
    """Return ``rate`` as a float; ValueError if it is not in [0, 1)."""
    if not 0.0 <= rate < 1.0:
        raise ValueError(f"{name} must be at least 0 and below 1; got {rate!r}")
    return float(rate)


class ReplicaSeedGenerator(keras.random.SeedGenerator):
    """A SeedGenerator whose draws differ between replicas; with one replica it draws as the stock one."""

    def next(self, ordered: bool = True) -> Tensor:
        """Return the next seed (2,), its first half plus a large odd multiple of the replica's number."""
        seed = super().next(ordered)
        replica = replicas.replica_id()
        if isinstance(replica, int) and replica == 0:
            return seed
        offset = ops.stack([ops.cast(replica, seed.dtype) * 1_000_003, ops.zeros((), seed.dtype)])
        return seed + offset


class _Random(keras.layers.Layer):
    """A layer with a rate and its own seeds; masks are drawn in float32 under any dtype policy."""

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = check_rate(rate, "rate")
        self.seed = seed
        if self.rate > 0:
            self.seed_generator = ReplicaSeedGenerator(seed)
        self.supports_masking = True

    def build(self, input_shape: Shape) -> None:
        """Nothing to build."""
        self.built = True

    def keep_mask(self, shape: Shape, dtype: str) -> Tensor:
        """Return a mask of the shape: 1 with probability ``1 - rate``, else 0."""
        uniform = keras.random.uniform(shape, dtype="float32", seed=self.seed_generator)
        return ops.cast(uniform >= self.rate, dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}


@keras.saving.register_keras_serializable(package="Models")
class Dropout(_Random):
    """Inverted dropout: in training ``x * mask / (1 - rate)``, element by element (JMLR 15, 2014).

    Arguments: ``rate`` in [0, 1); ``seed``. Any shape in, the same shape out. Raises ValueError for
    another rate. Unlike with ``keras.layers.Dropout`` replicas draw different masks.
    """

    def call(self, x: Tensor, training: bool | None = False) -> Tensor:
        """Drop in training, pass through otherwise."""
        if not training or self.rate == 0:
            return x
        return x * self.keep_mask(ops.shape(x), x.dtype) * (1.0 / (1.0 - self.rate))
