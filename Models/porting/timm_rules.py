"""Names of timm's models, arguments, layers and weights: the classes of the families' ``TIMM`` rules.

A rule for layers is ``(our layer, timm's prefix, {our path below the layer: TimmName})``. Our layer is a
regex for the whole name of a layer; its groups may be used on the right, ``{\\1+1}`` adds 1 to a group.
Weights that are not listed have the names of ``USUAL``. A fourth element, ``{field of the Spec: value}``, is
a condition; the first rule that matches and whose condition holds counts.

Kernels are transposed from (out, in, ...) to (..., in, out); all else keeps its order. A tuple of TimmNames
gives alternatives: an import reads the first that a file has, an export writes the first.
"""

import dataclasses
import re
from typing import Any


@dataclasses.dataclass(frozen=True)
class TimmName:
    """A weight of timm below a prefix, or one of ``parts`` equal parts of it along its first axis.

    ``ones``: how many more axes of length 1 timm's weight has, after ours (positive) or before (negative).
    """

    text: str
    part: int = 0
    parts: int = 1
    ones: int = 0


USUAL = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


@dataclasses.dataclass(frozen=True)
class Rules:
    """The correspondence of a family and models of timm.

    Args:
        models: ``{architecture of timm: (variant, fields of the Spec that differ from it there)}``.
        layers: the rules for layers.
        arguments: ``{argument of timm: field}`` or ``{argument of timm: (field, conversion)}``. A conversion
            is a table ``{timm's value: ours}`` or the name of one in ``Models/porting/timm_folder.py``. A
            field without an argument must have the value of the architecture.
        fields: fields of the Spec that differ from the variant in every model of timm.
        fixed: ``{argument of timm: the only value that the family supports, or a tuple of them}``.
        written: arguments that an export states in addition.
        sized: whether timm takes the image size as an argument, ``img_size``.
    """

    models: dict[str, tuple[str, dict[str, Any]]]
    layers: tuple[tuple[Any, ...], ...]
    arguments: dict[str, str | tuple[str, Any]]
    fields: dict[str, Any] = dataclasses.field(default_factory=dict)
    fixed: dict[str, Any] = dataclasses.field(default_factory=dict)
    written: dict[str, Any] = dataclasses.field(default_factory=dict)
    sized: bool = False

    def names(self, layer: str, weight: str, spec: Any) -> tuple[TimmName, ...]:
        """Return the full TimmNames of a weight of a layer of a model built from ``spec``, best first.

        Raises LookupError if no rule covers the layer or the weight.
        """
        for pattern, prefix, renamed, *conditions in self.layers:
            match = re.fullmatch(pattern, layer)
            if match and all(getattr(spec, field) == value for field, value in dict(*conditions).items()):
                usual = TimmName(USUAL[weight]) if weight in USUAL else ()
                names = renamed.get(weight, usual)
                if names:
                    prefix = _add_one(match.expand(prefix))
                    names = (names,) if isinstance(names, TimmName) else names
                    return tuple(_below(prefix, name) for name in names)
        raise LookupError(f"no import rule of the family covers {layer}/{weight}")


def _add_one(text: str) -> str:
    """Replace ``{3+1}`` by 4: timm counts some stages from 1."""
    return re.sub(r"\{(\d+)\+1\}", lambda match: str(int(match[1]) + 1), text)


def _below(prefix: str, name: TimmName) -> TimmName:
    return dataclasses.replace(name, text=".".join(filter(None, (prefix, name.text))))


# Several names of timm mean one of ours; an export writes the first.
_ACTIVATIONS = {
    "silu": "silu", "swish": "silu", "hard_swish": "hswish", "gelu_tanh": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh", "gelu_erf": "gelu",
}  # fmt: skip
ACTIVATION = ("activation", {"gelu": "gelu"} | _ACTIVATIONS)


class Complete(dict):
    """A conversion that lists all values of ours that timm has; others cannot be exported."""


