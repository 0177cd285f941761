"""What timm, torchvision and papers call our models and options: hints where a name does not exist here."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from Models.porting.timm_rules import Rules
from Utils.command.cli import suggest

# {elsewhere: the field of a Spec, or the argument of Models.build}, beside the arguments in the TIMM rules.
OPTIONS = {
    "act": "activation",
    "act_layer": "activation",
    "drop_path": "stochastic_depth",
    "drop_path_rate": "stochastic_depth",
    "drop_rate": "dropout",
    "patch_drop_rate": "patch_dropout",
    "dropout_rate": "dropout",
    "embed_dim": "widths",
    "eps": "epsilon",
    "global_pool": "head",
    "img_size": "image_size",
    "input_size": "image_size",
    "init_values": "layer_scale",
    "ls_init_value": "layer_scale",
    "norm_eps": "epsilon",
    "norm_layer": "norm",
    "num_classes": "num_labels",
    "stochastic_depth_prob": "stochastic_depth",
    "stochastic_depth_rate": "stochastic_depth",
}
# {field of earlier versions: its name now and {value: value now}}: files of runs and releases have them.
FORMER_FIELDS = {"pool": ("head", {"average": "gap"})}
BUILD_ARGUMENTS = ("image_size", "num_labels", "classifier_activation")


def model_hint(name: str, variants: Mapping[str, Iterable[str]], rules: Mapping[str, Rules]) -> str:
    """Return ``"; did you mean ConvNext/T?"`` for ``convnext_tiny``, ``ConvNeXtTiny`` and the like, or "".

    Args:
        name: what was asked for; a tag after a dot, as timm's names have it, does not count.
        variants: ``{family: its variants}``.
        rules: ``{family: its TIMM rules}``.
    """
    names = {_plain(f"{family}/{row}"): f"{family}/{row}" for family in variants for row in variants[family]}
    for family, rule in rules.items():
        names |= {_plain(theirs): f"{family}/{row}" for theirs, (row, _) in rule.models.items()}
    families = {_plain(family): family for family in variants}
    best = names.get(_plain(name.split(".")[0])) or families.get(_plain(name.split("/")[0]))
    return f"; did you mean {best}?" if best else suggest(name, [*families.values(), *names.values()])


def field_hint(field: str, fields: Iterable[str], rules: Rules | None) -> str:
    """Return ``"; did you mean stochastic_depth?"`` for ``drop_path`` and the like, or "".

    Args:
        field: what was asked for.
        fields: those of the model's Spec.
        rules: the TIMM rules of its family, if it has some.
    """
    fields = [*fields, *BUILD_ARGUMENTS]
    arguments = rules.arguments if rules else {}
    known = OPTIONS | {key: ours if isinstance(ours, str) else ours[0] for key, ours in arguments.items()}
    best = known.get(field)
    return f"; did you mean {best}?" if best in fields else suggest(field, fields)


def current_fields(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of a Spec by their names of today."""
    current = {}
    for field, value in overrides.items():
        name, values = FORMER_FIELDS.get(field, (field, {}))
        current[name] = values.get(value, value) if values else value
    return current


def _plain(name: str) -> str:
    """Return letters and digits alone, in lower case."""
    return re.sub("[^a-z0-9]", "", name.lower())
