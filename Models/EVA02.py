"""EVA02: a plain transformer with a gated MLP and rotary position embedding.

Paper: "EVA-02: A Visual Representation for Neon Genesis" (arXiv:2303.11331).
Official code: https://github.com/baaivision/EVA/tree/master/EVA-02.
Deviations: none in what is computed. Variants are named as timm's are; those of one size differ only
in the image size that they were published for. Stochastic depth grows as ``rate * i / blocks``.
Initialization (official code): all kernels, positions and the class token truncated normal with deviation
0.02, divided by sqrt(2 i) at the ends of the branches of block i, biases 0; the classifier's a thousandth of
it; patches as a linear layer of variance 1 / fan_in (there PyTorch's default, a third of it).
"""

import dataclasses

import keras

from Models.layers.activations import Activation
from Models.layers.convolution import patch_conv2d
from Models.layers.initializers import by_depth, lecun_normal, truncated_normal
from Models.layers.model_ends import TokenHeadOptions, classifier, head_dropout, image_input, token_head
from Models.layers.normalization import normalization
from Models.layers.randomness import Rate
from Models.layers.residual import StochasticDepth, linear_rates
from Models.layers.rotary import RotaryAttention
from Models.layers.scaling import ScalingName
from Models.layers.tensors import Tensor
from Models.layers.tokens import ClassToken, PositionEmbedding, TokenPooling
from Models.porting import timm_rules

PAPER = "arXiv:2303.11331"


@dataclasses.dataclass(frozen=True)
class Spec(TokenHeadOptions):
    """One variant: patch, blocks, width and heads, and the options a user may override."""

    patch: int
    depth: int
    width: int
    heads: int
    source: str
    mlp_ratio: float = 4 * 2 / 3  # a gated MLP has three matrices for two: 2/3 of the width, as many weights
    mlp_norm: bool = True  # normalization within the MLP, in base and large
    class_token: bool = True
    reference_grid: int = 16  # side of the grid whose rows and columns the rotations count
    epsilon: float = 1e-6
    stochastic_depth: Rate = 0.1
    dropout: Rate = 0.0
    input_scaling: ScalingName | None = "inception"


_SIZES = {
    "tiny": Spec(14, 12, 192, 3, "arXiv:2303.11331, table 1", mlp_norm=False),
    "small": Spec(14, 12, 384, 6, "arXiv:2303.11331, table 1", mlp_norm=False),
    "base": Spec(14, 12, 768, 12, "arXiv:2303.11331, table 1"),
    "large": Spec(14, 24, 1024, 16, "arXiv:2303.11331, table 1", stochastic_depth=0.2),
}
VARIANTS = {
    "tiny_patch14_224": _SIZES["tiny"],
    "small_patch14_224": _SIZES["small"],
    "base_patch14_224": _SIZES["base"],
    "large_patch14_224": _SIZES["large"],
    "tiny_patch14_336": _SIZES["tiny"],
    "small_patch14_336": _SIZES["small"],
    "base_patch14_448": _SIZES["base"],
    "large_patch14_448": _SIZES["large"],
    "test": Spec(8, 2, 16, 2, "for tests"),
    "token-test": Spec(8, 2, 16, 2, "for tests", mlp_norm=False, head="token"),
}

# No weight decay for weights whose path matches one of these: all but kernels.
NO_DECAY = (r"/(bias|gamma|beta|token|latent)$", r"^stem_positions/")
# No adaptive gradient clipping for the classifier (arXiv:2102.06171).
NO_CLIP = (r"^head_logits/",)
# Axes along which --shard-model may split a weight among devices; the first pattern found in its path counts.
SHARD_AXES = (
    (r"_(attention/output|dense2)/kernel$", (-2, -1)),  # back to the width of the tokens
    (r"/kernel$|^stem_positions/", (-1, -2)),
)


def _block(x: Tensor, spec: Spec, rate: float, index: int) -> Tensor:
    """Attention, then a gated MLP on every token; (B, N, D) to the same."""
    name, last_stddev = f"block{index}", by_depth(0.02, index)
    y = normalization("layernorm", spec.epsilon, f"{name}_norm1")(x)
    prefix = int(spec.class_token)
    attention = RotaryAttention(
        spec.heads, prefix, spec.reference_grid, output_stddev=last_stddev, name=f"{name}_attention"
    )
    y = attention(y)
    x = _add(x, y, rate, name, 1)
    y = normalization("layernorm", spec.epsilon, f"{name}_norm2")(x)
    hidden = int(spec.width * spec.mlp_ratio)
    # (B, N, hidden)
    gate = keras.layers.Dense(hidden, kernel_initializer=truncated_normal(), name=f"{name}_gate")(y)
    gate = Activation("silu", name=f"{name}_act")(gate)
    y = keras.layers.Dense(hidden, kernel_initializer=truncated_normal(), name=f"{name}_dense1")(y)
    y = keras.layers.Multiply(name=f"{name}_gated")([gate, y])
    if spec.mlp_norm:
        y = normalization("layernorm", spec.epsilon, f"{name}_mlp_norm")(y)
    last = truncated_normal(last_stddev)
    y = keras.layers.Dense(spec.width, kernel_initializer=last, name=f"{name}_dense2")(y)  # (B, N, D)
    return _add(x, y, rate, name, 2)


