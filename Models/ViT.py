"""ViT: a plain transformer on image patches.

Paper: "An Image is Worth 16x16 Words" (arXiv:2010.11929). Official code:
https://github.com/google-research/vision_transformer. LayerScale from arXiv:2103.17239.
Deviations: by default there is no class token (the head averages all tokens) and both branches have
LayerScale, as in the original zoo; every block has the same rate of stochastic depth.
The variants of SigLIP (arXiv:2303.15343, arXiv:2502.14786) and DINOv2 (arXiv:2304.07193) are those that timm
publishes weights of: with a head of attention pooling, and with a class token and register tokens
(arXiv:2309.16588). SigLIP 2 computes the same as SigLIP but for the form of GELU. Those of CLIP
(arXiv:2103.00020) have a layer norm before the first block, ``pre_norm``; OpenAI's were trained with
quick_gelu. ``qk_norm`` bounds the scores of attention, which in large models grow until training fails.
Initialization: patches as a linear layer of variance 1 / fan_in, as in the official code; all other kernels
and positions truncated normal with deviation 0.02, biases 0 (DeiT, arXiv:2012.12877, and timm; the official
code has Glorot's there).
"""

import dataclasses
from typing import Any, Literal

import keras

from Models.layers.activations import Activation, ActivationName
from Models.layers.attention import SelfAttention
from Models.layers.convolution import patch_conv2d
from Models.layers.initializers import lecun_normal, truncated_normal
from Models.layers.model_ends import TokenHeadOptions, classifier, head_dropout, image_input, token_head
from Models.layers.normalization import normalization
from Models.layers.randomness import Rate
from Models.layers.residual import LayerScale, StochasticDepth
from Models.layers.scaling import ScalingName
from Models.layers.tensors import Tensor
from Models.layers.tokens import ClassToken, PatchDropout, PositionEmbedding, RegisterTokens
from Models.porting import original_rules, timm_rules

PAPER = "arXiv:2010.11929"


@dataclasses.dataclass(frozen=True)
class Spec(TokenHeadOptions):
    """One variant: patch, blocks, widths and heads, and the options a user may override."""

    patch: int
    depth: int
    width: int
    mlp_width: int
    heads: int
    source: str
    class_token: bool = False
    registers: int = 0  # learned tokens beside those of the image
    positions: Literal["all", "patches"] = "all"  # which tokens have one
    norm_after_pool: bool | None = False  # None: if tokens are averaged
    pre_norm: bool = False  # a layer norm before the first block, and patches without bias (arXiv:2103.00020)
    qk_norm: bool = False  # layer norms of queries and keys, for each head (arXiv:2302.05442, section 3.1)
    qkv_bias: bool = True  # of queries, keys and values
    activation: ActivationName = "gelu"
    epsilon: float = 1e-6  # the original zoo: 1e-3
    stochastic_depth: Rate = 0.0
    dropout: Rate = 0.0
    patch_dropout: Rate = 0.0  # share of the patches that training leaves out (arXiv:2208.07220)
    # Initial value, by depth in arXiv:2103.17239, table 1; None: no LayerScale.
    layer_scale: float | None = 0.1
    input_scaling: ScalingName | None = "inception"


