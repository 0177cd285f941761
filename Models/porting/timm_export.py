"""Exports a model as a folder that ``timm.create_model`` builds and loads.

All arguments of timm's model are written, so that the defaults of a version of timm do not matter.
"""

import dataclasses
import pathlib
from typing import Any

import keras
import numpy as np

from Models.layers.model_ends import LOGITS
from Models.porting import timm_folder, timm_rules
from Models.porting.timm_folder import SpecOf
from Models.porting.timm_rules import Rules, TimmName
from Utils.command.cli import UserError
from Utils.files.atomic import no_room, write_json
from Utils.files.output_folders import FolderKind, replacing_folder

TIMM_FOLDER = FolderKind("a timm folder", ("config.json", "model.safetensors"))
# Fields of the Spec that need no argument of timm: they matter in training, or pretrained_cfg states them.
FREE_FIELDS = (
    "source", "stochastic_depth", "dropout", "input_scaling",
    "decoder_groups", "decoder_width", "decoder_mlp_width",  # of a head that timm does not have
)  # fmt: skip
# Three means and three standard deviations, of values 0..1.
SCALINGS = {"inception": (0.5,) * 6, "simple": (0.0,) * 3 + (1.0,) * 3, None: (0.0,) * 3 + (1 / 255,) * 3}


def export(
    model: Any,
    folder: str | pathlib.Path,
    name: str,
    spec: Any,
    families: dict[str, Rules],
    spec_of: SpecOf,
    order: str = "bgr",
    overwrite: bool = False,
) -> str:
    """Write a model as a folder from which timm computes the same; return timm's name of the architecture.

    Args:
        model: a Keras model built from ``spec``, with or without its sigmoid.
        folder: gets ``config.json`` and ``model.safetensors``.
        name: ``"Family/Variant"``.
        spec: its Spec.
        families: ``{family: its TIMM rules}``.
        spec_of: ``Models.spec``.
        order: the channels that the written model takes: "bgr" as ours and as clients of the WD taggers feed
            them, or "rgb" as timm's own models. ``input_order`` in ``config.json`` states it.
        overwrite: replace an existing folder.

    Raises UserError that names the field of the Spec that timm cannot express.
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
    with replacing_folder(folder, TIMM_FOLDER, overwrite) as beside:
        write_json(beside / "config.json", config)
        _save(tensors, beside / "model.safetensors", (beside / "config.json").stat().st_mode)
    return architecture


def _save(tensors: dict[str, np.ndarray], path: pathlib.Path, mode: int) -> None:
    """Write a safetensors file. Raises OSError where the disk is full."""
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    try:
        save_file(tensors, str(path), metadata={"format": "pt"})
    except SafetensorError as error:
        raise no_room(error, path) or error from error
    path.chmod(mode)  # newer versions let nobody else read it


def _architecture(name: str, spec: Any, rules: Rules, spec_of: SpecOf) -> str:
    """Return the architecture of timm that differs from ``spec`` only in fields that arguments can set.

    No argument can set None: timm takes it for an argument that is not given.
    """
    arguments = [argument for argument in rules.arguments if _argument(argument, spec, rules) is not None]
    settable = {timm_folder.target(rules, argument)[0] for argument in arguments} | set(FREE_FIELDS)
    fields = [field.name for field in dataclasses.fields(spec) if field.name not in settable]
    family, variant = name.split("/")
    differences = {}
    for architecture, (timm_variant, changes) in rules.models.items():
        timm_spec = spec_of(f"{family}/{timm_variant}", **{**rules.fields, **changes})
        pairs = {field: (getattr(spec, field), getattr(timm_spec, field)) for field in fields}
        differences[architecture] = {field: pair for field, pair in pairs.items() if pair[0] != pair[1]}
    best = min(differences, key=lambda key: (len(differences[key]), rules.models[key][0] != variant))
    if differences[best]:
        listed = ", ".join(
            f"{field} is {ours!r}, not {theirs!r}" for field, (ours, theirs) in differences[best].items()
        )
        raise UserError(f"timm cannot express this {name}, the nearest of its models is {best}: {listed}")
    return best


def _tensors(model: keras.Model, spec: Any, rules: Rules, order: str) -> dict[str, np.ndarray]:
    """Return ``{timm's name: value}`` of all weights, parts joined."""
    parts: dict[str, dict[int, np.ndarray]] = {}
    for layer, variable in timm_folder.weights(model):
        name = timm_folder.timm_names(rules, layer, variable, spec)[0]
        value = np.asarray(keras.ops.convert_to_numpy(variable.value), "float32")
        if order == "rgb" and timm_folder.sees_colors(variable):
            value = value[..., ::-1, :]
        parts.setdefault(name.text, {})[name.part] = _to_timm(value, name, variable)
    return {text: _join([values[part] for part in sorted(values)]) for text, values in parts.items()}


def _join(values: list[np.ndarray]) -> np.ndarray:
    return np.ascontiguousarray(values[0] if len(values) == 1 else np.concatenate(values))


def _to_timm(value: np.ndarray, name: TimmName, variable: keras.Variable) -> np.ndarray:
    """Return a weight of ours in the layout of timm, one part of it."""
    if timm_folder.is_kernel(variable):
        value = value.transpose((value.ndim - 1, value.ndim - 2, *range(value.ndim - 2)))
        if value.ndim == 4 and value.shape[0] == 1:  # depthwise: (1, C, k, k) to (C, 1, k, k)
            value = value.transpose((1, 0, 2, 3))
    ones = (1,) * abs(name.ones)
    return value.reshape(value.shape + ones if name.ones > 0 else ones + value.shape)


def _config(architecture: str, model: Any, spec: Any, rules: Rules, order: str) -> dict[str, Any]:
    """Return the content of ``config.json``."""
    size, labels = model.input_shape[1], model.output_shape[-1]
    scaling: Any = SCALINGS.get(spec.input_scaling, spec.input_scaling)  # of BGR; timm states means of RGB
    arguments = {argument: _argument(argument, spec, rules) for argument in rules.arguments}
    arguments = {argument: value for argument, value in arguments.items() if value is not None}
    if rules.sized:
        arguments["img_size"] = size
    return {
        "architecture": architecture,
        "num_classes": labels,
        "num_features": int(model.get_layer(LOGITS).kernel.shape[0]),  # of an image, where the head begins
        "model_args": {**arguments, **rules.written},
        timm_folder.ORDER_KEY: order,
        "pretrained_cfg": {
            "input_size": [3, size, size],
            "fixed_input_size": rules.sized,
            "interpolation": "bicubic",
            "crop_pct": 1.0,
            "mean": list(scaling[2::-1]),
            "std": list(scaling[:2:-1]),
            "num_classes": labels,
        },
    }


def _argument(argument: str, spec: Any, rules: Rules) -> Any:
    """Return the value of an argument of timm for a Spec."""
    field, conversion = timm_folder.target(rules, argument)
    value = getattr(spec, field)
    if isinstance(conversion, str):
        return timm_folder.CONVERSIONS[conversion][1](value, spec)
    inverse = {ours: theirs for theirs, ours in reversed(conversion.items())}
    if isinstance(conversion, timm_rules.Complete):
        return inverse.get(value)
    return inverse.get(value, value) if not isinstance(value, tuple) else list(value)
