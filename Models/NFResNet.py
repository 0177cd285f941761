"""NFResNet: ResNet with weight standardization and variance bookkeeping in place of batch norm.

Paper: "Characterizing signal propagation to close the performance gap in unnormalized ResNets"
(arXiv:2101.08692). Official code: https://github.com/google-deepmind/deepmind-research/tree/master/nfnets.
Deviations: shortcuts average 2 x 2 before their convolution; no activation before the stem's pooling;
stochastic depth grows as ``rate * i / blocks``.
Initialization (official code): kernels normal of variance 1 / fan_in before their standardization, gains 1,
the gain of every branch (SkipInit) 0, biases 0, the classifier normal with deviation 0.01.
"""

import dataclasses

import keras

from Models.layers.activations import ActivationName
from Models.layers.attention import ChannelAttentionName
from Models.layers.convolution import ScaledConv2D, stem_max_pool
from Models.layers.initializers import normal
from Models.layers.model_ends import HeadOptions, attention_head, classifier, head_dropout, image_input
from Models.layers.normalizer_free import activate, expected_betas, merge, shortcut
from Models.layers.randomness import Rate
from Models.layers.residual import linear_rates
from Models.layers.scaling import ScalingName
from Models.layers.tensors import Tensor
from Models.porting import original_rules

PAPER = "arXiv:2101.08692"


@dataclasses.dataclass(frozen=True)
class Spec(HeadOptions):
    """One variant: blocks and inner channels of each stage, and the options a user may override."""

    depths: tuple[int, ...]
    source: str
    widths: tuple[int, ...] = (64, 128, 256, 512)
    activation: ActivationName = "relu"
    attention: ChannelAttentionName | None = None
    stochastic_depth: Rate = 0.1
    dropout: Rate = 0.25
    compensate_avgpool_var: bool = False
    input_scaling: ScalingName | None = "inception"


VARIANTS = {
    "50": Spec((3, 4, 6, 3), "arXiv:1512.03385, table 1"),
    "101": Spec((3, 4, 23, 3), "arXiv:1512.03385, table 1"),
    "152": Spec((3, 8, 36, 3), "arXiv:1512.03385, table 1"),
    "test": Spec((1, 2, 1, 1), "for tests", widths=(4, 4, 8, 8)),
}

# No weight decay for weights whose path matches one of these: all but kernels.
NO_DECAY = (r"/(bias|gain|scale|gamma|beta|latent)$", r"_eca/kernel$")
# No adaptive gradient clipping for the classifier (arXiv:2102.06171).
NO_CLIP = (r"^head_logits/",)
# Axes along which --shard-model may split a weight among devices; the first pattern found in its path counts.
# Filters are standardized one by one: they are split by their number.
SHARD_AXES = ((r"_eca/", ()), (r"/kernel$", (-1, -2)))


def _block(x: Tensor, spec: Spec, width: int, strides: int, beta: float, rate: float, name: str) -> Tensor:
    """Bottleneck; (B, H, W, C) to (B, H/strides, W/strides, 4 * width)."""
    h = activate(x, spec.activation, f"{name}_act0", beta)
    y = ScaledConv2D(width, 1, name=f"{name}_conv1")(h)
    y = activate(y, spec.activation, f"{name}_act1")
    y = ScaledConv2D(width, 3, strides=strides, name=f"{name}_conv2")(y)
    y = activate(y, spec.activation, f"{name}_act2")
    y = ScaledConv2D(4 * width, 1, name=f"{name}_conv3")(y)
    around = shortcut(x, h, 4 * width, strides, spec.compensate_avgpool_var, name)
    return merge(y, around, spec.attention, rate, name)


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
    x = ScaledConv2D(spec.widths[0], 7, strides=2, use_bias=False, name="stem_conv")(x)
    x = stem_max_pool(x, "stem_pool")  # (B, S/4, S/4, C)
    # stages
    rates = iter(linear_rates(spec.stochastic_depth, sum(spec.depths)))
    betas = iter(expected_betas(spec.depths))
    for stage, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True)):
        for block in range(depth):
            strides = 2 if stage > 0 and block == 0 else 1
            x = _block(x, spec, width, strides, next(betas), next(rates), f"stage{stage}_block{block}")
    # head
    x = activate(x, spec.activation, "head_act")
    if spec.head == "gap":
        x = keras.layers.GlobalAveragePooling2D(name="head_pool")(x)  # (B, C)
    else:
        x = attention_head(x, spec, num_labels)  # (B, C) or (B, K, D)
    x = head_dropout(x, spec.dropout)
    outputs = classifier(x, num_labels, classifier_activation, normal(0.01))
    return keras.Model(image, outputs, name=name)


# Weights from files of the original zoo; Models/porting/original_rules.py explains the columns.
IMPORT_RULES = (
    (r"stem_conv", r"root_conv2d_01", {}),
    (r"stage(\d+)_block(\d+)_conv(\d)", r"block\1_cell\2_conv2d_0\3", {}),
    (r"stage(\d+)_block(\d+)_shortcut", r"block\1_cell\2_conv2d_shortcut", {}),
    (r"stage\d+_block\d+_se", r"se_block{k}", original_rules.SE),
    (r"stage\d+_block\d+_eca", r"eca_block{k}", original_rules.ECA),
    (r"stage\d+_block\d+_skip", r"skip_init{k}", original_rules.SCALE),
    (r"head_logits", r"predictions_dense", {}),
)