_DINOV2: dict[str, Any] = {"class_token": True, "head": "token", "layer_scale": 1e-5}
_REGISTERS: dict[str, Any] = {"registers": 4, "positions": "patches"}
# Depth, width, width of the MLP, heads.
_SIZES = {"S": (12, 384, 1536, 6), "B": (12, 768, 3072, 12), "L": (24, 1024, 4096, 16)}
_SIGLIP: dict[str, Any] = {"head": "map", "layer_scale": None}
_CLIP: dict[str, Any] = {
    "class_token": True, "head": "token", "layer_scale": None, "pre_norm": True, "epsilon": 1e-5
}  # fmt: skip
VARIANTS = {
    "Ti16": Spec(16, 12, 192, 768, 3, "arXiv:2012.12877, table 1"),
    "S16": Spec(16, 12, 384, 1536, 6, "arXiv:2012.12877, table 1"),
    "B16": Spec(16, 12, 768, 3072, 12, "arXiv:2010.11929, table 1", stochastic_depth=0.05),
    "B32": Spec(32, 12, 768, 3072, 12, "arXiv:2010.11929, table 1", stochastic_depth=0.05),
    "L16": Spec(16, 24, 1024, 4096, 16, "arXiv:2010.11929, table 1", stochastic_depth=0.2, layer_scale=1e-5),
    "g14": Spec(14, 40, 1408, 6144, 16, "arXiv:2106.04560, table 2", layer_scale=1e-6),
    **{
        f"{size}14-DINOv2": Spec(14, *shape, "arXiv:2304.07193, table 1", **_DINOV2)
        for size, shape in _SIZES.items()
    },
    **{
        f"{size}14-DINOv2-reg4": Spec(14, *shape, "arXiv:2309.16588", **_DINOV2, **_REGISTERS)
        for size, shape in _SIZES.items()
    },
    "B32-SigLIP": Spec(32, 12, 768, 3072, 12, "arXiv:2303.15343, section 4", **_SIGLIP),
    "B16-SigLIP": Spec(16, 12, 768, 3072, 12, "arXiv:2303.15343, section 4", **_SIGLIP),
    "L16-SigLIP": Spec(16, 24, 1024, 4096, 16, "arXiv:2303.15343, section 4", **_SIGLIP),
    "SO400M14-SigLIP": Spec(14, 27, 1152, 4304, 16, "arXiv:2305.13035, table 4", **_SIGLIP),
    "SO400M16-SigLIP": Spec(16, 27, 1152, 4304, 16, "arXiv:2305.13035, table 4", **_SIGLIP),
    "gopt16-SigLIP": Spec(16, 40, 1536, 6144, 16, "arXiv:2502.14786", **_SIGLIP),
    "B32-CLIP": Spec(32, 12, 768, 3072, 12, "arXiv:2103.00020, table 20", **_CLIP),
    "B16-CLIP": Spec(16, 12, 768, 3072, 12, "arXiv:2103.00020, table 20", **_CLIP),
    "L14-CLIP": Spec(14, 24, 1024, 4096, 16, "arXiv:2103.00020, table 20", **_CLIP),
    "H14-CLIP": Spec(14, 32, 1280, 5120, 16, "arXiv:2212.07143", **_CLIP),
    "g14-CLIP": Spec(14, 40, 1408, 6144, 16, "arXiv:2106.04560, table 2", **_CLIP),
    "bigG14-CLIP": Spec(14, 48, 1664, 8192, 16, "arXiv:2106.04560, table 2", **_CLIP),
    "test": Spec(8, 2, 16, 32, 2, "for tests", stochastic_depth=0.1),
    "map-test": Spec(8, 1, 16, 32, 2, "for tests", **_SIGLIP),
    "registers-test": Spec(8, 1, 16, 32, 2, "for tests", registers=2, positions="patches", **_DINOV2),
    "norms-test": Spec(8, 2, 16, 32, 2, "for tests", qk_norm=True, **_CLIP),
    "class-test": Spec(8, 1, 16, 32, 2, "for tests", class_token=True, norm_after_pool=True),
}

# No weight decay for weights whose path matches one of these: all but kernels.
NO_DECAY = (r"/(bias|gamma|beta|scale|token|latent)$", r"^stem_positions/")
# No adaptive gradient clipping for the classifier (arXiv:2102.06171).
NO_CLIP = (r"^head_logits/",)
# Axes along which --shard-model may split a weight among devices; the first pattern found in its path counts.
SHARD_AXES = (
    (r"_(attention/output|map/output|dense2)/kernel$", (-2, -1)),  # back to the width of the tokens
    (r"/kernel$|^stem_positions/", (-1, -2)),
)


def _add(x: Tensor, y: Tensor, spec: Spec, name: str, index: int) -> Tensor:
    """Add a branch after LayerScale and stochastic depth."""
    if spec.layer_scale is not None:
        y = LayerScale(spec.layer_scale, name=f"{name}_scale{index}")(y)
    if spec.stochastic_depth > 0:
        y = StochasticDepth(spec.stochastic_depth, name=f"{name}_drop{index}")(y)
    return keras.layers.Add(name=f"{name}_add{index}")([x, y])


