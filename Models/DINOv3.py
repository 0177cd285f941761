"""DINOv3: a plain transformer with register tokens, and rotary positions instead of learned ones.

Paper: "DINOv3" (arXiv:2508.10104). Official code: https://github.com/facebookresearch/dinov3.
Deviations: the head averages the tokens of the image by default, as timm's does; the paper takes the class
token (``head="token"``). Stochastic depth grows as ``rate * i / blocks``.
Initialization (official code): all kernels and the tokens truncated normal with deviation 0.02, biases 0,
LayerScale 1e-5; patches as a linear layer of variance 1 / fan_in.
"""

import dataclasses

import keras

from Models.layers.activations import Activation, ActivationName
from Models.layers.convolution import patch_conv2d
from Models.layers.initializers import lecun_normal, truncated_normal
from Models.layers.model_ends import TokenHeadOptions, classifier, head_dropout, image_input, token_head
from Models.layers.normalization import normalization
from Models.layers.randomness import Rate
from Models.layers.residual import LayerScale, StochasticDepth, linear_rates
from Models.layers.rotary import RotaryAttention
from Models.layers.scaling import ScalingName
from Models.layers.tensors import Tensor
from Models.layers.tokens import ClassToken, RegisterTokens
from Models.porting import timm_rules

PAPER = "arXiv:2508.10104"


@dataclasses.dataclass(frozen=True)
class Spec(TokenHeadOptions):
    """One variant: patch, blocks, widths and heads, and the options a user may override."""

    patch: int
    depth: int
    width: int
    mlp_width: int
    heads: int
    source: str
    gated: bool = False  # a gated MLP
    registers: int = 4
    qkv_bias: bool = False
    activation: ActivationName = "gelu"  # of an MLP without gate
    epsilon: float = 1e-5
    stochastic_depth: Rate = 0.0
    dropout: Rate = 0.0
    layer_scale: float = 1e-5  # initial value
    input_scaling: ScalingName | None = "inception"


_SOURCE = "arXiv:2508.10104, table 2"
VARIANTS = {
    "S16": Spec(16, 12, 384, 1536, 6, _SOURCE),
    "S16-plus": Spec(16, 12, 384, 1536, 6, _SOURCE, gated=True),
    "B16": Spec(16, 12, 768, 3072, 12, _SOURCE),
    "L16": Spec(16, 24, 1024, 4096, 16, _SOURCE),
    "H16-plus": Spec(16, 32, 1280, 5120, 20, _SOURCE, gated=True),
    "test": Spec(8, 2, 16, 32, 2, "for tests", layer_scale=0.1, stochastic_depth=0.1),
    "gated-test": Spec(8, 1, 16, 32, 2, "for tests", gated=True, qkv_bias=True, registers=1, head="token"),
}

# No weight decay for weights whose path matches one of these: all but kernels.
NO_DECAY = (r"/(bias|gamma|beta|scale|token|latent)$",)
# No adaptive gradient clipping for the classifier (arXiv:2102.06171).
NO_CLIP = (r"^head_logits/",)
# Axes along which --shard-model may split a weight among devices; the first pattern found in its path counts.
SHARD_AXES = (
    (r"_(attention/output|dense2)/kernel$", (-2, -1)),  # back to the width of the tokens
    (r"/kernel$", (-1, -2)),
)


def _dense(width: int, name: str) -> keras.layers.Layer:
    return keras.layers.Dense(width, kernel_initializer=truncated_normal(), name=name)


def _add(x: Tensor, y: Tensor, spec: Spec, rate: float, name: str, index: int) -> Tensor:
    """Add a branch after LayerScale and stochastic depth."""
    y = LayerScale(spec.layer_scale, name=f"{name}_scale{index}")(y)
    if rate > 0:
        y = StochasticDepth(rate, name=f"{name}_drop{index}")(y)
    return keras.layers.Add(name=f"{name}_add{index}")([x, y])


def _block(x: Tensor, spec: Spec, rate: float, name: str) -> Tensor:
    """Attention, then an MLP on every token; (B, N, D) to the same."""
    y = normalization("layernorm", spec.epsilon, f"{name}_norm1")(x)
    attention = RotaryAttention(
        spec.heads, 1 + spec.registers, centered=True, use_bias=spec.qkv_bias, name=f"{name}_attention"
    )
    x = _add(x, attention(y), spec, rate, name, 1)
    y = normalization("layernorm", spec.epsilon, f"{name}_norm2")(x)
    if spec.gated:
        gate = Activation("silu", name=f"{name}_act")(_dense(spec.mlp_width, f"{name}_gate")(y))
        y = _dense(spec.mlp_width, f"{name}_dense1")(y)  # (B, N, mlp_width)
        y = keras.layers.Multiply(name=f"{name}_gated")([gate, y])
    else:
        y = Activation(spec.activation, name=f"{name}_act")(_dense(spec.mlp_width, f"{name}_dense1")(y))
    y = _dense(spec.width, f"{name}_dense2")(y)  # (B, N, D)
    return _add(x, y, spec, rate, name, 2)


