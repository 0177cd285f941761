"""The layers of ML-Decoder (arXiv:2111.12933): attention of fixed queries, and a classifier by groups."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from Models.layers.dot_product_attention import softmax
from Models.layers.initializers import normal, truncated_normal
from Models.layers.tensors import Shape, Tensor, ops


@keras.saving.register_keras_serializable(package="Models")
class GroupQueryAttention(keras.layers.Layer):
    """Attention of K queries, which are not learned, to the tokens (arXiv:2111.12933, section 2.3).

    ``q = norm(queries)``, ``q + output(softmax(Q(q) K(x)' / sqrt(d)) V(x))``. The queries are drawn from a
    normal distribution and stay as they are; the paper found learned ones no better. They are the same for
    all images, so their projection is computed once a batch.
    Arguments: ``number``, K; ``heads``, which must divide D; ``epsilon`` of the norm. (B, N, D) in, (B, K, D)
    out. Raises ValueError if the heads do not divide D.
    """

    def __init__(self, number: int, heads: int = 8, epsilon: float = 1e-6, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.number = number
        self.heads = heads
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        """Create ``queries`` (K, D), their norm, and the dense layers."""
        width = input_shape[-1]
        if width % self.heads:
            raise ValueError(f"heads must divide the width {width}; got {self.heads}")
        shape = (self.number, width)
        self.queries = self.add_weight(shape=shape, initializer=normal(1.0), trainable=False, name="queries")
        policy = self.dtype_policy
        self.query_norm = keras.layers.LayerNormalization(
            epsilon=self.epsilon, dtype=policy, name="query_norm"
        )
        self.query_norm.build((None, width))
        names = ("query", "key", "value", "output")
        layers = [
            keras.layers.Dense(width, kernel_initializer=truncated_normal(), dtype=policy, name=name)
            for name in names
        ]
        self.query_dense, self.key_dense, self.value_dense, self.output_dense = layers
        for layer in layers:
            layer.build((None, width))
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Attend; the softmax is taken in float32."""
        queries = self._queries(x)
        value = self._split(self.value_dense(x))  # (B, heads, N, d)
        mixed = ops.matmul(ops.cast(self._weights(queries, x), x.dtype), value)  # (B, heads, K, d)
        mixed = ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (-1, self.number, x.shape[-1]))
        return queries + self.output_dense(mixed)

    def attention(self, x: Tensor) -> Tensor:
        """Return where each query looks, (B, K, N) float32: the mean over the heads, 1 in sum over N."""
        return ops.mean(ops.cast(self._weights(self._queries(x), x), "float32"), axis=1)

    def _queries(self, x: Tensor) -> Tensor:
        return self.query_norm(ops.cast(self.queries, x.dtype)[None])  # (1, K, D)

    def _weights(self, queries: Tensor, x: Tensor) -> Tensor:
        depth = x.shape[-1] // self.heads
        query = self._split(self.query_dense(queries) * (depth**-0.5))  # (1, heads, K, d)
        key = self._split(self.key_dense(x))
        return softmax(ops.matmul(query, ops.swapaxes(key, -1, -2)), x.dtype)  # (B, heads, K, N)

    def _split(self, x: Tensor) -> Tensor:
        tokens, width = x.shape[1:]
        return ops.transpose(ops.reshape(x, (-1, tokens, self.heads, width // self.heads)), (0, 2, 1, 3))

    def macs(self, input_shape: Shape) -> int:
        """Return multiply-adds for one image of (B, N, D)."""
        tokens, width = input_shape[1:]
        return 2 * (tokens + self.number) * width**2 + 2 * self.number * tokens * width

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (B, K, D)."""
        return (input_shape[0], self.number, input_shape[2])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        options = {"number": self.number, "heads": self.heads, "epsilon": self.epsilon}
        return {**super().get_config(), **options}


@keras.saving.register_keras_serializable(package="Models")
class GroupDense(keras.layers.Layer):
    """Logits of tags in groups, each from the vector of its group (arXiv:2111.12933, section 2.3, group FC).

    ``logit_i = x[members_i] kernel[:, i] + bias_i``. Column i of the kernel is tag i, as in a dense layer, so
    that tags are kept, dropped and reordered in the same way.
    Arguments: ``units``, the number of tags N; ``kernel_initializer``; ``members``, the group of each tag,
    None for equal groups in order, ``i // ceil(N / K)``. (B, K, D) in, (B, N) out. Raises ValueError where
    ``members`` are not N numbers from 0 to K - 1.
    """

    def __init__(
        self, units: int, kernel_initializer: Any = None, members: Sequence[int] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.kernel_initializer = keras.initializers.get(kernel_initializer or truncated_normal())
        self.members = None if members is None else [int(member) for member in members]

    def build(self, input_shape: Shape) -> None:
        """Create ``kernel`` (D, N) and ``bias`` (N,)."""
        self.groups, width = input_shape[1:]
        self.kernel = self.add_weight(
            shape=(width, self.units), initializer=self.kernel_initializer, name="kernel"
        )
        self.bias = self.add_weight(shape=(self.units,), initializer="zeros", name="bias")
        self._lay_out()
        self.built = True

    def regroup(self, members: Sequence[int]) -> None:
        """Give the tags other groups, before the layer is used: those that kept tags have learned with."""
        in_order = np.array_equal(members, _in_order(self.units, self.groups))
        self.members = None if in_order else [int(member) for member in members]
        self._lay_out()

    def group_of_tags(self) -> np.ndarray:
        """Return the group of each tag, (N,) int64."""
        return (
            np.asarray(self.members, np.int64)
            if self.members is not None
            else _in_order(self.units, self.groups)
        )

    def _lay_out(self) -> None:
        """Derive the place of each tag among the K times ``capacity`` columns of all groups."""
        members = self.group_of_tags()
        if len(members) != self.units or members.min() < 0 or members.max() >= self.groups:
            raise ValueError(f"members must be {self.units} numbers from 0 to {self.groups - 1}")
        order = np.argsort(members, kind="stable")
        counts = np.bincount(members, minlength=self.groups)
        within = np.arange(self.units) - np.repeat(np.cumsum(counts) - counts, counts)
        self.capacity = int(counts.max())
        self.places = np.empty(self.units, np.int32)
        self.places[order] = members[order] * self.capacity + within
        # The kernel's column for each place; an empty place takes one of zeros behind the last.
        self.columns = np.full(self.groups * self.capacity, self.units, np.int32)
        self.columns[self.places] = np.arange(self.units)

    def call(self, x: Tensor) -> Tensor:
        """Multiply the vector of each group by the columns of its tags."""
        places, (groups, width) = self.groups * self.capacity, x.shape[1:]
        if self.members is None:
            kernel = ops.pad(self.kernel, ((0, 0), (0, places - self.units)))
        else:
            kernel = ops.take(ops.pad(self.kernel, ((0, 0), (0, 1))), self.columns, axis=1)
        kernel = ops.transpose(ops.reshape(kernel, (width, groups, self.capacity)), (1, 0, 2))
        logits = ops.matmul(ops.transpose(x, (1, 0, 2)), ops.cast(kernel, x.dtype))  # (K, B, capacity)
        logits = ops.reshape(ops.transpose(logits, (1, 0, 2)), (-1, places))
        in_order = self.members is None
        logits = logits[:, : self.units] if in_order else ops.take(logits, self.places, axis=1)
        return logits + ops.cast(self.bias, x.dtype)

    def macs(self, input_shape: Shape) -> int:
        """Return multiply-adds for one image of (B, K, D); empty places count."""
        return self.groups * self.capacity * input_shape[-1]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (B, N)."""
        return (input_shape[0], self.units)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        initializer = keras.initializers.serialize(self.kernel_initializer)
        options = {"units": self.units, "kernel_initializer": initializer, "members": self.members}
        return {**super().get_config(), **options}


def _in_order(units: int, groups: int) -> np.ndarray:
    return np.arange(units) // math.ceil(units / groups)


def carried_groups(members: np.ndarray, groups: int, rows: np.ndarray) -> np.ndarray:
    """Return the groups of a new list of tags, (num_labels,) int64: kept tags stay in theirs.

    Args:
        members: (old tags,) the groups of the old list.
        groups: K.
        rows: (num_labels,) the old output of each tag, -1 for a new tag. New tags join, one after the other,
            the group that has the fewest by then, the first of equals.
    """
    kept = rows >= 0
    carried = np.full(len(rows), -1, np.int64)
    carried[kept] = members[rows[kept]]
    counts = np.bincount(carried[kept], minlength=groups)
    for tag in np.flatnonzero(~kept):
        carried[tag] = np.argmin(counts)
        counts[carried[tag]] += 1
    return carried
