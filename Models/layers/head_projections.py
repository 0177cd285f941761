"""Projections to queries, keys and values, split into heads: shared by EVA02, DINOv3 and SwinV2."""

from typing import Any

import keras

from Models.layers.dot_product_attention import _Attending
from Models.layers.initializers import truncated_normal
from Models.layers.tensors import Shape, Tensor, ops


class _HeadProjections(_Attending):
    """Dense layers ``query``, ``key`` (without bias), ``value`` and ``output``, split into heads.

    A bias of the keys would shift all scores of a query alike, which softmax cancels (arXiv:2106.08254).
    Arguments: ``heads``; ``output_stddev``, deviation of the first kernel of ``output``, 0.02 for the others;
    ``use_bias`` of queries and values.
    Raises ValueError if the heads do not divide the channels.
    """

    def __init__(self, heads: int, output_stddev: float = 0.02, use_bias: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.output_stddev = output_stddev
        self.use_bias = use_bias

    def build_projections(self, width: int) -> None:
        """Create the dense layers for ``width`` channels, kernels truncated normal."""
        if width % self.heads:
            raise ValueError(f"heads must divide the width {width}; got {self.heads}")
        self.width = width
        self.query_dense = self._dense("query", self.use_bias)
        self.key_dense = self._dense("key", use_bias=False)
        self.value_dense = self._dense("value", self.use_bias)
        self.output_dense = self._dense("output", stddev=self.output_stddev)

    def _dense(self, name: str, use_bias: bool = True, stddev: float = 0.02) -> keras.layers.Dense:
        initializer: Any = truncated_normal(stddev)
        layer = keras.layers.Dense(
            self.width, use_bias=use_bias, kernel_initializer=initializer, dtype=self.dtype_policy, name=name
        )
        layer.build((None, self.width))
        return layer

    def project(self, x: Tensor, tokens: int) -> list[Tensor]:
        """Return queries, keys and values of (B, tokens, C), each (B, heads, tokens, d)."""
        return [
            self._split(layer(x), tokens) for layer in (self.query_dense, self.key_dense, self.value_dense)
        ]

    def _split(self, x: Tensor, tokens: int) -> Tensor:
        x = ops.reshape(x, (-1, tokens, self.heads, self.width // self.heads))
        return ops.transpose(x, (0, 2, 1, 3))

    def join(self, x: Tensor, tokens: int) -> Tensor:
        """Join heads (B, heads, tokens, d) and project them to the output (B, tokens, C)."""
        return self.output_dense(ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, tokens, self.width)))

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        options = {"heads": self.heads, "output_stddev": self.output_stddev, "use_bias": self.use_bias}
        return {**super().get_config(), **options}
