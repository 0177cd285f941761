"""ResNet with the tweaks of "Bag of Tricks" but the plain 7x7 stem.

Papers: "Deep Residual Learning for Image Recognition" (arXiv:1512.03385), "Bag of Tricks for Image
Classification with Convolutional Neural Networks" (arXiv:1812.01187). Official code: GluonCV.
Deviations: shortcuts are a 1x1 convolution with bias and by default without batch norm;
stochastic depth grows as ``rate * i / blocks``; options are channel attention, the paper's deep stem and a
stem of two 3x3 convolutions of stride 2 (after arXiv:2106.14881), which keeps more of small images than the
7x7 and its pooling do.
Initialization: kernels He normal by fan-out (arXiv:1502.01852, as timm does), the last gamma of a branch 0,
the classifier normal with deviation 0.01 (arXiv:1706.02677, section 5.1).
"""

import dataclasses
from typing import Literal

import keras

from Models.layers.activations import Activation, ActivationName
from Models.layers.attention import ChannelAttentionName, channel_attention
from Models.layers.convolution import Decimate, conv2d, stem_max_pool
from Models.layers.initializers import he_fan_out, normal
from Models.layers.model_ends import (
    HeadOptions,
    attention_head,
    average_pool,
    classifier,
    head_dropout,
    image_input,
)
from Models.layers.normalization import batch_norm
from Models.layers.randomness import Rate
from Models.layers.residual import StochasticDepth, linear_rates
from Models.layers.scaling import ScalingName
from Models.layers.tensors import Tensor
from Models.porting import original_rules, timm_rules

PAPER = "arXiv:1512.03385, arXiv:1812.01187"


@dataclasses.dataclass(frozen=True)
class Spec(HeadOptions):
    """One variant: blocks and inner channels of each stage, and the options a user may override."""

    depths: tuple[int, ...]
    source: str
    widths: tuple[int, ...] = (64, 128, 256, 512)
    block: Literal["basic", "bottleneck"] = "bottleneck"
    stem: Literal["plain", "convolutions", "deep"] = "plain"
    shortcut: Literal["average", "stride"] = "average"  # how shortcuts halve the map
    shortcut_norm: bool = False  # batch norm instead of a bias
    pool_cells: int = 1  # 2: the head gets the means of the four quarters of the image
    pool_overlap: bool = False  # the quarters of an odd map share its middle row and column
    activation: ActivationName = "relu"
    attention: ChannelAttentionName | None = None
    epsilon: float = 1e-6  # the original zoo: 1e-3
    stochastic_depth: Rate = 0.1
    dropout: Rate = 0.25  # the original zoo trained with 0
    input_scaling: ScalingName | None = "inception"


VARIANTS = {
    "18": Spec((2, 2, 2, 2), "arXiv:1512.03385, table 1", block="basic"),
    "34": Spec((3, 4, 6, 3), "arXiv:1512.03385, table 1", block="basic"),
    "50": Spec((3, 4, 6, 3), "arXiv:1512.03385, table 1"),
    "101": Spec((3, 4, 23, 3), "arXiv:1512.03385, table 1"),
    "152": Spec((3, 8, 36, 3), "arXiv:1512.03385, table 1"),
    "test": Spec((1, 2, 1, 1), "for tests", widths=(4, 4, 8, 8)),
    "deep-test": Spec((1, 2), "for tests", widths=(4, 8), stem="deep", shortcut="stride", shortcut_norm=True),
    "basic-test": Spec((1, 2, 1), "for tests", widths=(4, 8, 8), block="basic", stem="convolutions"),
}

# No weight decay for weights whose path matches one of these: all but kernels.
NO_DECAY = (r"/(bias|gamma|beta|latent)$", r"_eca/kernel$")
# No adaptive gradient clipping for the classifier (arXiv:2102.06171).
NO_CLIP = (r"^head_logits/",)
# Axes along which --shard-model may split a weight among devices; the first pattern found in its path counts.
SHARD_AXES = ((r"_eca/", ()), (r"/kernel$", (-1, -2)))


