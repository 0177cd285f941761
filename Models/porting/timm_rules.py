"""What timm calls models, arguments, layers and weights: the form of the families' ``TIMM`` rules.

A rule for layers is ``(our layer, their prefix, {our path below the layer: Name})``. Our layer is a regex
that matches the whole name of a layer; its groups may be used on the right, ``{\\1+1}`` counts from 1.
Weights that are not listed have the names of ``USUAL``. A fourth element, ``{field of the Spec: value}``,
says when the rule holds; of several the first that matches and holds is taken.

Kernels are turned from (out, in, ...) to (..., in, out); all else keeps its order. A tuple of Names gives
alternatives: the first that a file has is read, the very first written.
"""

import dataclasses
import re


@dataclasses.dataclass(frozen=True)
class Name:
    """A weight of timm's below a prefix: one of ``parts`` equal parts of it along its first axis.

    ``ones``: axes of length 1 that timm's weight has more, after ours (positive) or before them (negative).
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
    """How a family of ours and models of timm correspond.

    Args:
        models: ``{timm's architecture: (variant, fields of the Spec that differ from it there)}``.
        layers: the rules for layers.
        arguments: ``{argument of timm's: field}``, or ``(field, conversion)``, the conversion a table
            ``{their value: ours}`` or the name of one in ``Models/porting/timm_folder.py``. Fields that no
            argument reaches
            must be what they are in the architecture.
        fields: fields of the Spec that differ from the variant in every model of timm.
        fixed: ``{argument of timm's: the only value that this family can be, or a tuple of them}``.
        written: arguments that an export states in addition.
        sized: whether timm wants the image size as an argument, ``img_size``.
    """

    models: dict
    layers: tuple
    arguments: dict
    fields: dict = dataclasses.field(default_factory=dict)
    fixed: dict = dataclasses.field(default_factory=dict)
    written: dict = dataclasses.field(default_factory=dict)
    sized: bool = False

    def names(self, layer, weight, spec):
        """Return the Names, in full, of a weight below a layer of a model built from ``spec``, best first.

        Raises LookupError where no rule covers the layer or the weight.
        """
        for pattern, prefix, listed, *when in self.layers:
            match = re.fullmatch(pattern, layer)
            if match and all(getattr(spec, field) == value for field, value in dict(*when).items()):
                usual = Name(USUAL[weight]) if weight in USUAL else ()
                found = listed.get(weight, usual)
                if found:
                    prefix = _counted(match.expand(prefix))
                    found = (found,) if isinstance(found, Name) else found
                    return tuple(_below(prefix, name) for name in found)
        raise LookupError(f"no import rule of the family covers {layer}/{weight}")


def _counted(text):
    return re.sub(r"\{(\d+)\+1\}", lambda match: str(int(match[1]) + 1), text)


def _below(prefix, name):
    return dataclasses.replace(name, text=".".join(filter(None, (prefix, name.text))))


# The first of several that mean the same is what an export writes.
_ACTIVATIONS = {
    "silu": "silu", "swish": "silu", "hard_swish": "hswish", "gelu_tanh": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh", "gelu_erf": "gelu",
}  # fmt: skip
ACTIVATION = ("activation", {"gelu": "gelu"} | _ACTIVATIONS)
POOL = ("pool", {"avg": "average"})
POINTWISE = {"kernel": Name("weight", ones=2)}  # a Dense of ours that is a 1x1 convolution there
POSITIONS = {"table": Name("", ones=-1)}
CLASS_TOKEN = {"token": Name("", ones=-2)}
LAYER_SCALE = {"scale": Name("gamma")}
SCALED_CONVOLUTION = {"gain": Name("gain", ones=3)}
SKIP = {"scale": Name("")}
SE = {
    "squeeze/kernel": Name("fc1.weight", ones=2),
    "squeeze/bias": Name("fc1.bias"),
    "excite/kernel": Name("fc2.weight", ones=2),
    "excite/bias": Name("fc2.bias"),
}
ECA = {"kernel": Name("conv.weight")}
_OUTPUT = {"output/kernel": Name("proj.weight"), "output/bias": Name("proj.bias")}
SELF_ATTENTION = _OUTPUT | {
    f"{ours}/{weight}": Name(f"qkv.{theirs}", part, 3)
    for part, ours in enumerate(("query", "key", "value"))
    for weight, theirs in (("kernel", "weight"), ("bias", "bias"))
}
WINDOW_ATTENTION = _OUTPUT | {
    "query/kernel": Name("qkv.weight", 0, 3),
    "key/kernel": Name("qkv.weight", 1, 3),
    "value/kernel": Name("qkv.weight", 2, 3),
    "query/bias": Name("q_bias"),
    "value/bias": Name("v_bias"),
    "logit_scale": Name("logit_scale", ones=2),
    "positions_hidden/kernel": Name("cpb_mlp.0.weight"),
    "positions_hidden/bias": Name("cpb_mlp.0.bias"),
    "positions_bias/kernel": Name("cpb_mlp.2.weight"),
}
ROTARY_ATTENTION = _OUTPUT | {
    "query/kernel": (Name("q_proj.weight"), Name("qkv.weight", 0, 3)),
    "key/kernel": (Name("k_proj.weight"), Name("qkv.weight", 1, 3)),
    "value/kernel": (Name("v_proj.weight"), Name("qkv.weight", 2, 3)),
    "query/bias": (Name("q_proj.bias"), Name("q_bias")),
    "value/bias": (Name("v_proj.bias"), Name("v_bias")),
}
GATE = {"kernel": Name("fc1_g.weight"), "bias": Name("fc1_g.bias")}
GATED = {"kernel": Name("fc1_x.weight"), "bias": Name("fc1_x.bias")}
PACKED_GATE = {"kernel": Name("fc1.weight", 0, 2), "bias": Name("fc1.bias", 0, 2)}
PACKED_GATED = {"kernel": Name("fc1.weight", 1, 2), "bias": Name("fc1.bias", 1, 2)}
