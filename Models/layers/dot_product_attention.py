"""Attention of queries to keys, ``softmax(Q K' + bias) V``: the one definition of all layers, in two forms.

- ``plain`` writes out both products and keeps the weights, heads x N x N for an image, for the backward pass
- ``fused`` is the kernel of the backend, which recomputes them piece by piece (arXiv:2205.14135): on a TPU
  that of Pallas, elsewhere what ``keras.ops`` takes, on torch its scaled_dot_product_attention, on a GPU with
  jax cuDNN's in half precision. tensorflow, and jax on CPUs, have no kernel: there it is another way to write
  the products
- ``auto`` is fused on torch, and on a TPU from ``FUSED_FROM`` tokens on; plain otherwise

Which form is used is a setting of the program, not of a model: both give the same but for rounding.
"""

from typing import Any, Literal

import keras

from Models.layers.platform import platform
from Models.layers.tensors import Tensor, ops

Implementation = Literal["auto", "fused", "plain"]
# Compiled for v5e, flash attention takes 0.68 of the memory of a step at 3,136 tokens and 1.03 at 784.
FUSED_FROM = 1024
BLOCKS = (512, 256, 128)  # tokens that the kernel of Pallas takes at a time; it has whole blocks only

_setting: dict[str, str] = {"implementation": "auto"}


def set_attention_implementation(implementation: Implementation) -> None:
    """Set the form in which all models attend from now on: "auto", "fused" or "plain"."""
    if implementation not in ("auto", "fused", "plain"):
        raise ValueError(f"the attention must be 'auto', 'fused' or 'plain'; got {implementation!r}")
    _setting["implementation"] = implementation


def attention_implementation(tokens: int, has_bias: bool = False) -> str:
    """Return the form, "fused" or "plain", in which ``tokens`` attend here, with a bias or without."""
    implementation = _setting["implementation"]
    if implementation != "auto":
        return implementation
    if keras.backend.backend() == "torch":
        return "fused"
    is_long_on_tpu = tokens >= FUSED_FROM and not has_bias and platform() == "tpu"
    return "fused" if is_long_on_tpu and keras.backend.backend() == "jax" else "plain"


class _Attending(keras.layers.Layer):
    """Base of layers whose tokens attend to one another: ``build`` sets their number, ``attended_tokens``."""

    attended_tokens: int
    has_bias = False  # added to the scores

    @property
    def attention_form(self) -> str:
        """In which form the layer attends here, and to how many tokens: ``fused, 784 tokens``."""
        form = attention_implementation(self.attended_tokens, self.has_bias)
        return f"{form}, {self.attended_tokens} tokens"


def dot_product_attention(query: Tensor, key: Tensor, value: Tensor, bias: Tensor = None) -> Tensor:
    """Return ``softmax(Q K' + bias) V`` for each head, the softmax taken in float32.

    ``query``, which is scaled already, ``key``, ``value``: (B, heads, N, d); ``bias``: (heads, N, N) or None.
    Returns (B, heads, N, d).
    """
    if attention_implementation(query.shape[2], bias is not None) == "plain":
        scores = ops.matmul(query, ops.swapaxes(key, -1, -2))  # (B, heads, N, N)
        if bias is not None:
            scores = ops.cast(scores, "float32") + bias
        return ops.matmul(softmax(scores, value.dtype), value)
    if keras.backend.backend() == "jax" and platform() == "tpu" and bias is None:
        return _flash_attention(query, key, value)
    # (B, N, heads, d), as keras.ops has it
    query, key, value = (ops.transpose(each, (0, 2, 1, 3)) for each in (query, key, value))
    bias = None if bias is None else ops.cast(bias, query.dtype)[None]
    mixed = ops.dot_product_attention(query, key, value, bias=bias, scale=1.0)
    return ops.transpose(mixed, (0, 2, 1, 3))


def softmax(scores: Tensor, dtype: str) -> Tensor:
    """Return the softmax over the last axis, taken in float32, as ``dtype``."""
    return ops.cast(ops.softmax(ops.cast(scores, "float32")), dtype)


def _flash_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Attend by the TPU kernel of Pallas, on every device for its images.

    The compiler cannot partition a kernel by itself, therefore ``shard_map`` does.
    """
    import jax

    distribution: Any = keras.distribution.distribution()
    if distribution is None:
        return _flash_on_device(query, key, value)
    mesh = distribution.device_mesh.backend_mesh
    spec = jax.sharding.PartitionSpec(mesh.axis_names)  # images are spread over all axes, weights over one
    mapped = jax.shard_map(
        _flash_on_device, mesh=mesh, in_specs=(spec, spec, spec), out_specs=spec, check_vma=False
    )
    return mapped(query, key, value)


def _flash_on_device(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    import jax.numpy as jnp
    from jax.experimental.pallas.ops.tpu import flash_attention as pallas

    batch, _, tokens, _ = query.shape
    padded = -(-tokens // BLOCKS[-1]) * BLOCKS[-1]
    block = next(block for block in BLOCKS if padded % block == 0)
    # Tokens attend within their segment: the padding, segment 1, to itself.
    segments = jnp.broadcast_to((jnp.arange(padded) >= tokens).astype("int32"), (batch, padded))
    pads = ((0, 0), (0, 0), (0, padded - tokens), (0, 0))
    query, key, value = (jnp.pad(each, pads) for each in (query, key, value))
    sizes = dict.fromkeys(pallas.BlockSizes.__dataclass_fields__, block)
    mixed = pallas.flash_attention(
        query,
        key,
        value,
        segment_ids=pallas.SegmentIds(segments, segments),
        sm_scale=1.0,
        block_sizes=pallas.BlockSizes(**{**sizes, "block_b": 1}),
    )
    return mixed[:, :, :tokens]
