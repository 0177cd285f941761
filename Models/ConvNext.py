"""ConvNeXt, version 1 and 2: a convolutional network with the blocks of a transformer.

Papers: "A ConvNet for the 2020s" (arXiv:2201.03545), "ConvNeXt V2" (arXiv:2301.00808).
Official code: https://github.com/facebookresearch/ConvNeXt and ConvNeXt-V2.
Deviations: channel attention (SE, ECA) and the kind of normalization are options; stochastic depth grows as
``rate * i / blocks``, so that the last block stays below the maximum, as in the original zoo.
Initialization (arXiv:2201.03545, appendix A.1): all kernels truncated normal with deviation 0.02, biases 0,
LayerScale 1e-6; version 2: gamma and beta of the global response normalization 0.
"""

import dataclasses
from typing import Any

import keras

from Models.layers.activations import Activation, ActivationName
from Models.layers.attention import ChannelAttentionName, channel_attention
from Models.layers.convolution import depthwise_conv2d, patch_conv2d
from Models.layers.initializers import truncated_normal
from Models.layers.model_ends import HeadOptions, attention_head, classifier, head_dropout, image_input
from Models.layers.normalization import GlobalResponseNorm, NormName, normalization
from Models.layers.randomness import Rate
from Models.layers.residual import LayerScale, StochasticDepth, linear_rates
from Models.layers.scaling import ScalingName
from Models.layers.tensors import Tensor
from Models.porting import original_rules, timm_rules

PAPER = "arXiv:2201.03545, arXiv:2301.00808"


