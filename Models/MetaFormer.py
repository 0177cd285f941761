"""MetaFormer: CAFormer (separable convolutions, then attention) and ConvFormer (separable convolutions).

Paper: "MetaFormer Baselines for Vision" (arXiv:2210.13452). Official code: https://github.com/sail-sg/metaformer.
Deviations: none in what is computed. Stochastic depth grows as ``rate * i / blocks``.
Initialization (official code): all kernels truncated normal with deviation 0.02, biases 0, scales of the
shortcuts 1; StarReLU begins with its published scale 0.8944 and bias -0.4472.
"""

import dataclasses

import keras

from Models.layers.activations import Activation, StarReLU
from Models.layers.attention import SelfAttention
from Models.layers.convolution import depthwise_conv2d
from Models.layers.initializers import truncated_normal
from Models.layers.model_ends import HeadOptions, attention_head, classifier, head_dropout, image_input
from Models.layers.randomness import Rate
from Models.layers.residual import LayerScale, StochasticDepth, linear_rates
from Models.layers.scaling import ScalingName
from Models.layers.tensors import Tensor
from Models.layers.tokens import SquareMap
from Models.porting import timm_rules

PAPER = "arXiv:2210.13452"
HEAD_CHANNELS = 32  # of a head of attention


@dataclasses.dataclass(frozen=True)
class Spec(HeadOptions):
    """One variant: blocks and channels of each stage, and the options a user may override."""

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    source: str
    attention_from: int = 2  # the first stage, from 0, that mixes tokens by attention
    scaled_from: int = 2  # the first stage, from 0, whose shortcuts have learned scales
    mlp_head: bool = True  # a hidden layer of 4 times the width before the classifier
    epsilon: float = 1e-6
    stochastic_depth: Rate = 0.0
    dropout: Rate = 0.0
    input_scaling: ScalingName | None = "inception"


_SHAPES = {
    "S18": ((3, 3, 9, 3), (64, 128, 320, 512), 0.15),
    "S36": ((3, 12, 18, 3), (64, 128, 320, 512), 0.3),
    "M36": ((3, 12, 18, 3), (96, 192, 384, 576), 0.4),
    "B36": ((3, 12, 18, 3), (128, 256, 512, 768), 0.6),
}
_SOURCE = "arXiv:2210.13452, table 1"
VARIANTS = {
    f"{kind}-{size}": Spec(depths, widths, _SOURCE, attention_from, stochastic_depth=rate)
    for kind, attention_from in (("CAFormer", 2), ("ConvFormer", 4))
    for size, (depths, widths, rate) in _SHAPES.items()
}
VARIANTS |= {
    "test": Spec((1, 1, 1, 1), (8, 8, 32, 32), "for tests", stochastic_depth=0.1),
    "conv-test": Spec((1, 2), (8, 16), "for tests", 2, 1, mlp_head=False),
}

# No weight decay for weights whose path matches one of these: all but kernels.
NO_DECAY = (r"/(bias|gamma|beta|scale|latent)$",)
# No adaptive gradient clipping for the classifier (arXiv:2102.06171).
NO_CLIP = (r"^head_logits/",)
# Axes along which --shard-model may split a weight among devices; the first pattern found in its path counts.
SHARD_AXES = (
    (r"_conv2/kernel$", (-2,)),  # depthwise, (7, 7, C, 1)
    (r"_(conv3|attention/output|dense2)/kernel$", (-2, -1)),  # back to the width of the block
    (r"/kernel$", (-1, -2)),
)


def _norm(spec: Spec, name: str) -> keras.layers.Layer:
    """Layer normalization over channels without a shift."""
    return keras.layers.LayerNormalization(epsilon=spec.epsilon, center=False, name=name)


def _dense(width: int, name: str, use_bias: bool = False) -> keras.layers.Layer:
    return keras.layers.Dense(width, use_bias=use_bias, kernel_initializer=truncated_normal(), name=name)


def _convolution(x: Tensor, filters: int, size: int, strides: int, padding: int, name: str) -> Tensor:
    """Convolve with a stride and a bias after ``padding`` zeros on each side."""
    x = keras.layers.ZeroPadding2D(padding, name=f"{name}_pad")(x)
    return keras.layers.Conv2D(
        filters, size, strides=strides, kernel_initializer=truncated_normal(), name=name
    )(x)


def _separable_convolution(x: Tensor, name: str) -> Tensor:
    """Widen twofold, StarReLU, depthwise 7x7, and back; (B, H, W, C) to the same."""
    channels = x.shape[-1]
    x = _dense(2 * channels, f"{name}_conv1")(x)
    x = StarReLU(name=f"{name}_act1")(x)
    x = depthwise_conv2d(x, 7, initializer=truncated_normal(), use_bias=False, name=f"{name}_conv2")
    return _dense(channels, f"{name}_conv3")(x)


def _add(x: Tensor, y: Tensor, scaled: bool, rate: float, name: str, index: int) -> Tensor:
    """Add a branch after stochastic depth to the shortcut, which may have a learned scale."""
    if rate > 0:
        y = StochasticDepth(rate, name=f"{name}_drop{index}")(y)
    if scaled:
        x = LayerScale(1.0, name=f"{name}_scale{index}")(x)
    return keras.layers.Add(name=f"{name}_add{index}")([x, y])