def _block(x: Tensor, spec: Spec, name: str) -> Tensor:
    """Attention, then an MLP on every token; (B, N, D) to the same."""
    y = normalization("layernorm", spec.epsilon, f"{name}_norm1")(x)
    options: dict[str, Any] = {"use_bias": spec.qkv_bias, "qk_norm": spec.qk_norm, "epsilon": spec.epsilon}
    y = SelfAttention(spec.heads, **options, name=f"{name}_attention")(y)
    x = _add(x, y, spec, name, 1)
    y = normalization("layernorm", spec.epsilon, f"{name}_norm2")(x)
    y = keras.layers.Dense(spec.mlp_width, kernel_initializer=truncated_normal(), name=f"{name}_dense1")(y)
    y = Activation(spec.activation, name=f"{name}_act")(y)
    y = keras.layers.Dense(spec.width, kernel_initializer=truncated_normal(), name=f"{name}_dense2")(y)
    return _add(x, y, spec, name, 2)


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
    image, x = image_input(image_size, spec.input_scaling)
    # (B, S/patch, S/patch, D)
    has_bias = not spec.pre_norm  # the norm would take most of it away
    x = patch_conv2d(
        x, spec.width, spec.patch, initializer=lecun_normal(), use_bias=has_bias, name="stem_patches"
    )
    x = keras.layers.Reshape((-1, spec.width), name="stem_tokens")(x)  # (B, N, D)
    prefix = int(spec.class_token) + spec.registers
    if spec.positions == "patches":
        x = PositionEmbedding(name="stem_positions")(x)
    if spec.registers:
        x = RegisterTokens(spec.registers, name="stem_registers")(x)  # (B, R + N, D)
    if spec.class_token:
        x = ClassToken(name="stem_class")(x)  # (B, 1 + R + N, D)
    if spec.positions == "all":
        x = PositionEmbedding(prefix, name="stem_positions")(x)
    if spec.patch_dropout > 0:
        x = PatchDropout(spec.patch_dropout, prefix, name="stem_patch_drop")(x)  # fewer tokens in training
    if spec.pre_norm:
        x = normalization("layernorm", spec.epsilon, "stem_norm")(x)
    # stages
    for block in range(spec.depth):
        x = _block(x, spec, f"block{block}")
    # head
    norm_after_pool = spec.head == "gap" if spec.norm_after_pool is None else spec.norm_after_pool
    norm_after_pool = norm_after_pool and spec.head != "ml_decoder"
    if not norm_after_pool:
        x = normalization("layernorm", spec.epsilon, "head_norm")(x)
    sizes = {"heads": spec.heads, "mlp_width": spec.mlp_width, "activation": spec.activation}
    x = token_head(x, spec, num_labels, prefix, epsilon=spec.epsilon, **sizes)
    if norm_after_pool:
        x = normalization("layernorm", spec.epsilon, "head_pool_norm")(x)
    x = head_dropout(x, spec.dropout)
    outputs = classifier(x, num_labels, classifier_activation, truncated_normal())
    return keras.Model(image, outputs, name=name)