@dataclasses.dataclass(frozen=True)
class Spec(HeadOptions):
    """One variant: blocks and channels of each stage, and the options a user may override."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    source: str
    version: int = 1  # 2: global response normalization in the block
    activation: ActivationName = "gelu"
    attention: ChannelAttentionName | None = None
    norm: NormName = "layernorm"
    epsilon: float = 1e-6  # the original zoo: 1e-3
    stochastic_depth: Rate = 0.0
    dropout: Rate = 0.0
    layer_scale: float | None = 1e-6  # initial value; None: no LayerScale
    input_scaling: ScalingName | None = "inception"


def _widths(first: int) -> tuple[int, ...]:
    return (first, 2 * first, 4 * first, 8 * first)


_V1 = {
    "T": Spec((3, 3, 9, 3), _widths(96), "arXiv:2201.03545, section 3", stochastic_depth=0.1),
    "S": Spec((3, 3, 27, 3), _widths(96), "arXiv:2201.03545, section 3", stochastic_depth=0.4),
    "B": Spec((3, 3, 27, 3), _widths(128), "arXiv:2201.03545, section 3", stochastic_depth=0.5),
    "L": Spec((3, 3, 27, 3), _widths(192), "arXiv:2201.03545, section 3", stochastic_depth=0.5),
    "A": Spec((2, 2, 6, 2), _widths(40), "arXiv:2301.00808, appendix (atto)"),
    "F": Spec((2, 2, 6, 2), _widths(48), "arXiv:2301.00808, appendix (femto)"),
    "P": Spec((2, 2, 6, 2), _widths(64), "arXiv:2301.00808, appendix (pico)"),
    "N": Spec((2, 2, 8, 2), _widths(80), "arXiv:2301.00808, appendix (nano)"),
    "test": Spec((1, 2, 1, 1), (8, 8, 16, 16), "for tests", layer_scale=0.1, stochastic_depth=0.1),
}
# The same shapes with blocks of version 2; its paper has no S.
_V2: dict[str, Any] = {"version": 2, "layer_scale": None}
VARIANTS = _V1 | {f"V2-{name}": dataclasses.replace(spec, **_V2) for name, spec in _V1.items()}
VARIANTS["V2-H"] = Spec((3, 3, 27, 3), _widths(352), "arXiv:2301.00808, appendix (huge)", **_V2)

# No weight decay for weights whose path matches one of these: all but kernels.
NO_DECAY = (
    r"/(bias|alpha|gamma|beta|scale|latent)$",
    r"_eca/kernel$",
)
# No adaptive gradient clipping for the classifier (arXiv:2102.06171).
NO_CLIP = (r"^head_logits/",)
# Axes along which --shard-model may split a weight among devices; the first pattern found in its path counts.
SHARD_AXES = (
    (r"_eca/", ()),
    (r"_conv1/kernel$", (-2,)),  # depthwise, (7, 7, C, 1)
    (r"_conv3/kernel$", (-2, -1)),  # back to the width of the block
    (r"/kernel$", (-1, -2)),
)


def _block(x: Tensor, spec: Spec, rate: float, name: str) -> Tensor:
    """Depthwise 7x7, norm, two pointwise convolutions, and the shortcut; (B, H, W, C) to the same."""
    channels = x.shape[-1]
    attention = channel_attention(spec.attention, name, truncated_normal)
    y = depthwise_conv2d(x, 7, initializer=truncated_normal(), name=f"{name}_conv1")
    y = normalization(spec.norm, spec.epsilon, f"{name}_norm")(y)
    # (B, H, W, 4C)
    y = keras.layers.Dense(4 * channels, kernel_initializer=truncated_normal(), name=f"{name}_conv2")(y)
    y = Activation(spec.activation, name=f"{name}_act")(y)
    if spec.version == 2:
        y = GlobalResponseNorm(name=f"{name}_grn")(y)
    y = keras.layers.Dense(channels, kernel_initializer=truncated_normal(), name=f"{name}_conv3")(y)
    if attention is not None:
        y = attention(y)
    if rate > 0:
        y = StochasticDepth(rate, name=f"{name}_drop")(y)
    if spec.layer_scale is not None:
        y = LayerScale(spec.layer_scale, name=f"{name}_scale")(y)
    return keras.layers.Add(name=f"{name}_add")([x, y])


def build(
    spec: Spec,
    image_size: int,
    num_labels: int,
    classifier_activation: str | None = None,
    name: str | None = None,
) -> keras.Model:
    """Return the model for one ``Spec``: ``image`` (B, S, S, 3), 0..255, to (B, num_labels)."""
    # stem
    image, x = image_input(image_size, spec.input_scaling)
    # (B, S/4, S/4, C)
    x = patch_conv2d(x, spec.widths[0], 4, initializer=truncated_normal(), name="stem_conv")
    x = normalization(spec.norm, spec.epsilon, "stem_norm")(x)
    # stages
    rates = iter(linear_rates(spec.stochastic_depth, sum(spec.depths)))
    for stage, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True)):
        if stage > 0:
            x = normalization(spec.norm, spec.epsilon, f"stage{stage}_down_norm")(x)
            # (B, H/2, W/2, C)
            x = patch_conv2d(x, width, 2, initializer=truncated_normal(), name=f"stage{stage}_down_conv")
        for block in range(depth):
            x = _block(x, spec, next(rates), f"stage{stage}_block{block}")
    # head
    if spec.head == "gap":
        x = keras.layers.GlobalAveragePooling2D(name="head_pool")(x)  # (B, C)
    x = normalization(spec.norm, spec.epsilon, "head_norm")(x)
    if spec.head != "gap":
        x = attention_head(x, spec, num_labels, epsilon=spec.epsilon)  # (B, C) or (B, K, D)
    x = head_dropout(x, spec.dropout)
    outputs = classifier(x, num_labels, classifier_activation, truncated_normal())
    return keras.Model(image, outputs, name=name)


# Weights from files of the original zoo; Models/porting/original_rules.py explains the columns.
IMPORT_RULES = (
    (r"stem_conv", r"root_conv2d", {}),
    (r"stem_norm", r"root_norm", {}),
    (r"stage(\d+)_down_norm", r"block\1_down_norm", {}),
    (r"stage(\d+)_down_conv", r"block\1_down_conv2d", {}),
    (r"stage(\d+)_block(\d+)_conv1", r"block\1_cell\2_conv2d_01", original_rules.DEPTHWISE),
    (r"stage(\d+)_block(\d+)_norm", r"block\1_cell\2_norm_01", {}),
    (r"stage(\d+)_block(\d+)_conv([23])", r"block\1_cell\2_conv2d_0\3", {}),
    (r"stage(\d+)_block(\d+)_grn", r"block\1_cell\2_grn", {}),
    (r"stage\d+_block\d+_se", r"se_block{k}", original_rules.SE),
    (r"stage\d+_block\d+_eca", r"eca_block{k}", original_rules.ECA),
    (r"stage\d+_block\d+_scale", r"skip_init_channelwise{k}", original_rules.SCALE),
    (r"head_norm", r"predictions_norm", {}),
    (r"head_logits", r"predictions_dense", {}),
)
# Weights from and to folders of timm; Models/porting/timm_rules.py explains the fields.
_TIMM_SIZES = {
    "tiny": "T", "small": "S", "base": "B", "large": "L", "atto": "A", "femto": "F", "pico": "P", "nano": "N",
}  # fmt: skip
TIMM = timm_rules.Rules(
    models={f"convnext_{size}": (letter, {}) for size, letter in _TIMM_SIZES.items()}
    | {f"convnextv2_{size}": (f"V2-{letter}", {}) for size, letter in _TIMM_SIZES.items()}
    | {"convnextv2_huge": ("V2-H", {})},
    arguments={
        "depths": "depths",
        "dims": "widths",
        "use_grn": ("version", {False: 1, True: 2}),
        "ls_init_value": "layer_scale",
        "act_layer": timm_rules.ACTIVATION,
        "norm_eps": "epsilon",
    },
    fixed={
        "global_pool": "avg", "output_stride": 32, "kernel_sizes": 7, "stem_type": "patch", "patch_size": 4,
        "head_norm_first": False, "head_hidden_size": None, "conv_mlp": (False, True), "conv_bias": True,
        "norm_layer": None,
    },
    written={"conv_mlp": False},
    layers=(
        (r"stem_conv", "stem.0", {}),
        (r"stem_norm", "stem.1", {}),
        (r"stage(\d+)_down_norm", r"stages.\1.downsample.0", {}),
        (r"stage(\d+)_down_conv", r"stages.\1.downsample.1", {}),
        (r"stage(\d+)_block(\d+)_conv1", r"stages.\1.blocks.\2.conv_dw", {}),
        (r"stage(\d+)_block(\d+)_norm", r"stages.\1.blocks.\2.norm", {}),
        (r"stage(\d+)_block(\d+)_conv2", r"stages.\1.blocks.\2.mlp.fc1", {}),
        (r"stage(\d+)_block(\d+)_conv3", r"stages.\1.blocks.\2.mlp.fc2", {}),
        (r"stage(\d+)_block(\d+)_grn", r"stages.\1.blocks.\2.mlp.grn", {}),
        (r"stage(\d+)_block(\d+)_scale", r"stages.\1.blocks.\2", timm_rules.LAYER_SCALE),
        (r"head_norm", "head.norm", {}),
        (r"head_logits", "head.fc", {}),
    ),
)  # fmt: skip