def _block(x: Tensor, spec: Spec, stage: int, rate: float, name: str) -> Tensor:
    """Token mixing, then an MLP on every token; (B, H, W, C) or, with attention, (B, N, C) to the same."""
    channels, scaled = x.shape[-1], stage >= spec.scaled_from
    y = _norm(spec, f"{name}_norm1")(x)
    if stage >= spec.attention_from:
        heads = max(channels // HEAD_CHANNELS, 1)
        y = SelfAttention(heads, use_bias=False, output_bias=False, name=f"{name}_attention")(y)
    else:
        y = _separable_convolution(y, name)
    x = _add(x, y, scaled, rate, name, 1)
    y = _norm(spec, f"{name}_norm2")(x)
    y = _dense(4 * channels, f"{name}_dense1")(y)
    y = StarReLU(name=f"{name}_act2")(y)
    y = _dense(channels, f"{name}_dense2")(y)
    return _add(x, y, scaled, rate, name, 2)


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
    x = _convolution(x, spec.widths[0], 7, 4, 2, "stem_conv")  # (B, S/4, S/4, C)
    x = _norm(spec, "stem_norm")(x)
    # stages
    rates = iter(linear_rates(spec.stochastic_depth, sum(spec.depths)))
    for stage, (depth, width) in enumerate(zip(spec.depths, spec.widths, strict=True)):
        if stage > 0 and width != spec.widths[stage - 1]:
            x = _norm(spec, f"stage{stage}_down_norm")(x)
            x = _convolution(x, width, 3, 2, 1, f"stage{stage}_down_conv")  # (B, H/2, W/2, C)
        if stage >= spec.attention_from:
            x = keras.layers.Reshape((-1, width), name=f"stage{stage}_tokens")(x)  # (B, N, C)
        for block in range(depth):
            x = _block(x, spec, stage, next(rates), f"stage{stage}_block{block}")
        if stage >= spec.attention_from:
            x = SquareMap(name=f"stage{stage}_map")(x)  # (B, H, W, C)
    # head
    if spec.head == "gap":
        x = keras.layers.GlobalAveragePooling2D(name="head_pool")(x)  # (B, C)
    x = keras.layers.LayerNormalization(epsilon=spec.epsilon, name="head_norm")(x)
    if spec.head != "gap":
        x = attention_head(x, spec, num_labels, epsilon=spec.epsilon)  # (B, C) or (B, K, D)
    if spec.mlp_head and spec.head != "ml_decoder":
        x = _dense(4 * spec.widths[-1], "head_dense", use_bias=True)(x)  # (B, 4C)
        x = Activation("squared_relu", name="head_act")(x)
        x = keras.layers.LayerNormalization(epsilon=spec.epsilon, name="head_dense_norm")(x)
    x = head_dropout(x, spec.dropout)
    outputs = classifier(x, num_labels, classifier_activation, truncated_normal())
    return keras.Model(image, outputs, name=name)


# Weights from and to folders of timm; Models/porting/timm_rules.py explains the fields.
_BLOCK, _THEIRS = r"stage(\d+)_block(\d+)", r"stages.\1.blocks.\2"
TIMM = timm_rules.Rules(
    models={
        variant.replace("-", "_").lower(): (variant, {})
        for variant in VARIANTS
        if not variant.endswith("test")
    },
    arguments={"use_mlp_head": "mlp_head"},
    fixed={
        "global_pool": "avg", "mlp_bias": False, "layer_scale_init_values": None,
        "res_scale_init_values": (None, None, 1.0, 1.0),
    },
    layers=(
        (r"stem_conv", "stem.conv", {}),
        (r"stem_norm", "stem.norm", {}),
        (r"stage(\d+)_down_norm", r"stages.\1.downsample.norm", {}),
        (r"stage(\d+)_down_conv", r"stages.\1.downsample.conv", {}),
        (rf"{_BLOCK}_norm(\d)", rf"{_THEIRS}.norm\3", {}),
        (rf"{_BLOCK}_conv1", rf"{_THEIRS}.token_mixer.pwconv1", timm_rules.POINTWISE),
        (rf"{_BLOCK}_act1", rf"{_THEIRS}.token_mixer.act1", timm_rules.STAR_RELU),
        (rf"{_BLOCK}_conv2", rf"{_THEIRS}.token_mixer.dwconv", {}),
        (rf"{_BLOCK}_conv3", rf"{_THEIRS}.token_mixer.pwconv2", timm_rules.POINTWISE),
        (rf"{_BLOCK}_attention", rf"{_THEIRS}.token_mixer", timm_rules.SELF_ATTENTION),
        (rf"{_BLOCK}_dense(\d)", rf"{_THEIRS}.mlp.fc\3", {}),
        (rf"{_BLOCK}_act2", rf"{_THEIRS}.mlp.act", timm_rules.STAR_RELU),
        (rf"{_BLOCK}_scale(\d)", rf"{_THEIRS}.res_scale\3", {"scale": timm_rules.TimmName("scale")}),
        (r"head_norm", "head.norm", {}),
        (r"head_dense", "head.fc.fc1", {}),
        (r"head_dense_norm", "head.fc.norm", {}),
        (r"head_logits", "head.fc.fc2", {}, {"mlp_head": True}),
        (r"head_logits", "head.fc", {}),
    ),
)  # fmt: skip
