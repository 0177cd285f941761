"""SwinV2: a transformer with attention within windows that shift from block to block.

Paper: "Swin Transformer V2: Scaling Up Capacity and Resolution" (arXiv:2111.09883).
Official code: https://github.com/microsoft/Swin-Transformer.
Deviations: none in what is computed. Variants are named as timm's are; "window12to16_192to256" means trained
with windows of 12 on 192 px, then with 16 on 256 px. Stochastic depth grows as ``rate * i / blocks``.
Initialization (official code): all kernels truncated normal with deviation 0.02, biases 0, the norms at the
ends of branches 0, the scale of the scores log 10; patches as a linear layer of variance 1 / fan_in (there
PyTorch's default, a third of it).
"""

import dataclasses
from typing import Any

import keras

from Models.layers.activations import Activation, ActivationName
from Models.layers.convolution import patch_conv2d
from Models.layers.initializers import lecun_normal, truncated_normal
from Models.layers.model_ends import HeadOptions, attention_head, classifier, head_dropout, image_input
from Models.layers.normalization import normalization
from Models.layers.randomness import Rate
from Models.layers.residual import StochasticDepth, linear_rates
from Models.layers.scaling import ScalingName
from Models.layers.tensors import Tensor
from Models.layers.windows import PatchMerging, WindowAttention
from Models.porting import timm_rules

PAPER = "arXiv:2111.09883"


@dataclasses.dataclass(frozen=True)
class Spec(HeadOptions):
    """One variant: blocks and heads of each stage, first width, window, and options a user may override."""

    depths: tuple[int, ...]
    width: int  # of the first stage; doubles from stage to stage
    heads: tuple[int, ...]
    window: int  # side in tokens; on a smaller map the side of the map
    source: str
    pretrained_windows: tuple[int, ...] = (0, 0, 0, 0)  # the unit of position offsets; 0: window itself
    patch: int = 4
    mlp_ratio: float = 4.0
    activation: ActivationName = "gelu"
    epsilon: float = 1e-5
    stochastic_depth: Rate = 0.1
    dropout: Rate = 0.0
    input_scaling: ScalingName | None = "inception"


def _row(size: str, window: int, **options: Any) -> Spec:
    depths, width, heads = _SIZES[size]
    return Spec(depths, width, heads, window, "arXiv:2111.09883, section 4.1; the same in timm", **options)


_SIZES = {
    "tiny": ((2, 2, 6, 2), 96, (3, 6, 12, 24)),
    "small": ((2, 2, 18, 2), 96, (3, 6, 12, 24)),
    "base": ((2, 2, 18, 2), 128, (4, 8, 16, 32)),
    "large": ((2, 2, 18, 2), 192, (6, 12, 24, 48)),
}
_FROM_192 = {"pretrained_windows": (12, 12, 12, 6)}
VARIANTS = {
    "tiny_window8_256": _row("tiny", 8, stochastic_depth=0.2),
    "tiny_window16_256": _row("tiny", 16, stochastic_depth=0.2),
    "small_window8_256": _row("small", 8, stochastic_depth=0.3),
    "small_window16_256": _row("small", 16, stochastic_depth=0.3),
    "base_window8_256": _row("base", 8, stochastic_depth=0.5),
    "base_window16_256": _row("base", 16, stochastic_depth=0.5),
    "base_window12_192": _row("base", 12, stochastic_depth=0.2),
    "base_window12to16_192to256": _row("base", 16, stochastic_depth=0.2, **_FROM_192),
    "base_window12to24_192to384": _row("base", 24, stochastic_depth=0.2, **_FROM_192),
    "large_window12_192": _row("large", 12, stochastic_depth=0.2),
    "large_window12to16_192to256": _row("large", 16, stochastic_depth=0.2, **_FROM_192),
    "large_window12to24_192to384": _row("large", 24, stochastic_depth=0.2, **_FROM_192),
    "test": Spec((2, 2), 8, (2, 4), 4, "for tests", pretrained_windows=(0, 3), mlp_ratio=2.0),
}

# Weight decay is for kernels, but not for those of the position bias; searched in variable.path.
NO_DECAY = (r"/(bias|gamma|beta|logit_scale|latent)$", r"/positions_\w+/")
# No adaptive gradient clipping for the classifier (arXiv:2102.06171).
NO_CLIP = (r"^head_logits/",)
# Axes along which --shard-model may split a weight among devices; the first pattern found in its path counts.
SHARD_AXES = (
    (r"/positions_\w+/", ()),
    (r"_(attention/output|dense2)/kernel$", (-2, -1)),  # back to the width of the tokens
    (r"/kernel$", (-1, -2)),
)


