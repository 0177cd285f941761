"""What the kinds of attention over tokens share: projections to queries, keys and values, and their heads."""

import keras
from keras import ops


class _HeadProjections(keras.layers.Layer):
    """Dense layers ``query``, ``key`` (without bias), ``value`` and ``output``, split into heads.

    A bias of the keys moves all scores of a query alike, which softmax does not see (arXiv:2106.08254).
    Argument: ``heads``, which must divide the channels; ValueError otherwise.
    """

    def __init__(self, heads, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads

    def build_projections(self, width):
        """Create the dense layers for ``width`` channels, truncated normal of 0.02."""
        if width % self.heads:
            raise ValueError(f"heads must divide the width {width}; got {self.heads}")
        self.width = width
        self.query_dense = self._dense("query")
        self.key_dense = self._dense("key", use_bias=False)
        self.value_dense = self._dense("value")
        self.output_dense = self._dense("output")

    def _dense(self, name, use_bias=True):
        start = keras.initializers.TruncatedNormal(stddev=0.02)
        layer = keras.layers.Dense(
            self.width, use_bias=use_bias, kernel_initializer=start, dtype=self.dtype_policy, name=name
        )
        layer.build((None, self.width))
        return layer

    def project(self, x, tokens):
        """Return queries, keys and values, each (B, heads, tokens, d), of (B, tokens, C)."""
        return [
            self._split(layer(x), tokens) for layer in (self.query_dense, self.key_dense, self.value_dense)
        ]

    def _split(self, x, tokens):
        x = ops.reshape(x, (-1, tokens, self.heads, self.width // self.heads))
        return ops.transpose(x, (0, 2, 1, 3))

    def join(self, x, tokens):
        """Return the output (B, tokens, C) of heads (B, heads, tokens, d)."""
        return self.output_dense(ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, tokens, self.width)))

    def compute_output_shape(self, input_shape):
        """Return the input's shape."""
        return input_shape

    def get_config(self):
        """Return the arguments of the constructor."""
        return {**super().get_config(), "heads": self.heads}


def softmax(scores, dtype):
    """Return the softmax over the last axis, taken in float32, as ``dtype``."""
    return ops.cast(ops.softmax(ops.cast(scores, "float32")), dtype)