def build(
    spec: Spec,
    image_size: int,
    num_labels: int,
    classifier_activation: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """Return the model for one ``Spec``: ``image`` (B, S, S, 3), 0..255, to (B, num_labels).

    Raises ValueError if the patch does not divide the image.
    """
    if image_size % spec.patch:
        raise ValueError(f"the image size must be a multiple of the patch, {spec.patch}; got {image_size}")
    # stem
    image, x = image_input(image_size, spec.input_scaling)
    # (B, S/patch, S/patch, D)
    x = patch_conv2d(x, spec.width, spec.patch, initializer=lecun_normal(), name="stem_patches")
    x = keras.layers.Reshape((-1, spec.width), name="stem_tokens")(x)  # (B, N, D)
    if spec.registers:
        x = RegisterTokens(spec.registers, stddev=0.02, name="stem_registers")(x)  # (B, R + N, D)
    x = ClassToken(stddev=0.02, name="stem_class")(x)  # (B, 1 + R + N, D)
    # stages
    for block, rate in enumerate(linear_rates(spec.stochastic_depth, spec.depth)):
        x = _block(x, spec, rate, f"block{block}")
    # head
    x = normalization("layernorm", spec.epsilon, "head_norm")(x)
    x = token_head(x, spec, num_labels, 1 + spec.registers, heads=spec.heads, epsilon=spec.epsilon)
    x = head_dropout(x, spec.dropout)
    outputs = classifier(x, num_labels, classifier_activation, truncated_normal())
    return keras.Model(image, outputs, name=name)


# Weights from and to folders of timm; Models/porting/timm_rules.py explains the fields.
_TIMM_SIZES = {
    "S16": "small", "S16-plus": "small_plus", "B16": "base", "L16": "large", "H16-plus": "huge_plus",
}  # fmt: skip
TIMM = timm_rules.Rules(
    models={
        f"vit_{size}_patch16_dinov3{suffix}": (variant, {"qkv_bias": bool(suffix)})
        for variant, size in _TIMM_SIZES.items()
        for suffix in ("", "_qkvb")
    },
    arguments={
        "patch_size": "patch",
        "depth": "depth",
        "embed_dim": "width",
        "mlp_ratio": ("mlp_width", "times width"),
        "num_heads": "heads",
        "num_reg_tokens": "registers",
        "qkv_bias": "qkv_bias",
        "global_pool": timm_rules.TOKEN_POOL,
        "init_values": "layer_scale",
        "swiglu_mlp": "gated",
    },
    fixed={
        "qkv_fused": (True, False), "swiglu_align_to": 8, "use_rot_pos_emb": True, "use_abs_pos_emb": False,
        "rope_type": "dinov3", "rope_temperature": (100, 100.0), "rope_rotate_half": True, "scale_mlp": False,
        "scale_attn_inner": False, "qk_norm": False, "class_token": True, "use_fc_norm": False,
        "use_post_norm": False,
    },
    sized=True,
    layers=(
        (r"stem_patches", "patch_embed.proj", {}),
        (r"stem_class", "cls_token", timm_rules.CLASS_TOKEN),
        (r"stem_registers", "reg_token", timm_rules.REGISTERS),
        (r"block(\d+)_norm(\d)", r"blocks.\1.norm\2", {}),
        (r"block(\d+)_attention", r"blocks.\1.attn", timm_rules.FUSED_ROTARY_ATTENTION),
        (r"block(\d+)_gate", r"blocks.\1.mlp", timm_rules.GATE),
        (r"block(\d+)_dense1", r"blocks.\1.mlp", timm_rules.GATED, {"gated": True}),
        (r"block(\d+)_dense(\d)", r"blocks.\1.mlp.fc\2", {}),
        (r"block(\d+)_scale(\d)", r"blocks.\1.gamma_\2", {"scale": timm_rules.TimmName("")}),
        (r"head_norm", "norm", {}),
        (r"head_logits", "head", {}),
    ),
)  # fmt: skip
