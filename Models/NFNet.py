"""NFNet: a residual network without normalization, and its light variants (L) of timm.

Paper: "High-Performance Large-Scale Image Recognition Without Normalization" (arXiv:2102.06171).
Official code: https://github.com/google-deepmind/deepmind-research/tree/master/nfnets.
Deviations: attention is an option (the paper has squeeze-excite throughout); activation SiLU by default;
shortcuts average with "same" padding; stochastic depth grows as ``rate * i / blocks``.
Initialization (official code): kernels normal of variance 1 / fan_in before their standardization, gains 1,
the gain of every branch (SkipInit) 0, biases 0, the classifier normal with deviation 0.01.
"""

import dataclasses
from typing import Any, Literal

import keras

from Models.layers.activations import GAMMAS, ActivationName
from Models.layers.attention import ChannelAttentionName
from Models.layers.convolution import ScaledConv2D
from Models.layers.initializers import normal
from Models.layers.model_ends import HeadOptions, attention_head, classifier, head_dropout, image_input
from Models.layers.normalizer_free import activate, expected_betas, merge, shortcut
from Models.layers.randomness import Rate
from Models.layers.residual import linear_rates
from Models.layers.scaling import ScalingName
from Models.layers.tensors import Tensor
from Models.porting import original_rules, timm_rules

PAPER = "arXiv:2102.06171"


@dataclasses.dataclass(frozen=True)
class Spec(HeadOptions):
    """One variant: blocks and channels of each stage, and the options a user may override."""

    depths: tuple[int, ...]
    source: str
    widths: tuple[int, ...] = (256, 512, 1536, 1536)
    group_size: int = 64
    bottleneck: float = 0.25
    head_factor: float = 1.5  # channels of the last convolution / channels of the last stage
    activation: ActivationName = "silu"
    attention: ChannelAttentionName | None = None
    attention_ratio: float = 0.5  # hidden width of "se" / channels
    stochastic_depth: Rate = 0.1
    dropout: Rate = 0.2
    compensate_avgpool_var: bool = False  # True for the released weights of the original zoo
    padding: Literal["symmetric", "same"] = "symmetric"  # "same": as DeepMind and Keras pad
    skip_init: bool = True
    # Which of the two includes the gamma of the activation.
    variance_in: Literal["activation", "kernel"] = "activation"
    kernel_epsilon: float | None = None  # added to the variance; None: fan_in * variance is at least 1e-4
    input_scaling: ScalingName | None = "inception"


VARIANTS = {
    "F0": Spec(
        (1, 2, 6, 3),
        "arXiv:2102.06171, table 1",
        group_size=128,
        bottleneck=0.5,
        head_factor=2.0,
        dropout=0.2,
    ),
    "L0": Spec((1, 2, 6, 3), "timm nfnet_l0", head_factor=1.5, dropout=0.2),
    "L1": Spec((2, 4, 12, 6), "timm eca_nfnet_l1", head_factor=2.0, dropout=0.3),
    "L2": Spec((3, 6, 18, 9), "timm eca_nfnet_l2", head_factor=2.0, dropout=0.4),
    "test": Spec((1, 2, 1, 1), "for tests", widths=(16, 16, 32, 32), group_size=4, bottleneck=0.5),
    "kernel-test": Spec(
        (1, 1),
        "for tests",
        widths=(16, 32),
        group_size=8,
        bottleneck=0.5,
        attention_ratio=0.25,
        padding="same",
        variance_in="kernel",
        kernel_epsilon=1e-5,
    ),
}

# No weight decay for weights whose path matches one of these: all but kernels.
NO_DECAY = (r"/(bias|gain|scale|gamma|beta|latent)$", r"_eca/kernel$")
# The paper does not clip the classifier; it clips the last convolution.
NO_CLIP = (r"^head_logits/",)
# Axes along which --shard-model may split a weight among devices; the first pattern found in its path counts.
# Filters are standardized one by one: they are split by their number.
SHARD_AXES = ((r"_eca/", ()), (r"/kernel$", (-1, -2)))


def _block(x: Tensor, spec: Spec, width: int, strides: int, beta: float, rate: float, name: str) -> Tensor:
    """Bottleneck with two grouped 3x3; (B, H, W, C) to (B, H/strides, W/strides, width)."""
    inner = int(width * spec.bottleneck / spec.group_size) * spec.group_size
    groups = inner // spec.group_size
    options = _conv_options(spec)
    h = _activate(x, spec, f"{name}_act0", beta)
    y = ScaledConv2D(inner, 1, name=f"{name}_conv1", **options)(h)
    y = _activate(y, spec, f"{name}_act1")
    y = ScaledConv2D(inner, 3, strides=strides, groups=groups, name=f"{name}_conv2", **options)(y)
    y = _activate(y, spec, f"{name}_act2")
    y = ScaledConv2D(inner, 3, groups=groups, name=f"{name}_conv3", **options)(y)
    y = _activate(y, spec, f"{name}_act3")
    y = ScaledConv2D(width, 1, initial_gain=float(spec.skip_init), name=f"{name}_conv4", **options)(y)
    around = shortcut(x, h, width, strides, spec.compensate_avgpool_var, name, **options)
    return merge(y, around, spec.attention, rate, name, spec.attention_ratio, spec.skip_init)


def _activate(x: Tensor, spec: Spec, name: str, scale: float = 1.0) -> Tensor:
    return activate(x, spec.activation, name, scale, spec.variance_in == "activation")