# Weights from files of the original zoo; Models/porting/original_rules.py explains the columns.
IMPORT_RULES = (
    (r"stem_patches", r"root_conv2d", {}),
    (r"stem_positions", r"pos_embed", original_rules.POSITIONS),
    (r"block(\d+)_norm(\d)", r"block\1_norm_0\2", {}),
    (r"block\d+_attention", r"multi_head_attention{k}", original_rules.SELF_ATTENTION),
    (r"block(\d+)_dense(\d)", r"block\1_cm_dense_0\2", {}),
    (r"block\d+_scale\d", r"skip_init_channelwise{k}", original_rules.SCALE),
    (r"head_norm", r"predictions_norm", {}),
    (r"head_logits", r"predictions_dense", {}),
)
# Weights from and to folders of timm; Models/porting/timm_rules.py explains the fields.
_TIMM_SIZES = {
    "Ti": "tiny", "S": "small", "B": "base", "L": "large", "SO400M": "so400m", "gopt": "giantopt"
}  # fmt: skip
_GELUS = {"": {}, "quickgelu_": {"activation": "quick_gelu"}}  # of models of CLIP
_TANH = {"activation": "gelu_tanh"}  # of models of SigLIP 2
_SIGLIP_MODELS = (
    ("B", 32, 256, _TANH), ("B", 16, 224, {}), ("B", 16, 256, {}), ("B", 16, 384, {}), ("B", 16, 512, {}),
    ("L", 16, 256, {}), ("L", 16, 384, {}), ("L", 16, 512, _TANH), ("SO400M", 14, 224, {}),
    ("SO400M", 14, 378, {}), ("SO400M", 14, 384, {}), ("SO400M", 14, 448, {}), ("SO400M", 14, 896, {}),
    ("SO400M", 16, 256, _TANH), ("SO400M", 16, 384, _TANH), ("SO400M", 16, 512, _TANH),
    ("gopt", 16, 256, _TANH), ("gopt", 16, 384, _TANH),
)  # fmt: skip
# Variant, timm's name of it, image sizes; those of models with quick_gelu, as OpenAI's.
_CLIP_MODELS = (
    ("B32-CLIP", "base_patch32", (224, 256, 384, 448), (224,)),
    ("B16-CLIP", "base_patch16", (224, 384), (224,)),
    ("L14-CLIP", "large_patch14", (224, 336), (224, 336)),
    ("H14-CLIP", "huge_patch14", (224, 336, 378), (224, 378)),
    ("g14-CLIP", "giant_patch14", (224,), ()),
    ("bigG14-CLIP", "gigantic_patch14", (224, 378), (224,)),
)
# Others: depth, width, width of the MLP, heads. The first four are those of TinyCLIP (arXiv:2309.12314).
_CLIP_SHAPES = {
    "xsmall_patch16_clip_224": ("B16-CLIP", (10, 256, 1024, 4)),
    "medium_patch16_clip_224": ("B16-CLIP", (12, 512, 2048, 8)),
    "medium_patch32_clip_224": ("B32-CLIP", (12, 512, 2048, 8)),
    "betwixt_patch32_clip_224": ("B32-CLIP", (12, 640, 2560, 10)),
    "base_patch16_plus_clip_240": ("B16-CLIP", (12, 896, 3584, 14)),
}
# Those with averaged tokens follow DINOv2, SigLIP or neither: fields that differ from the class token's.
_GAP_AS_DINOV2 = {"positions": "patches", "norm_after_pool": None, "layer_scale": 1e-5}
_GAP_AS_SIGLIP = {"norm_after_pool": False}
_GAP_UNBIASED = {"norm_after_pool": False, "layer_scale": 1e-6, "qkv_bias": False}
_SO150M2 = {"norm_after_pool": None, "layer_scale": 1e-5, "qkv_bias": False}
# Depth, width, width of the MLP, heads; image sizes; fields.
_GAP_MODELS: dict[str, tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]] = {
    "wee_patch16_reg1": ((14, 256, 1280, 4), (256,), _GAP_AS_DINOV2),
    "little_patch16_reg1": ((14, 320, 1792, 5), (256,), _GAP_AS_DINOV2),
    "little_patch16_reg4": ((14, 320, 1792, 5), (256,), _GAP_AS_DINOV2),
    "medium_patch16_reg1": ((12, 512, 2048, 8), (256,), _GAP_AS_DINOV2),
    "medium_patch16_reg4": ((12, 512, 2048, 8), (256,), _GAP_AS_DINOV2),
    "mediumd_patch16_reg4": ((20, 512, 2048, 8), (256, 384), _GAP_AS_DINOV2),
    "betwixt_patch16_reg1": ((12, 640, 2560, 10), (256,), _GAP_AS_DINOV2),
    "betwixt_patch16_reg4": ((12, 640, 2560, 10), (256, 384), _GAP_AS_DINOV2),
    "base_patch16_reg4": ((12, 768, 3072, 12), (256,), _GAP_AS_DINOV2 | {"layer_scale": None}),
    "so150m_patch16_reg4": ((18, 896, 2304, 14), (256, 384), _GAP_AS_SIGLIP),
    "so150m2_patch16_reg1": ((21, 832, 2176, 13), (256, 384, 448), _SO150M2),
    "medium_patch16": ((12, 512, 2048, 8), (240, 256, 384), _GAP_UNBIASED),
    "betwixt_patch16": ((12, 640, 2560, 10), (256,), _GAP_UNBIASED),
    "base_patch16": ((12, 768, 3072, 16), (224,), _GAP_AS_SIGLIP),
    "huge_patch14": ((32, 1280, 5120, 16), (224,), _GAP_AS_SIGLIP | {"patch": 14}),
    "huge_patch16": ((32, 1280, 5120, 16), (448,), _GAP_AS_SIGLIP),
    "giant_patch16": ((40, 1408, 6144, 16), (224,), _GAP_AS_SIGLIP),
}
_SHAPE_FIELDS = ("depth", "width", "mlp_width", "heads")