def _shortcut(x: Tensor, spec: Spec, width: int, strides: int, name: str) -> Tensor:
    """Return x itself if its shape fits, else project it, after halving the map for strides > 1."""
    if strides == 1 and x.shape[-1] == width:
        return x
    if strides > 1 and spec.shortcut == "stride":
        x = Decimate(strides, name=f"{name}_pool")(x)
    elif strides > 1:
        x = keras.layers.AveragePooling2D(2, strides=strides, padding="same", name=f"{name}_pool")(x)
    x = keras.layers.Dense(
        width, use_bias=not spec.shortcut_norm, kernel_initializer=he_fan_out(), name=f"{name}_shortcut"
    )(x)
    return batch_norm(spec.epsilon, f"{name}_shortcut_norm")(x) if spec.shortcut_norm else x


def _bottleneck(x: Tensor, spec: Spec, width: int, strides: int, name: str) -> Tensor:
    """1x1, 3x3 with the stride, 1x1; (B, H, W, C) to (B, H/strides, W/strides, 4 * width)."""
    y = keras.layers.Dense(width, use_bias=False, kernel_initializer=he_fan_out(), name=f"{name}_conv1")(x)
    y = _norm_act(y, spec, name, 1)
    y = conv2d(y, width, 3, strides=strides, name=f"{name}_conv2")
    y = _norm_act(y, spec, name, 2)
    last = he_fan_out()
    y = keras.layers.Dense(4 * width, use_bias=False, kernel_initializer=last, name=f"{name}_conv3")(y)
    return batch_norm(spec.epsilon, f"{name}_norm3", gamma="zeros")(y)  # the block starts as its shortcut


def _basic(x: Tensor, spec: Spec, width: int, strides: int, name: str) -> Tensor:
    """3x3 with the stride, 3x3; (B, H, W, C) to (B, H/strides, W/strides, width)."""
    y = conv2d(x, width, 3, strides=strides, name=f"{name}_conv1")
    y = _norm_act(y, spec, name, 1)
    y = conv2d(y, width, 3, name=f"{name}_conv2")
    return batch_norm(spec.epsilon, f"{name}_norm2", gamma="zeros")(y)  # the block starts as its shortcut


def _norm_act(x: Tensor, spec: Spec, name: str, number: int | str = "") -> Tensor:
    x = batch_norm(spec.epsilon, f"{name}_norm{number}")(x)
    return Activation(spec.activation, name=f"{name}_act{number}")(x)


def _block(x: Tensor, spec: Spec, width: int, strides: int, rate: float, name: str) -> Tensor:
    """A residual branch with attention, and the shortcut; (B, H, W, C) to (B, H/strides, W/strides, C')."""
    y = BRANCHES[spec.block](x, spec, width, strides, name)
    attention = channel_attention(spec.attention, name, he_fan_out)
    if attention is not None:
        y = attention(y)
    if rate > 0:
        y = StochasticDepth(rate, name=f"{name}_drop")(y)
    y = keras.layers.Add(name=f"{name}_add")([y, _shortcut(x, spec, y.shape[-1], strides, name)])
    return Activation(spec.activation, name=f"{name}_act")(y)


def _plain_stem(x: Tensor, spec: Spec) -> Tensor:
    """7x7 and pooling; (B, S, S, 3) to (B, S/4, S/4, C)."""
    x = conv2d(x, spec.widths[0], 7, strides=2, name="stem_conv")
    return stem_max_pool(_norm_act(x, spec, "stem"), "stem_pool")


def _convolutional_stem(x: Tensor, spec: Spec) -> Tensor:
    """Two 3x3 of stride 2; (B, S, S, 3) to (B, S/4, S/4, C)."""
    for number, width in enumerate((spec.widths[0] // 2, spec.widths[0]), 1):
        x = conv2d(x, width, 3, strides=2, name=f"stem_conv{number}")
        x = _norm_act(x, spec, "stem", number)
    return x


def _deep_stem(x: Tensor, spec: Spec) -> Tensor:
    """Three 3x3, the first of stride 2, and pooling (arXiv:1812.01187); (B, S, S, 3) to (B, S/4, S/4, C)."""
    half = spec.widths[0] // 2
    for number, (width, strides) in enumerate(((half, 2), (half, 1), (spec.widths[0], 1)), 1):
        x = conv2d(x, width, 3, strides=strides, name=f"stem_conv{number}")
        x = _norm_act(x, spec, "stem", number)
    return stem_max_pool(x, "stem_pool")


BRANCHES = {"basic": _basic, "bottleneck": _bottleneck}
STEMS = {"plain": _plain_stem, "convolutions": _convolutional_stem, "deep": _deep_stem}


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
    x = STEMS[spec.stem](x, spec)  # (B, S/4, S/4, C)
    # stages
    rates = iter(linear_rates(spec.stochastic_depth, sum(spec.depths)))
    for stage, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True)):
        for block in range(depth):
            strides = 2 if stage > 0 and block == 0 else 1
            x = _block(x, spec, width, strides, next(rates), f"stage{stage}_block{block}")
    # head
    if spec.head == "gap":
        x = average_pool(x, spec.pool_cells, spec.pool_overlap)  # (B, cells * cells * C)
    else:
        x = attention_head(x, spec, num_labels, epsilon=spec.epsilon)  # (B, C) or (B, K, D)
    x = head_dropout(x, spec.dropout)
    outputs = classifier(x, num_labels, classifier_activation, normal(0.01))
    return keras.Model(image, outputs, name=name)


