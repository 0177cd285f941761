"""ResNet with the tweaks of "Bag of Tricks", but the plain 7x7 stem.

Papers: "Deep Residual Learning for Image Recognition" (arXiv:1512.03385), "Bag of Tricks for Image
Classification with Convolutional Neural Networks" (arXiv:1812.01187). Official code: GluonCV.
Deviations: shortcuts are a 1x1 convolution with bias and without batch norm; stochastic depth grows as
``rate * i / blocks``; channel attention is an option.
"""

import dataclasses

import keras

from Models.layers import original_names
from Models.layers.activations import Activation, ActivationName
from Models.layers.attention import ChannelAttentionName, channel_attention
from Models.layers.convolution import conv2d, stem_max_pool
from Models.layers.head import classifier, image_input
from Models.layers.normalization import batch_norm
from Models.layers.randomness import Dropout, Rate
from Models.layers.residual import StochasticDepth, linear_rates
from Models.layers.scaling import ScalingName

PAPER = "arXiv:1512.03385, arXiv:1812.01187"


@dataclasses.dataclass(frozen=True)
class Spec:
    """One variant: blocks and inner channels of each stage, and the options a user may override."""

    depths: tuple[int, ...]
    source: str
    widths: tuple[int, ...] = (64, 128, 256, 512)
    activation: ActivationName = "relu"
    attention: ChannelAttentionName | None = None
    epsilon: float = 1e-6  # the original zoo: 1e-3
    stochastic_depth: Rate = 0.1
    dropout: Rate = 0.25  # the original zoo trained with 0
    input_scaling: ScalingName | None = "inception"


VARIANTS = {
    "50": Spec((3, 4, 6, 3), "arXiv:1512.03385, table 1"),
    "101": Spec((3, 4, 23, 3), "arXiv:1512.03385, table 1"),
    "152": Spec((3, 8, 36, 3), "arXiv:1512.03385, table 1"),
    "test": Spec((1, 2, 1, 1), "for tests", widths=(4, 4, 8, 8)),
}

# Weight decay is for kernels; searched in variable.path.
NO_DECAY = (r"/(bias|gamma|beta)$", r"_eca/kernel$")
# What adaptive gradient clipping leaves alone (arXiv:2102.06171): the classifier.
NO_CLIP = (r"^head_logits/",)


def _shortcut(x, width, strides, name):
    """Return x itself where shapes allow, else average 2 x 2 where strides > 1 and project."""
    if strides == 1 and x.shape[-1] == width:
        return x
    if strides > 1:
        x = keras.layers.AveragePooling2D(2, strides=strides, padding="same", name=f"{name}_pool")(x)
    return keras.layers.Dense(width, name=f"{name}_shortcut")(x)


def _block(x, spec, width, strides, rate, name):
    """Bottleneck, the stride in its 3x3; (B, H, W, C) to (B, H/strides, W/strides, 4 * width)."""
    attention = channel_attention(spec.attention, name)
    y = keras.layers.Dense(width, use_bias=False, name=f"{name}_conv1")(x)
    y = batch_norm(spec.epsilon, f"{name}_norm1")(y)
    y = Activation(spec.activation, name=f"{name}_act1")(y)
    y = conv2d(y, width, 3, strides=strides, name=f"{name}_conv2")
    y = batch_norm(spec.epsilon, f"{name}_norm2")(y)
    y = Activation(spec.activation, name=f"{name}_act2")(y)
    y = keras.layers.Dense(4 * width, use_bias=False, name=f"{name}_conv3")(y)
    y = batch_norm(spec.epsilon, f"{name}_norm3", gamma="zeros")(y)  # the block starts as its shortcut
    if attention is not None:
        y = attention(y)
    if rate > 0:
        y = StochasticDepth(rate, name=f"{name}_drop")(y)
    y = keras.layers.Add(name=f"{name}_add")([y, _shortcut(x, 4 * width, strides, name)])
    return Activation(spec.activation, name=f"{name}_act3")(y)


def build(spec, image_size, num_labels, classifier_activation=None, name=None):
    """Return the model for one ``Spec``: ``image`` (B, S, S, 3), 0..255, to (B, num_labels)."""
    # stem
    image, x = image_input(image_size, spec.input_scaling)
    x = conv2d(x, spec.widths[0], 7, strides=2, name="stem_conv")
    x = batch_norm(spec.epsilon, "stem_norm")(x)
    x = Activation(spec.activation, name="stem_act")(x)
    x = stem_max_pool(x, "stem_pool")  # (B, S/4, S/4, C)
    # stages
    rates = iter(linear_rates(spec.stochastic_depth, sum(spec.depths)))
    for stage, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True)):
        for block in range(depth):
            strides = 2 if stage > 0 and block == 0 else 1
            x = _block(x, spec, width, strides, next(rates), f"stage{stage}_block{block}")
    # head
    x = keras.layers.GlobalAveragePooling2D(name="head_pool")(x)  # (B, C)
    if spec.dropout > 0:
        x = Dropout(spec.dropout, name="head_dropout")(x)
    initializer = keras.initializers.RandomNormal(stddev=0.01)
    outputs = classifier(x, num_labels, classifier_activation, initializer)
    return keras.Model(image, outputs, name=name)


# From the files of the original zoo; the form is told in Models/layers/original_names.py.
IMPORT_RULES = (
    (r"stem_conv", r"root_conv2d_01", {}),
    (r"stem_norm", r"root_bn_01", {}),
    (r"stage(\d+)_block(\d+)_conv(\d)", r"block\1_cell\2_conv2d_0\3", {}),
    (r"stage(\d+)_block(\d+)_norm(\d)", r"block\1_cell\2_bn_0\3", {}),
    (r"stage(\d+)_block(\d+)_shortcut", r"block\1_cell\2_conv2d_shortcut", {}),
    (r"stage\d+_block\d+_se", r"se_block{k}", original_names.SE),
    (r"stage\d+_block\d+_eca", r"eca_block{k}", original_names.ECA),
    (r"head_logits", r"predictions_dense", {}),
)