def _add(x: Tensor, y: Tensor, spec: Spec, rate: float, name: str, index: int) -> Tensor:
    """Add a branch after its norm, whose gamma starts at 0, and stochastic depth."""
    norm = keras.layers.LayerNormalization(
        epsilon=spec.epsilon, gamma_initializer="zeros", name=f"{name}_norm{index}"
    )
    y = norm(y)
    if rate > 0:
        y = StochasticDepth(rate, name=f"{name}_drop{index}")(y)
    return keras.layers.Add(name=f"{name}_add{index}")([x, y])


def _block(x: Tensor, spec: Spec, stage: int, shifted: bool, rate: float, name: str) -> Tensor:
    """Attention within windows, then an MLP on every token, each before a norm; (B, H, W, C) to the same."""
    width = x.shape[-1]
    attention = WindowAttention(
        spec.heads[stage], spec.window, shifted, spec.pretrained_windows[stage], name=f"{name}_attention"
    )
    x = _add(x, attention(x), spec, rate, name, 1)
    y = keras.layers.Dense(
        int(width * spec.mlp_ratio), kernel_initializer=truncated_normal(), name=f"{name}_dense1"
    )(x)
    y = Activation(spec.activation, name=f"{name}_act")(y)
    y = keras.layers.Dense(width, kernel_initializer=truncated_normal(), name=f"{name}_dense2")(y)
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
    # (B, S/patch, S/patch, C)
    x = patch_conv2d(x, spec.width, spec.patch, initializer=lecun_normal(), name="stem_patches")
    x = normalization("layernorm", spec.epsilon, "stem_norm")(x)
    # stages
    rates = iter(linear_rates(spec.stochastic_depth, sum(spec.depths)))
    for stage, depth in enumerate(spec.depths):
        if stage > 0:
            x = PatchMerging(name=f"stage{stage}_down_dense")(x)  # (B, H/2, W/2, 2C)
            x = normalization("layernorm", spec.epsilon, f"stage{stage}_down_norm")(x)
        for block in range(depth):
            x = _block(x, spec, stage, block % 2 == 1, next(rates), f"stage{stage}_block{block}")
    # head
    x = normalization("layernorm", spec.epsilon, "head_norm")(x)
    if spec.head == "gap":
        x = keras.layers.GlobalAveragePooling2D(name="head_pool")(x)  # (B, C)
    else:
        x = attention_head(x, spec, num_labels, epsilon=spec.epsilon)  # (B, C) or (B, K, D)
    x = head_dropout(x, spec.dropout)
    outputs = classifier(x, num_labels, classifier_activation, truncated_normal())
    return keras.Model(image, outputs, name=name)


# Weights from and to folders of timm; Models/porting/timm_rules.py explains the fields.
TIMM = timm_rules.Rules(
    models={f"swinv2_{variant}": (variant, {}) for variant in VARIANTS if variant != "test"},
    arguments={
        "embed_dim": "width",
        "depths": "depths",
        "num_heads": "heads",
        "window_size": "window",
        "pretrained_window_sizes": "pretrained_windows",
        "patch_size": "patch",
        "mlp_ratio": "mlp_ratio",
        "act_layer": timm_rules.ACTIVATION,
    },
    sized=True,
    fixed={"global_pool": "avg", "qkv_bias": True, "always_partition": False},
    layers=(
        (r"stem_patches", "patch_embed.proj", {}),
        (r"stem_norm", "patch_embed.norm", {}),
        (r"stage(\d+)_down_dense", r"layers.\1.downsample.reduction", {}),
        (r"stage(\d+)_down_norm", r"layers.\1.downsample.norm", {}),
        (r"stage(\d+)_block(\d+)_norm(\d)", r"layers.\1.blocks.\2.norm\3", {}),
        (r"stage(\d+)_block(\d+)_attention", r"layers.\1.blocks.\2.attn", timm_rules.WINDOW_ATTENTION),
        (r"stage(\d+)_block(\d+)_dense(\d)", r"layers.\1.blocks.\2.mlp.fc\3", {}),
        (r"head_norm", "norm", {}),
        (r"head_logits", "head.fc", {}),
    ),
)