def _conv_options(spec: Spec) -> dict[str, Any]:
    """Return the arguments that all convolutions of a model share."""
    scale = GAMMAS[spec.activation] if spec.variance_in == "kernel" else 1.0
    return {"padding": spec.padding, "epsilon": spec.kernel_epsilon, "scale": scale}


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
    for index, (width, strides) in enumerate(((16, 2), (32, 1), (64, 1), (128, 2)), 1):
        if index > 1:
            x = _activate(x, spec, f"stem_act{index - 1}")
        x = ScaledConv2D(width, 3, strides=strides, name=f"stem_conv{index}", **_conv_options(spec))(x)
    # (B, S/4, S/4, 128)
    # stages
    rates = iter(linear_rates(spec.stochastic_depth, sum(spec.depths)))
    betas = iter(expected_betas(spec.depths))
    for stage, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True)):
        for block in range(depth):
            strides = 2 if stage > 0 and block == 0 else 1
            x = _block(x, spec, width, strides, next(betas), next(rates), f"stage{stage}_block{block}")
    # head
    x = ScaledConv2D(int(spec.widths[-1] * spec.head_factor), 1, name="head_conv", **_conv_options(spec))(x)
    x = _activate(x, spec, "head_act")
    if spec.head == "gap":
        x = keras.layers.GlobalAveragePooling2D(name="head_pool")(x)  # (B, C)
    else:
        x = attention_head(x, spec, num_labels)  # (B, C) or (B, K, D)
    x = head_dropout(x, spec.dropout)
    outputs = classifier(x, num_labels, classifier_activation, normal(0.01))
    return keras.Model(image, outputs, name=name)


# Weights from files of the original zoo; Models/porting/original_rules.py explains the columns.
IMPORT_RULES = (
    (r"stem_conv(\d)", r"root_conv2d_0\1", {}),
    (r"stage(\d+)_block(\d+)_conv(\d)", r"block\1_cell\2_conv2d_0\3", {}),
    (r"stage(\d+)_block(\d+)_shortcut", r"block\1_cell\2_conv2d_shortcut", {}),
    (r"stage\d+_block\d+_se", r"se_block{k}", original_rules.SE),
    (r"stage\d+_block\d+_eca", r"eca_block{k}", original_rules.ECA),
    (r"stage\d+_block\d+_skip", r"skip_init{k}", original_rules.SCALE),
    (r"head_conv", r"predictions_conv2d", {}),
    (r"head_logits", r"predictions_dense", {}),
)
# Weights from and to folders of timm; Models/porting/timm_rules.py explains the fields.
_DEEPMIND = {"activation": "gelu", "padding": "same", "skip_init": True, "variance_in": "activation"}
_LIGHT = {"attention": "se", "attention_ratio": 0.25, "activation": "silu"}
_BLOCK, _TIMM_BLOCK = r"stage(\d+)_block(\d+)", r"stages.\1.\2"
TIMM = timm_rules.Rules(
    models={
        "dm_nfnet_f0": ("F0", _DEEPMIND),
        "nfnet_f0": ("F0", {}),
        "nfnet_l0": ("L0", _LIGHT),
        "eca_nfnet_l0": ("L0", _LIGHT | {"attention": "eca"}),
        "eca_nfnet_l1": ("L1", _LIGHT | {"attention": "eca"}),
        "eca_nfnet_l2": ("L2", _LIGHT | {"attention": "eca"}),
    },
    fields={
        "activation": "gelu", "attention": "se", "attention_ratio": 0.5, "skip_init": False,
        "variance_in": "kernel", "kernel_epsilon": 1e-5,
    },
    arguments={
        "depths": "depths",
        "channels": "widths",
        "group_size": "group_size",
        "bottle_ratio": "bottleneck",
        "num_features": ("head_factor", "over last width"),
        "act_layer": timm_rules.ACTIVATION,
        "attn_layer": ("attention", {"": None}),
        "attn_kwargs": ("attention_ratio", "reduction"),
        "same_padding": ("padding", {True: "same", False: "symmetric"}),
        "skipinit": "skip_init",
        "gamma_in_act": ("variance_in", {True: "activation", False: "kernel"}),
        "std_conv_eps": ("kernel_epsilon", {1e-12: None}),
    },
    fixed={
        "global_pool": "avg", "output_stride": 32, "alpha": 0.2, "stem_type": "deep_quad", "stem_chs": 128,
        "attn_gain": 2.0, "width_factor": 1.0, "ch_div": 8, "reg": False, "extra_conv": True,
    },
    layers=(
        (r"stem_conv(\d)", r"stem.conv\1", timm_rules.SCALED_CONVOLUTION),
        (f"{_BLOCK}_conv3", f"{_TIMM_BLOCK}.conv2b", timm_rules.SCALED_CONVOLUTION),
        (f"{_BLOCK}_conv4", f"{_TIMM_BLOCK}.conv3", timm_rules.SCALED_CONVOLUTION),
        (f"{_BLOCK}_conv(\\d)", rf"{_TIMM_BLOCK}.conv\3", timm_rules.SCALED_CONVOLUTION),
        (f"{_BLOCK}_shortcut", f"{_TIMM_BLOCK}.downsample.conv", timm_rules.SCALED_CONVOLUTION),
        (f"{_BLOCK}_se", f"{_TIMM_BLOCK}.attn_last", timm_rules.SE),
        (f"{_BLOCK}_eca", f"{_TIMM_BLOCK}.attn_last", timm_rules.ECA),
        (f"{_BLOCK}_skip", f"{_TIMM_BLOCK}.skipinit_gain", timm_rules.SKIP),
        (r"head_conv", "final_conv", timm_rules.SCALED_CONVOLUTION),
        (r"head_logits", "head.fc", {}),
    ),
)  # fmt: skip
