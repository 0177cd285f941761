"""Folders of timm, ``config.json`` and ``model.safetensors``: which model of ours one is, and its weights.

What corresponds is data at the end of each family's file, in the form of ``Models/porting/timm_rules.py``. An
import assigns everything or nothing. timm itself is not needed.

The order of the channels: our models take BGR. The taggers of WD do so too, timm's own models take RGB, and
no field of timm's config says which it is. The weights of a source that takes BGR stay as they are; of one
that takes RGB the first kernel is turned around, which changes nothing else.
"""

import dataclasses
import pathlib
import re
import typing

import numpy as np

from Utils.command.cli import UserError, suggest
from Utils.command.text import join_names
from Utils.files.atomic import read_json

ORDERS = ("bgr", "rgb")
ORDER_KEY = "input_order"  # ours, at the top of config.json, where timm does not look
# Arguments that change the training only, and entries of files that are derived from other things.
TRAINING = (
    "drop_rate", "drop_path_rate", "proj_drop_rate", "attn_drop_rate", "pos_drop_rate", "patch_drop_rate",
    "drop_block_rate", "weight_init", "fix_init", "head_init_scale", "zero_init_last", "zero_init_fc",
    "dynamic_img_size", "dynamic_img_pad", "strict_img_size", "img_size", "num_classes",
)  # fmt: skip
DERIVED = (
    r"\.num_batches_tracked$", r"\.(relative_position_index|relative_coords_table|attn_mask)$",
    r"^rope\.(pos_embed(_sin|_cos)?|bands)$",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Source:
    """A folder of timm's: its config, its weights by name, and the entries that are derived from others."""

    path: str
    config: dict
    tensors: dict[str, np.ndarray]
    skipped: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Described:
    """The model of ours that a folder of timm's describes: what ``Models.build`` wants, and the channels."""

    name: str
    image_size: int
    num_labels: int
    fields: dict
    order: str  # of the source: "bgr" or "rgb"
    order_from: str  # what says so


def is_folder(path):
    """Tell whether a path is a folder of timm's."""
    return (pathlib.Path(path) / "config.json").is_file()


def read(folder):
    """Read a folder as a ``Source``; UserError for what is missing or broken."""
    folder = pathlib.Path(folder)
    config, file = read_json(folder / "config.json"), folder / "model.safetensors"
    if not isinstance(config, dict) or "architecture" not in config:
        raise UserError(f"{folder / 'config.json'} is no config of timm: it names no architecture")
    if not file.is_file():
        raise UserError(f"no model.safetensors beside {folder / 'config.json'}")
    tensors = _tensors(file)
    derived = {key for key in tensors if any(re.search(pattern, key) for pattern in DERIVED)}
    derived |= {key for key in tensors if key.endswith(".k_bias") and not tensors[key].any()}
    kept = {key: value for key, value in tensors.items() if key not in derived}
    return Source(str(folder), config, kept, tuple(sorted(derived)))


def _tensors(file):
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as opened:
            return {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118  no dictionary
    except (SafetensorError, TypeError, ValueError, OSError) as error:
        raise UserError(f"{file} cannot be read as safetensors: {error}") from error


def describe(config, families, spec_of, order=None):
    """Return what a config of timm's describes, as ``Described``.

    Args:
        config: the content of ``config.json``.
        families: ``{family: its TIMM rules}``.
        spec_of: ``Models.spec``.
        order: "bgr" or "rgb" where the user says which channels the source takes.

    Raises UserError for an architecture or arguments that no family of ours has.
    """
    architecture = str(config["architecture"]).split(".")[0]  # what follows names the training
    family = _family(architecture, families)
    rules = families[family]
    published = config.get("pretrained_cfg", config)
    arguments = dict(config.get("model_args") or {})
    variant, differing = rules.models[architecture]
    name = f"{family}/{variant}"
    fields = {**rules.fields, **differing, "input_scaling": None}
    fields |= _translated(name, arguments, rules, fields, spec_of)
    mean, deviation = (tuple(published.get(key) or (0.5,) * 3) for key in ("mean", "std"))
    found, why = _order(config, mean, order)
    fields["input_scaling"] = _scaling(mean, deviation)
    labels = arguments.get("num_classes") or config.get("num_classes") or published.get("num_classes")
    if not isinstance(labels, int):
        raise UserError(f"the config must say num_classes, a whole number above 0; got {labels!r}")
    size = arguments.get("img_size") or (published.get("input_size") or [3, 224, 224])[1:]
    return Described(name, _single(size), labels, fields, found, why)


def _family(architecture, families):
    for family, rules in families.items():
        if architecture in rules.models:
            return family
    known = [name for rules in families.values() for name in rules.models]
    raise UserError(
        f"no model here corresponds to timm's {architecture}; those that do are {', '.join(known)}"
        f"{suggest(architecture, known)}"
    )


def _order(config, mean, given):
    if given is not None:
        return given, "as given"
    if config.get(ORDER_KEY) in ORDERS:
        return config[ORDER_KEY], f"as {ORDER_KEY} of its config says"
    if len(set(mean)) > 1:
        return "rgb", "as the means of its config differ"
    return "bgr", "as taggers do; its config does not say"


def _scaling(mean, deviation):
    """Return our input_scaling, which is of BGR, for means and deviations in the order RGB."""
    for name, values in (("inception", (0.5, 0.5)), ("simple", (0.0, 1.0))):
        if (set(mean), set(deviation)) == ({values[0]}, {values[1]}):
            return name
    return (*map(float, mean[::-1]), *map(float, deviation[::-1]))


def _single(value):
    """Return the number of a square size, given as one number or as two equal ones."""
    values = set(value) if isinstance(value, (list, tuple)) else {value}
    if len(values) != 1:
        raise UserError(f"sizes must be square; got {value}")
    return int(values.pop())


def _ratio(number, base):
    """Return the ratio of two whole numbers, such that ``int(base * ratio)`` gives the first again."""
    ratio = number / base
    return ratio if int(base * ratio) == number else float(np.nextafter(ratio, np.inf))


# {name: (ours from theirs, theirs from ours)}, each a function of the value and the Spec
CONVERSIONS = {
    "times width": (
        lambda value, spec: int(spec.width * value),
        lambda value, spec: _ratio(value, spec.width),
    ),
    "over last width": (
        lambda value, spec: _ratio(value, spec.widths[-1]),
        lambda value, spec: int(spec.widths[-1] * value),
    ),
    "reduction": (
        lambda value, spec: (value or {}).get("rd_ratio", spec.attention_ratio),
        lambda value, spec: {"rd_ratio": value} if spec.attention == "se" else {},
    ),
}


def _translated(name, arguments, rules, fields, spec_of):
    """Return the fields of our Spec that timm's arguments mean; like timm, ignore those that are None."""
    arguments = {argument: value for argument, value in arguments.items() if value is not None}
    unknown = [argument for argument in arguments if not _is_known(argument, arguments[argument], rules)]
    if unknown:
        listed = ", ".join(f"{argument}={arguments[argument]!r}" for argument in unknown)
        raise UserError(f"{name} cannot be what timm's model_args say: {listed}")
    plain = spec_of(name, **fields)
    hints, found, converted = typing.get_type_hints(type(plain)), {}, {}
    for argument in rules.arguments:
        field, conversion = target(rules, argument)
        if isinstance(conversion, str):  # what it means depends on other fields: also where it is not stated
            theirs = CONVERSIONS[conversion][1](getattr(plain, field), plain)
            converted[field] = (conversion, arguments.get(argument, theirs))
        elif argument in arguments:
            value = arguments[argument]
            value = value if isinstance(value, list) else conversion.get(value, value)
            found[field] = _single(value) if hints[field] is int else value
    spec = spec_of(name, **{**fields, **found})
    return found | {field: CONVERSIONS[how][0](value, spec) for field, (how, value) in converted.items()}


def _is_known(argument, value, rules):
    if argument in rules.fixed:
        allowed = rules.fixed[argument]
        value = tuple(value) if isinstance(value, list) else value
        return value == allowed or (isinstance(allowed, tuple) and value in allowed)
    return argument in rules.arguments or argument in TRAINING or (argument, value) == ("in_chans", 3)


def target(rules, argument):
    """Return (field, conversion) of an argument of timm's."""
    target = rules.arguments[argument]
    return (target, {}) if isinstance(target, str) else target


def assign(model, spec, rules, source, order="bgr"):
    """Give every weight of ``model`` its value from ``source``; return the number of weights assigned.

    Args:
        model: a Keras model built from ``spec``.
        spec: its Spec.
        rules: the TIMM rules of its family.
        source: what ``read`` returned.
        order: which channels the source takes, "bgr" or "rgb".

    Raises UserError, before anything is assigned, that lists the weights missing from the file, those left
    over in it, and those of another shape.
    """
    values, used, missing, wrong = {}, set(), [], []
    for layer, variable in weights(model):
        choice = names(rules, layer, variable, spec)
        name = next((name for name in choice if name.text in source.tensors), None)
        if name is None:
            missing.append(f"{variable.path} (from {choice[0].text})")
            continue
        used.add(name.text)
        value = values[variable.path] = _ours(source.tensors[name.text], name, variable)
        if value is None:
            theirs, ours = source.tensors[name.text].shape, tuple(variable.shape)
            wrong.append(f"{name.text} {tuple(theirs)} for {variable.path} {ours}")
    left = [key for key in source.tensors if key not in used]
    if missing or left or wrong:
        raise UserError(
            f"{source.path} does not fit {model.name}. Missing from the file: {join_names(missing, 12)}. "
            f"Left over in the file: {join_names(left, 12)}. Of another shape: {join_names(wrong, 12)}."
        )
    for _, variable in weights(model):
        value = values[variable.path]
        variable.assign(value[..., ::-1, :] if order == "rgb" and sees_colors(variable) else value)
    return len(values)


def weights(model):
    """Yield (layer, variable) for all weights that are not random states."""
    for layer in model.layers:
        for variable in layer.weights:
            if "seed_generator" not in variable.path:
                yield layer, variable


def names(rules, layer, variable, spec):
    """Return the names that a weight has in timm, best first; UserError where no rule says."""
    try:
        return rules.names(layer.name, variable.path.split(f"{layer.name}/", 1)[1], spec)
    except LookupError as error:
        raise UserError(str(error)) from error


def is_kernel(variable):
    """Tell whether a weight is one that timm keeps transposed."""
    return variable.path.endswith("kernel")


def sees_colors(variable):
    """Tell whether a weight is the kernel that meets the three channels of the image."""
    return is_kernel(variable) and len(variable.shape) == 4 and variable.shape[2] == 3


def _ours(value, name, variable):
    """Return a weight of timm's in the form of ours; None where the shapes differ in more than ones."""
    if len(value) % name.parts if value.ndim else name.parts > 1:
        return None
    value = np.asarray(value, "float32")
    if name.parts > 1:
        value = np.split(value, name.parts)[name.part]
    if is_kernel(variable):
        value = value.transpose((*range(2, value.ndim), 1, 0))
    if _sides(value.shape) != _sides(variable.shape):
        return None
    return value.reshape(tuple(variable.shape))


def _sides(shape):
    return [side for side in shape if side != 1]