# Weights from files of the original zoo; Models/porting/original_rules.py explains the columns.
IMPORT_RULES = (
    (r"stem_conv", r"root_conv2d_01", {}),
    (r"stem_norm", r"root_bn_01", {}),
    (r"stage(\d+)_block(\d+)_conv(\d)", r"block\1_cell\2_conv2d_0\3", {}),
    (r"stage(\d+)_block(\d+)_norm(\d)", r"block\1_cell\2_bn_0\3", {}),
    (r"stage(\d+)_block(\d+)_shortcut", r"block\1_cell\2_conv2d_shortcut", {}),
    (r"stage\d+_block\d+_se", r"se_block{k}", original_rules.SE),
    (r"stage\d+_block\d+_eca", r"eca_block{k}", original_rules.ECA),
    (r"head_logits", r"predictions_dense", {}),
)
# Weights from and to folders of timm; Models/porting/timm_rules.py explains the fields.
_TIMM_SIZES = ("18", "34", "50", "101", "152")
_BLOCK, _TIMM_BLOCK = r"stage(\d+)_block(\d+)", r"layer{\1+1}.\2"
TIMM = timm_rules.Rules(
    models={f"resnet{depth}": (depth, {}) for depth in _TIMM_SIZES}
    | {f"resnet{depth}d": (depth, {"stem": "deep", "shortcut": "average"}) for depth in _TIMM_SIZES},
    fields={"epsilon": 1e-5, "shortcut": "stride", "shortcut_norm": True},
    arguments={"layers": "depths", "avg_down": ("shortcut", {True: "average", False: "stride"})},
    fixed={
        "global_pool": "avg", "output_stride": 32, "cardinality": 1, "base_width": 64,
        "block_reduce_first": 1, "down_kernel_size": 1, "replace_stem_pool": False, "act_layer": "relu",
        "aa_layer": None, "channels": (64, 128, 256, 512),
    },
    layers=(
        (r"stem_conv", "conv1", {}),
        (r"stem_conv1", "conv1.0", {}),
        (r"stem_norm1", "conv1.1", {}),
        (r"stem_conv2", "conv1.3", {}),
        (r"stem_norm2", "conv1.4", {}),
        (r"stem_conv3", "conv1.6", {}),
        (r"stem_norm3?", "bn1", {}),
        (f"{_BLOCK}_conv([13])", rf"{_TIMM_BLOCK}.conv\3", timm_rules.POINTWISE, {"block": "bottleneck"}),
        (f"{_BLOCK}_conv(\\d)", rf"{_TIMM_BLOCK}.conv\3", {}),
        (f"{_BLOCK}_norm(\\d)", rf"{_TIMM_BLOCK}.bn\3", {}),
        (f"{_BLOCK}_shortcut", f"{_TIMM_BLOCK}.downsample.0", timm_rules.POINTWISE, {"shortcut": "stride"}),
        (f"{_BLOCK}_shortcut", f"{_TIMM_BLOCK}.downsample.1", timm_rules.POINTWISE),
        (f"{_BLOCK}_shortcut_norm", f"{_TIMM_BLOCK}.downsample.1", {}, {"shortcut": "stride"}),
        (f"{_BLOCK}_shortcut_norm", f"{_TIMM_BLOCK}.downsample.2", {}),
        (r"head_logits", "fc", {}),
    ),
)  # fmt: skip