POOL = ("head", Complete(avg="gap", token="token", map="map"))
TOKEN_POOL = ("head", Complete(avg="gap", token="token"))  # without attention pooling
POINTWISE = {"kernel": TimmName("weight", ones=2)}  # a Dense of ours that is a 1x1 convolution there
STAR_RELU = {"scale": TimmName("scale", ones=1), "bias": TimmName("bias", ones=1)}
REGISTERS = {"token": TimmName("", ones=-1)}
ATTENTION_POOLING = {
    "latent": TimmName("latent", ones=-2),
    "query/kernel": TimmName("q.weight"),
    "query/bias": TimmName("q.bias"),
    "key/kernel": TimmName("kv.weight", 0, 2),
    "key/bias": TimmName("kv.bias", 0, 2),
    "value/kernel": TimmName("kv.weight", 1, 2),
    "value/bias": TimmName("kv.bias", 1, 2),
    "output/kernel": TimmName("proj.weight"),
    "output/bias": TimmName("proj.bias"),
}
POSITIONS = {"table": TimmName("", ones=-1)}
CLASS_TOKEN = {"token": TimmName("", ones=-2)}
LAYER_SCALE = {"scale": TimmName("gamma")}
SCALED_CONVOLUTION = {"gain": TimmName("gain", ones=3)}
SKIP = {"scale": TimmName("")}
SE = {
    "squeeze/kernel": TimmName("fc1.weight", ones=2),
    "squeeze/bias": TimmName("fc1.bias"),
    "excite/kernel": TimmName("fc2.weight", ones=2),
    "excite/bias": TimmName("fc2.bias"),
}
ECA = {"kernel": TimmName("conv.weight")}
_OUTPUT = {"output/kernel": TimmName("proj.weight"), "output/bias": TimmName("proj.bias")}
_QK_NORM = {
    "query_norm/gamma": TimmName("q_norm.weight"),
    "query_norm/beta": TimmName("q_norm.bias"),
    "key_norm/gamma": TimmName("k_norm.weight"),
    "key_norm/beta": TimmName("k_norm.bias"),
}
SELF_ATTENTION = (
    _OUTPUT
    | _QK_NORM
    | {
        f"{ours}/{weight}": TimmName(f"qkv.{theirs}", part, 3)
        for part, ours in enumerate(("query", "key", "value"))
        for weight, theirs in (("kernel", "weight"), ("bias", "bias"))
    }
)
WINDOW_ATTENTION = _OUTPUT | {
    "query/kernel": TimmName("qkv.weight", 0, 3),
    "key/kernel": TimmName("qkv.weight", 1, 3),
    "value/kernel": TimmName("qkv.weight", 2, 3),
    "query/bias": TimmName("q_bias"),
    "value/bias": TimmName("v_bias"),
    "logit_scale": TimmName("logit_scale", ones=2),
    "positions_hidden/kernel": TimmName("cpb_mlp.0.weight"),
    "positions_hidden/bias": TimmName("cpb_mlp.0.bias"),
    "positions_bias/kernel": TimmName("cpb_mlp.2.weight"),
}
ROTARY_ATTENTION = _OUTPUT | {
    "query/kernel": (TimmName("q_proj.weight"), TimmName("qkv.weight", 0, 3)),
    "key/kernel": (TimmName("k_proj.weight"), TimmName("qkv.weight", 1, 3)),
    "value/kernel": (TimmName("v_proj.weight"), TimmName("qkv.weight", 2, 3)),
    "query/bias": (TimmName("q_proj.bias"), TimmName("q_bias")),
    "value/bias": (TimmName("v_proj.bias"), TimmName("v_bias")),
}
# The alternatives in the other order: an export writes the first, and timm's defaults differ.
FUSED_ROTARY_ATTENTION = {
    weight: names[::-1] if isinstance(names, tuple) else names for weight, names in ROTARY_ATTENTION.items()
}
GATE = {"kernel": TimmName("fc1_g.weight"), "bias": TimmName("fc1_g.bias")}
GATED = {"kernel": TimmName("fc1_x.weight"), "bias": TimmName("fc1_x.bias")}
PACKED_GATE = {"kernel": TimmName("fc1.weight", 0, 2), "bias": TimmName("fc1.bias", 0, 2)}
PACKED_GATED = {"kernel": TimmName("fc1.weight", 1, 2), "bias": TimmName("fc1.bias", 1, 2)}