def _add(x: Tensor, y: Tensor, rate: float, name: str, index: int) -> Tensor:
    """Add a branch after stochastic depth."""
    if rate > 0:
        y = StochasticDepth(rate, name=f"{name}_drop{index}")(y)
    return keras.layers.Add(name=f"{name}_add{index}")([x, y])


def build(
    spec: Spec,
    image_size: int,
    num_labels: int,
    classifier_activation: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """Return the model for one ``Spec``: ``image`` (B, S, S, 3), 0..255, to (B, num_labels).

    Raises ValueError if the patch does not divide the image, or for head="token" without a class token.
    """
    if image_size % spec.patch:
        raise ValueError(f"the image size must be a multiple of the patch, {spec.patch}; got {image_size}")
    # stem
    prefix = int(spec.class_token)
    image, x = image_input(image_size, spec.input_scaling)
    # (B, S/patch, S/patch, D)
    x = patch_conv2d(x, spec.width, spec.patch, initializer=lecun_normal(), name="stem_patches")
    x = keras.layers.Reshape((-1, spec.width), name="stem_tokens")(x)  # (B, N, D)
    if spec.class_token:
        x = ClassToken(stddev=0.02, name="stem_class")(x)  # (B, 1 + N, D)
    x = PositionEmbedding(prefix, name="stem_positions")(x)
    # stages
    for block, rate in enumerate(linear_rates(spec.stochastic_depth, spec.depth)):
        x = _block(x, spec, rate, block)
    # head
    if spec.head == "gap":
        x = TokenPooling("average", prefix, name="head_pool")(x)  # (B, D)
        x = normalization("layernorm", spec.epsilon, "head_pool_norm")(x)
    else:
        x = normalization("layernorm", spec.epsilon, "head_norm")(x)
        x = token_head(x, spec, num_labels, prefix, heads=spec.heads, epsilon=spec.epsilon)
    x = head_dropout(x, spec.dropout)
    outputs = classifier(x, num_labels, classifier_activation, truncated_normal(0.02e-3))
    return keras.Model(image, outputs, name=name)


# Weights from and to folders of timm; Models/porting/timm_rules.py explains the fields.
TIMM = timm_rules.Rules(
    models={f"eva02_{variant}": (variant, {}) for variant in VARIANTS if not variant.endswith("test")},
    arguments={
        "patch_size": "patch",
        "depth": "depth",
        "embed_dim": "width",
        "num_heads": "heads",
        "mlp_ratio": "mlp_ratio",
        "scale_mlp": "mlp_norm",
        "class_token": "class_token",
        "global_pool": timm_rules.TOKEN_POOL,
        "ref_feat_shape": "reference_grid",
    },
    fixed={
        "qkv_bias": True, "qkv_fused": (True, False), "swiglu_mlp": True, "swiglu_align_to": 0,
        "use_rot_pos_emb": True, "use_abs_pos_emb": True, "scale_attn_inner": False, "qk_norm": False,
        "init_values": None, "num_reg_tokens": 0, "no_embed_class": False, "rope_type": "cat",
        "use_fc_norm": None, "use_post_norm": False,
    },
    sized=True,
    written={"qkv_fused": False},
    layers=(
        (r"stem_patches", "patch_embed.proj", {}),
        (r"stem_class", "cls_token", timm_rules.CLASS_TOKEN),
        (r"stem_positions", "pos_embed", timm_rules.POSITIONS),
        (r"block(\d+)_norm(\d)", r"blocks.\1.norm\2", {}),
        (r"block(\d+)_attention", r"blocks.\1.attn", timm_rules.ROTARY_ATTENTION),
        (r"block(\d+)_gate", r"blocks.\1.mlp", timm_rules.GATE, {"mlp_norm": True}),
        (r"block(\d+)_dense1", r"blocks.\1.mlp", timm_rules.GATED, {"mlp_norm": True}),
        (r"block(\d+)_gate", r"blocks.\1.mlp", timm_rules.PACKED_GATE),
        (r"block(\d+)_dense1", r"blocks.\1.mlp", timm_rules.PACKED_GATED),
        (r"block(\d+)_mlp_norm", r"blocks.\1.mlp.norm", {}),
        (r"block(\d+)_dense2", r"blocks.\1.mlp.fc2", {}),
        (r"head_norm", "norm", {}),
        (r"head_pool_norm", "fc_norm", {}),
        (r"head_logits", "head", {}),
    ),
)  # fmt: skip