def _gap_fields(name: str) -> dict[str, Any]:
    """Return the fields of a model of `_GAP_MODELS`."""
    shape, _, fields = _GAP_MODELS[name]
    registers = int(name[-1]) if "_reg" in name else 0
    averaged: dict[str, Any] = {"class_token": False, "head": "gap", "registers": registers}
    return averaged | dict(zip(_SHAPE_FIELDS, shape, strict=True)) | fields


TIMM = timm_rules.Rules(
    models={
        f"vit_{_TIMM_SIZES[variant[:-2]]}_patch{variant[-2:]}_{size}": (variant, {})
        for size in (224, 384)
        for variant in VARIANTS
        if variant in ("Ti16", "S16", "B16", "B32", "L16")
    }
    | {
        f"vit_{_TIMM_SIZES[size]}_patch14_{kind}dinov2": (f"{size}14-DINOv2{ours}", _DINOV2)
        for size in _SIZES
        for kind, ours in (("", ""), ("reg4_", "-reg4"))
    }
    | {
        f"vit_{_TIMM_SIZES[size]}_patch{patch}_siglip_{gap}{pixels}": (
            f"{size}{patch}-SigLIP",
            {"class_token": False, "head": "gap" if gap else "map", "norm_after_pool": False} | more,
        )
        for size, patch, pixels, more in _SIGLIP_MODELS
        for gap in ("", "gap_")
        if gap or pixels not in (448, 896)
    }
    | {
        f"vit_{theirs}_clip_{quick}{pixels}": (variant, _CLIP | more)
        for variant, theirs, *sizes in _CLIP_MODELS
        for (quick, more), all_pixels in zip(_GELUS.items(), sizes, strict=True)
        for pixels in all_pixels
    }
    | {
        f"vit_{theirs}": (
            variant,
            _CLIP | dict(zip(_SHAPE_FIELDS, shape, strict=True)),
        )
        for theirs, (variant, shape) in _CLIP_SHAPES.items()
    }
    | {
        f"vit_{name}_gap_{size}": ("B16", _gap_fields(name))
        for name, (_, sizes, _) in _GAP_MODELS.items()
        for size in sizes
    }
    | {"vit_base_patch16_224_miil": ("B16", {"qkv_bias": False})},
    fields={"class_token": True, "head": "token", "norm_after_pool": None, "layer_scale": None},
    arguments={
        "patch_size": "patch",
        "depth": "depth",
        "embed_dim": "width",
        "mlp_ratio": ("mlp_width", "times width"),
        "num_heads": "heads",
        "class_token": "class_token",
        "reg_tokens": "registers",
        "no_embed_class": ("positions", {False: "all", True: "patches"}),
        "global_pool": timm_rules.POOL,
        "fc_norm": "norm_after_pool",
        "init_values": "layer_scale",
        "pre_norm": "pre_norm",
        "qkv_bias": "qkv_bias",
        "qk_norm": "qk_norm",
        "act_layer": timm_rules.ACTIVATION,
    },
    sized=True,
    fixed={
        "scale_attn_norm": False, "scale_mlp_norm": False, "proj_bias": True,
        "pos_embed": "learn", "final_norm": True, "pool_include_prefix": False,
    },
    layers=(
        (r"stem_patches", "patch_embed.proj", {}),
        (r"stem_class", "cls_token", timm_rules.CLASS_TOKEN),
        (r"stem_registers", "reg_token", timm_rules.REGISTERS),
        (r"stem_positions", "pos_embed", timm_rules.POSITIONS),
        (r"stem_norm", "norm_pre", {}),
        (r"block(\d+)_norm(\d)", r"blocks.\1.norm\2", {}),
        (r"block(\d+)_attention", r"blocks.\1.attn", timm_rules.SELF_ATTENTION),
        (r"block(\d+)_dense(\d)", r"blocks.\1.mlp.fc\2", {}),
        (r"block(\d+)_scale(\d)", r"blocks.\1.ls\2", timm_rules.LAYER_SCALE),
        (r"head_norm", "norm", {}),
        (r"head_map", "attn_pool", timm_rules.ATTENTION_POOLING),
        (r"head_map_norm", "attn_pool.norm", {}),
        (r"head_map_dense(\d)", r"attn_pool.mlp.fc\1", {}),
        (r"head_pool_norm", "fc_norm", {}),
        (r"head_logits", "head", {}),
    ),
)  # fmt: skip
