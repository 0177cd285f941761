"""Channel attention (squeeze-excite, ECA) over feature maps, and self-attention over tokens."""

import math
from collections.abc import Callable
from typing import Any, Literal

import keras

from Models.layers.dot_product_attention import _Attending, dot_product_attention
from Models.layers.initializers import Initializer, lecun_normal, truncated_normal, uniform_fan_in
from Models.layers.tensors import Shape, Tensor, ops

ChannelAttentionName = Literal["se", "eca"]


@keras.saving.register_keras_serializable(package="Models")
class SqueezeExcite(keras.layers.Layer):
    """Gate channels by a two-layer network on their means (arXiv:1709.01507).

    ``x * factor * sigmoid(W2 relu(W1 mean(x) + b1) + b2)``, the means over H and W.
    Arguments: ``ratio``, width of the hidden layer as a share of C; ``factor``, a constant on the gate
    (2 in NF networks); ``kernel_initializer`` of both, that of the family's convolutions.
    (B, H, W, C) in, the same shape out.
    """

    def __init__(
        self, ratio: float = 0.5, factor: float = 1.0, kernel_initializer: Any = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.ratio = ratio
        self.factor = factor
        self.kernel_initializer = keras.initializers.get(kernel_initializer or lecun_normal())

    def build(self, input_shape: Shape) -> None:
        """Create the two dense layers ``squeeze`` and ``excite``."""
        channels = input_shape[-1]
        hidden = max(1, int(self.ratio * channels))
        # Each makes an initializer from this: of a shared one, kernels of equal shape would be equal.
        initializer: Any = keras.initializers.serialize(self.kernel_initializer)
        options: dict[str, Any] = {"dtype": self.dtype_policy, "kernel_initializer": initializer}
        self.squeeze = keras.layers.Dense(hidden, activation="relu", name="squeeze", **options)
        self.excite = keras.layers.Dense(channels, activation="sigmoid", name="excite", **options)
        self.squeeze.build((None, channels))
        self.excite.build((None, hidden))
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Multiply by the gates, (B, 1, 1, C)."""
        gates = self.excite(self.squeeze(ops.mean(x, axis=(1, 2), keepdims=True)))
        return x * (gates * self.factor)

    def macs(self, input_shape: Shape) -> int:
        """Return multiply-adds for one image of (B, H, W, C)."""
        return 2 * input_shape[-1] * self.squeeze.units

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        initializer = keras.initializers.serialize(self.kernel_initializer)
        options = {"ratio": self.ratio, "factor": self.factor, "kernel_initializer": initializer}
        return {**super().get_config(), **options}


@keras.saving.register_keras_serializable(package="Models")
class EfficientChannelAttention(keras.layers.Layer):
    """Gate channels by a short convolution along the channel axis of their means (arXiv:1910.03151).

    ``x * factor * sigmoid(conv1d(mean(x)))``; the kernel has ``t = int(abs((log2 C + 1) / 2))`` taps, one
    more where t is even, and zero padding. Argument: ``factor``, a constant on the gate (2 in NF networks).
    (B, H, W, C) in, the same shape out.
    """

    def __init__(self, factor: float = 1.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, input_shape: Shape) -> None:
        """Create ``kernel`` of shape (t, 1, 1)."""
        taps = int(abs((math.log2(input_shape[-1]) + 1) / 2))
        self.taps = taps if taps % 2 else taps + 1
        shape = (self.taps, 1, 1)
        self.kernel = self.add_weight(shape=shape, initializer=uniform_fan_in(), name="kernel")
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Multiply each channel by its gate."""
        channels = x.shape[-1]
        means = ops.mean(x, axis=(1, 2))  # (B, C)
        means = ops.pad(means, ((0, 0), (self.taps // 2, self.taps // 2)))
        kernel = ops.cast(self.kernel, x.dtype)
        # A sum of shifted means instead of a convolution with one channel: the same on every backend.
        mixed = sum(means[:, i : i + channels] * kernel[i, 0, 0] for i in range(self.taps))
        gates = ops.sigmoid(mixed) * self.factor  # (B, C)
        return x * gates[:, None, None, :]

    def macs(self, input_shape: Shape) -> int:
        """Return multiply-adds for one image of (B, H, W, C)."""
        return self.taps * input_shape[-1]

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "factor": self.factor}


def channel_attention(
    kind: str | None,
    name: str,
    initializer: Callable[[], Initializer],
    factor: float = 1.0,
    ratio: float = 0.5,
) -> keras.layers.Layer | None:
    """Return the layer for ``"se"`` or ``"eca"``, named ``name_se`` or ``name_eca``; None for None.

    ``initializer()`` is that of the kernels of "se", ``ratio`` the width of its hidden layer as a share of C.
    Raises ValueError for another name.
    """
    if kind is None:
        return None
    if kind == "se":
        return SqueezeExcite(ratio, factor, initializer(), name=f"{name}_se")
    if kind == "eca":
        return EfficientChannelAttention(factor=factor, name=f"{name}_eca")
    raise ValueError(f"attention must be 'se', 'eca' or None; got {kind!r}")


@keras.saving.register_keras_serializable(package="Models")
class SelfAttention(_Attending):
    """Multi-head self-attention (arXiv:1706.03762), ``softmax(Q K' / sqrt(d)) V`` for each head.

    Q, K and V are dense layers of the input, ``output`` one of the joined heads; their kernels begin
    truncated normal with deviation 0.02.
    Arguments: ``heads``, which must divide D; ``use_bias`` of Q, K and V; ``output_bias``; ``qk_norm``,
    normalize Q and K over the d channels of a head first (layer norms that all heads share,
    arXiv:2302.05442, section 3.1); ``epsilon`` of these norms.
    (B, N, D) in, the same shape out. Raises ValueError otherwise.
    """

    def __init__(
        self, heads: int, use_bias: bool = True, output_bias: bool = True, qk_norm: bool = False,
        epsilon: float = 1e-6, **kwargs: Any,
    ) -> None:  # fmt: skip
        super().__init__(**kwargs)
        self.heads = heads
        self.use_bias = use_bias
        self.output_bias = output_bias
        self.qk_norm = qk_norm
        self.epsilon = epsilon

    def build(self, input_shape: Shape) -> None:
        """Create the dense layers ``query``, ``key``, ``value`` and ``output``, and the norms."""
        width = input_shape[-1]
        if width % self.heads:
            raise ValueError(f"heads must divide the width {width}; got {self.heads}")
        names = ("query", "key", "value", "output")
        layers = [
            keras.layers.Dense(
                width,
                use_bias=self.output_bias if name == "output" else self.use_bias,
                kernel_initializer=truncated_normal(),
                dtype=self.dtype_policy,
                name=name,
            )
            for name in names
        ]
        self.query_dense, self.key_dense, self.value_dense, self.output_dense = layers
        for layer in layers:
            layer.build((*input_shape[:-1], width))
        self.query_norm, self.key_norm = self._norm("query_norm", width), self._norm("key_norm", width)
        self.attended_tokens = input_shape[1]
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        """Attend; norms and softmax are taken in float32."""
        tokens, width = x.shape[1], x.shape[2]
        depth = width // self.heads
        query = self._normalized(self.query_dense(x), self.query_norm) * (depth**-0.5)
        key = self._normalized(self.key_dense(x), self.key_norm)
        parts = (query, key, self.value_dense(x))
        query, key, value = (self._split_heads(part, tokens, depth) for part in parts)  # (B, heads, N, d)
        mixed = ops.transpose(dot_product_attention(query, key, value), (0, 2, 1, 3))  # (B, N, heads, d)
        return self.output_dense(ops.reshape(mixed, (-1, tokens, width)))

    def _norm(self, name: str, width: int) -> keras.layers.Layer | None:
        """Return a built layer norm of the channels of a head; None without ``qk_norm``."""
        if not self.qk_norm:
            return None
        norm = keras.layers.LayerNormalization(epsilon=self.epsilon, dtype=self.dtype_policy, name=name)
        norm.build((None, None, width // self.heads))
        return norm

    def _normalized(self, x: Tensor, norm: keras.layers.Layer | None) -> Tensor:
        """Return (B, N, D) with each head normalized; as it is without a norm."""
        if norm is None:
            return x
        tokens, width = x.shape[1:]
        # Three axes, as all other layer norms have: an ONNX file gets one operator for each.
        each_head = ops.reshape(x, (-1, tokens * self.heads, width // self.heads))
        return ops.reshape(norm(each_head), (-1, tokens, width))

    def _split_heads(self, x: Tensor, tokens: int, depth: int) -> Tensor:
        return ops.transpose(ops.reshape(x, (-1, tokens, self.heads, depth)), (0, 2, 1, 3))

    def macs(self, input_shape: Shape) -> int:
        """Return multiply-adds for one image of (B, N, D)."""
        tokens, width = input_shape[1:]
        return 4 * tokens * width**2 + 2 * tokens**2 * width

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return the input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        options = {"heads": self.heads, "use_bias": self.use_bias, "output_bias": self.output_bias}
        options |= {"qk_norm": self.qk_norm, "epsilon": self.epsilon}
        return {**super().get_config(), **options}


@keras.saving.register_keras_serializable(package="Models")
class AttentionPooling(keras.layers.Layer):
    """Pool tokens by the attention of one learned query, the head of SigLIP (arXiv:1810.00825, eq. 12).

    ``output(softmax(q K' / sqrt(d)) V)`` with ``q`` a dense layer of the learned vector ``latent``; all four
    dense layers have biases and kernels that begin truncated normal with deviation 0.02.
    Argument: ``heads``, which must divide D. (B, N, D) in, (B, D) out. Raises ValueError otherwise.
    """

    def __init__(self, heads: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, input_shape: Shape) -> None:
        """Create ``latent`` of shape (D,) and the dense layers."""
        width = input_shape[-1]
        if width % self.heads:
            raise ValueError(f"heads must divide the width {width}; got {self.heads}")
        self.latent = self.add_weight(
            shape=(width,), initializer=truncated_normal(width**-0.5), name="latent"
        )
        names = ("query", "key", "value", "output")
        policy = self.dtype_policy
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
        tokens, width = x.shape[1:]
        weights = ops.cast(self._weights(x), x.dtype)[..., None]
        value = ops.reshape(self.value_dense(x), (-1, tokens, self.heads, width // self.heads))
        return self.output_dense(ops.reshape(ops.sum(weights * value, axis=1), (-1, width)))

    def attention(self, x: Tensor) -> Tensor:
        """Return where the query looks, (B, N) float32: the mean over the heads, 1 in sum over N."""
        return ops.mean(self._weights(x), axis=2)

    def _weights(self, x: Tensor) -> Tensor:
        tokens, width = x.shape[1:]
        depth = width // self.heads
        query = self.query_dense(ops.cast(self.latent, x.dtype)[None]) * (depth**-0.5)  # (1, D)
        query = ops.reshape(query, (1, 1, self.heads, depth))
        key = ops.reshape(self.key_dense(x), (-1, tokens, self.heads, depth))
        scores = ops.sum(ops.cast(query * key, "float32"), axis=-1)  # (B, N, heads)
        return ops.softmax(scores, axis=1)

    def macs(self, input_shape: Shape) -> int:
        """Return multiply-adds for one image of (B, N, D)."""
        tokens, width = input_shape[1:]
        return 2 * (tokens + 1) * width**2 + 2 * tokens * width

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Return (B, D)."""
        return (input_shape[0], input_shape[2])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {**super().get_config(), "heads": self.heads}
