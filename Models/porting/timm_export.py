"""A model of ours as a folder of timm's, which ``timm.create_model`` builds and fills.

The arguments of timm's model are written out in full, so that no default of a version of timm's matters.
"""

import dataclasses

import keras
import numpy as np

from Models.porting import timm_folder
from Utils.command.cli import UserError
from Utils.files.atomic import replacing_folder, write_json

FREE = ("source", "stochastic_depth", "dropout", "input_scaling")  # fields that timm need not express
SCALINGS = {"inception": (0.5,) * 6, "simple": (0.0,) * 3 + (1.0,) * 3, None: (0.0,) * 3 + (1 / 255,) * 3}


def export(model, folder, name, spec, families, spec_of, order="bgr", overwrite=False):
    """Write a model as a folder that timm loads and agrees with; return timm's name of the architecture.

    Args:
        model: a Keras model built from ``spec``, with or without its sigmoid.
        folder: where to write ``config.json`` and ``model.safetensors``.
        name: ``"Family/Variant"``.
        spec: its Spec.
        families: ``{family: its TIMM rules}``.
        spec_of: ``Models.spec``.
        order: the channels that the written model takes: "bgr" as ours, and as the clients of WD's taggers
            feed it, or "rgb" as timm's own models. ``config.json`` says which in ``input_order``.
        overwrite: replace an existing folder.

    Raises UserError that names the field of the Spec which timm cannot express.
    """
    family = name.split("/")[0]
    if family not in families:
        raise UserError(
            f"timm has no models that correspond to {family}; it has those of {', '.join(families)}"
        )
    rules = families[family]
    architecture = _architecture(name, spec, rules, spec_of)
    tensors = _tensors(model, spec, rules, order)
    config = _config(architecture, model, spec, rules, order)
    from safetensors.numpy import save_file

    with replacing_folder(folder, overwrite) as beside:
        save_file(tensors, str(beside / "model.safetensors"), metadata={"format": "pt"})
        write_json(beside / "config.json", config)
    return architecture


def _architecture(name, spec, rules, spec_of):
    """Return timm's architecture whose Spec differs from ``spec`` in fields that arguments reach only.

    No argument reaches None: timm takes it for an argument that is not given.
    """
    given = [argument for argument in rules.arguments if _argument(argument, spec, rules) is not None]
    reached = {timm_folder.target(rules, argument)[0] for argument in given} | set(FREE)
    fields = [field.name for field in dataclasses.fields(spec) if field.name not in reached]
    family, variant = name.split("/")
    apart = {}
    for architecture, (theirs, differing) in rules.models.items():
        other = spec_of(f"{family}/{theirs}", **{**rules.fields, **differing})
        pairs = {field: (getattr(spec, field), getattr(other, field)) for field in fields}
        apart[architecture] = {field: pair for field, pair in pairs.items() if pair[0] != pair[1]}
    best = min(apart, key=lambda key: (len(apart[key]), rules.models[key][0] != variant))
    if apart[best]:
        listed = ", ".join(
            f"{field} is {ours!r}, not {theirs!r}" for field, (ours, theirs) in apart[best].items()
        )
        raise UserError(f"timm cannot express this {name}, the nearest of its models is {best}: {listed}")
    return best


def _tensors(model, spec, rules, order):
    """Return ``{timm's name: value}`` of all weights, parts joined."""
    parts = {}
    for layer, variable in timm_folder.weights(model):
        name = timm_folder.names(rules, layer, variable, spec)[0]
        value = keras.ops.convert_to_numpy(variable.value).astype("float32")
        if order == "rgb" and timm_folder.sees_colors(variable):
            value = value[..., ::-1, :]
        parts.setdefault(name.text, {})[name.part] = _theirs(value, name, variable)
    return {text: _joined([found[part] for part in sorted(found)]) for text, found in parts.items()}


def _joined(values):
    return np.ascontiguousarray(values[0] if len(values) == 1 else np.concatenate(values))


def _theirs(value, name, variable):
    """Return a weight of ours in the form of timm's, one part of it."""
    if timm_folder.is_kernel(variable):
        value = value.transpose((value.ndim - 1, value.ndim - 2, *range(value.ndim - 2)))
        if value.ndim == 4 and value.shape[0] == 1:  # depthwise: ours is (k, k, C, 1), theirs (C, 1, k, k)
            value = value.transpose((1, 0, 2, 3))
    ones = (1,) * abs(name.ones)
    return value.reshape(value.shape + ones if name.ones > 0 else ones + value.shape)


def _config(architecture, model, spec, rules, order):
    size, labels = model.input_shape[1], model.output_shape[-1]
    values = SCALINGS.get(spec.input_scaling, spec.input_scaling)
    arguments = {argument: _argument(argument, spec, rules) for argument in rules.arguments}
    arguments = {argument: value for argument, value in arguments.items() if value is not None}
    if rules.sized:
        arguments["img_size"] = size
    return {
        "architecture": architecture,
        "num_classes": labels,
        "model_args": {**arguments, **rules.written},
        timm_folder.ORDER_KEY: order,
        "pretrained_cfg": {
            "input_size": [3, size, size],
            "fixed_input_size": rules.sized,
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "mean": list(values[2::-1]),
            "std": list(values[:2:-1]),
            "num_classes": labels,
        },
    }


def _argument(argument, spec, rules):
    field, conversion = timm_folder.target(rules, argument)
    value = getattr(spec, field)
    if isinstance(conversion, str):
        return timm_folder.CONVERSIONS[conversion][1](value, spec)
    inverse = {ours: theirs for theirs, ours in reversed(conversion.items())}
    return inverse.get(value, value) if not isinstance(value, tuple) else list(value)
