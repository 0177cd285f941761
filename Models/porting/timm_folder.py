"""Imports folders of timm, ``config.json`` and ``model.safetensors``: the matching model and its weights.

The correspondence is data at the end of each family's file, explained in ``Models/porting/timm_rules.py``. An
import assigns everything or nothing. timm itself is not needed.

Order of the channels: our models take BGR, as the WD taggers do. timm's own models take RGB, and no field of
timm's config states the order. Weights from a BGR source stay as they are; of an RGB source the channels of
the first kernel are reversed, which makes the same model for BGR images.
"""

import dataclasses
import pathlib
import re
import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np

from Models.layers.model_ends import LOGITS
from Models.porting.timm_rules import Rules, TimmName
from Utils.command.cli import UserError, suggest
from Utils.command.text import join_names
from Utils.files import damage, shapes
from Utils.files.atomic import read_json
from Utils.tags import tag_list

SpecOf = Callable[..., Any]  # Models.spec; importing Models here would be a cycle

ORDERS = ("bgr", "rgb")
ORDER_KEY = "input_order"  # our own key at the top of config.json, where timm does not look
# Arguments that matter in training only, and file entries that follow from others.
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
    """A folder of timm: its config, its weights by name, and the names of derived entries."""

    path: str
    config: dict[str, Any]
    tensors: dict[str, np.ndarray]
    skipped: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Description:
    """Our model for a folder of timm: the arguments of ``Models.build``, and the order of the channels."""

    name: str
    image_size: int
    num_labels: int  # 0 for a pretrained body without a classifier
    fields: dict[str, Any]
    order: str  # of the source: "bgr" or "rgb"
    order_from: str  # how that is known, for the report
    uncovered: int = 0  # pixels of timm's image size at the right and below that are in no patch


_CONFIG = {
    "pretrained_cfg?": dict,
    "model_args?": (dict, None),
    "num_classes?": (int, None),
    "mean?": ([float], None),
    "std?": ([float], None),
    "input_size?": ([int], None),
}


def is_folder(path: str | pathlib.Path) -> bool:
    """Tell whether a path is a folder of timm; a path of fsspec is on another file system."""
    folder = pathlib.Path(path) if isinstance(path, str) else path
    return (folder / "config.json").is_file()


def described_by(
    folder: str | pathlib.Path, families: dict[str, Rules], spec_of: SpecOf, order: str | None = None
) -> Description:
    """Return `describe` of a folder of timm; its weights are not read."""
    config = _config(pathlib.Path(folder))
    return describe(
        config, families, spec_of, order, has_tag_list(folder), _order_beside(pathlib.Path(folder))
    )


def has_tag_list(folder: str | pathlib.Path) -> bool:
    """Tell whether a tag list lies in the folder, as in those of the WD taggers."""
    return (pathlib.Path(folder) / tag_list.FILE).is_file()


def _order_beside(folder: pathlib.Path) -> str | None:
    """Return the channels that preprocess.json beside the config states; imgutils' stages take RGB."""
    path = folder / "preprocess.json"
    content = read_json(path) if path.is_file() else {}
    if not isinstance(content, dict):
        return None
    stated = str(content.get("channels", "")).lower()
    has_stages = any(isinstance(content.get(key), list) for key in ("stages", "test", "val"))
    return stated if stated in ORDERS else "rgb" if has_stages else None


def read(folder: str | pathlib.Path) -> Source:
    """Read a folder as a ``Source``; UserError for what is missing or broken."""
    folder = pathlib.Path(folder)
    config, file = _config(folder), folder / "model.safetensors"
    if not file.is_file():
        pickled = (folder / "pytorch_model.bin").is_file()
        hint = "; its pytorch_model.bin is a pickle, which is not opened: save with safe_serialization=True"
        raise UserError(f"no model.safetensors beside {folder / 'config.json'}{hint if pickled else ''}")
    tensors = _tensors(file)
    derived = {key for key in tensors if any(re.search(pattern, key) for pattern in DERIVED)}
    derived |= {key for key in tensors if key.endswith(".k_bias") and not tensors[key].any()}
    weights = {key: value for key, value in tensors.items() if key not in derived}
    return Source(str(folder), config, weights, tuple(sorted(derived)))


def _config(folder: pathlib.Path) -> dict[str, Any]:
    config = read_json(folder / "config.json")
    if not isinstance(config, dict) or "architecture" not in config:
        raise UserError(f"{folder / 'config.json'} is no config of timm: it names no architecture")
    shapes.require(folder / "config.json", config, _CONFIG)
    return config


def _tensors(file: pathlib.Path) -> dict[str, np.ndarray]:
    from safetensors import safe_open

    with damage.named(file, "cannot be read as safetensors"), safe_open(file, framework="numpy") as opened:
        return {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118  no dictionary


def describe(
    config: dict[str, Any],
    families: dict[str, Rules],
    spec_of: SpecOf,
    order: str | None = None,
    is_tagger: bool = False,
    beside: str | None = None,
) -> Description:
    """Return the model of ours that a config of timm describes.

    Args:
        config: the content of ``config.json``.
        families: ``{family: its TIMM rules}``.
        spec_of: ``Models.spec``.
        order: the channels that the source takes, "bgr" or "rgb", if the user knows.
        is_tagger: whether a tag list lies beside the config (`has_tag_list`): such taggers take BGR, where
            nothing else tells.
        beside: the channels that preprocess.json states.

    Raises UserError for an architecture or arguments that no family supports, and where nothing tells the
    order of the channels.
    """
    architecture = str(config["architecture"]).split(".")[0]  # after the point follows a name of the training
    family = _family(architecture, families)
    rules = families[family]
    published = config.get("pretrained_cfg", config)
    arguments = dict(config.get("model_args") or {})
    variant, differing = rules.models[architecture]
    name = f"{family}/{variant}"
    fields = {**rules.fields, **differing, "input_scaling": None}
    fields |= _translated(name, arguments, rules, fields, spec_of)
    mean, deviation = (tuple(published.get(key) or (0.5,) * 3) for key in ("mean", "std"))
    order, order_from = _order(config, mean, order, is_tagger, beside)
    fields["input_scaling"] = _scaling(mean, deviation)
    stated = (part.get("num_classes") for part in (arguments, config, published))
    labels = next((number for number in stated if number is not None), None)
    if not isinstance(labels, int) or labels < 0:
        raise UserError(f"the config must say num_classes, a whole number from 0; got {labels!r}")
    size = arguments.get("img_size") or (published.get("input_size") or [3, 224, 224])[1:]
    side = _single(size)
    uncovered = side % getattr(spec_of(name, **fields), "patch", 1)
    return Description(name, side - uncovered, labels, fields, order, order_from, uncovered)


def _family(architecture: str, families: dict[str, Rules]) -> str:
    for family, rules in families.items():
        if architecture in rules.models:
            return family
    architectures = [name for rules in families.values() for name in rules.models]
    raise UserError(
        f"no model here corresponds to timm's {architecture}; those that do are {', '.join(architectures)}"
        f"{suggest(architecture, architectures)}"
    )


def _order(
    config: dict[str, Any], mean: tuple[float, ...], order: str | None, is_tagger: bool, beside: str | None
) -> tuple[str, str]:
    """Return the order of the channels and how it is known; UserError if nothing states it."""
    if order is not None:
        return order, "as given"
    if config.get(ORDER_KEY) in ORDERS:
        return config[ORDER_KEY], f"as {ORDER_KEY} of its config says"
    if len(set(mean)) > 1:
        return "rgb", "as the means of its config differ"
    if beside is not None:
        return beside, "as preprocess.json beside its config says"
    if is_tagger:
        return "bgr", f"as taggers with a {tag_list.FILE} do; its config does not say"
    # A guess would exchange red and blue, which lowers every score a little and shows nowhere.
    raise UserError(
        f"nothing tells whether the model takes RGB or BGR: its config has no {ORDER_KEY}, the means of its "
        f"channels are equal, and no {tag_list.FILE} lies beside it; give --source-order rgb (timm's own "
        "models) or --source-order bgr (the WD taggers)"
    )


def _scaling(mean: tuple[float, ...], deviation: tuple[float, ...]) -> str | tuple[float, ...]:
    """Return our input_scaling, for BGR, of means and deviations in the order RGB."""
    for name, values in (("inception", (0.5, 0.5)), ("simple", (0.0, 1.0))):
        if (set(mean), set(deviation)) == ({values[0]}, {values[1]}):
            return name
    return (*map(float, mean[::-1]), *map(float, deviation[::-1]))


def _single(value: Any) -> int:
    """Return the side of a square, of one number or two equal ones; UserError if they differ."""
    values = set(value) if isinstance(value, (list, tuple)) else {value}
    if len(values) != 1:
        raise UserError(f"sizes must be square; got {value}")
    return int(values.pop())


def _ratio(number: int, base: int) -> float:
    """Return ``number / base``, one ulp more if ``int(base * ratio)`` would round down to another number."""
    ratio = number / base
    return ratio if int(base * ratio) == number else float(np.nextafter(ratio, np.inf))


# {name: (our value of timm's, timm's value of ours)}, functions of the value and the Spec.
CONVERSIONS: dict[str, tuple[Callable[[Any, Any], Any], Callable[[Any, Any], Any]]] = {
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


def _translated(
    name: str, arguments: dict[str, Any], rules: Rules, fields: dict[str, Any], spec_of: SpecOf
) -> dict[str, Any]:
    """Return the fields of our Spec for arguments of timm; like timm, ignore those that are None."""
    arguments = {argument: value for argument, value in arguments.items() if value is not None}
    unsupported = [key for key, value in arguments.items() if not _is_supported(key, value, rules)]
    if unsupported:
        listed = ", ".join(f"{argument}={arguments[argument]!r}" for argument in unsupported)
        raise UserError(f"{name} cannot be what timm's model_args say: {listed}")
    default = spec_of(name, **fields)
    annotations, translated, dependent = typing.get_type_hints(type(default)), {}, {}
    for argument in rules.arguments:
        field, conversion = target(rules, argument)
        if isinstance(conversion, str):  # depends on other fields, which may differ from the default's
            theirs = CONVERSIONS[conversion][1](getattr(default, field), default)
            dependent[field] = (conversion, arguments.get(argument, theirs))
        elif argument in arguments:
            value = arguments[argument]
            value = value if isinstance(value, list) else conversion.get(value, value)
            translated[field] = _single(value) if annotations[field] is int else value
    spec = spec_of(name, **{**fields, **translated})
    return translated | {
        field: CONVERSIONS[conversion][0](value, spec) for field, (conversion, value) in dependent.items()
    }


def _is_supported(argument: str, value: Any, rules: Rules) -> bool:
    if argument in rules.fixed:
        allowed = rules.fixed[argument]
        value = tuple(value) if isinstance(value, list) else value
        return value == allowed or (isinstance(allowed, tuple) and value in allowed)
    return argument in rules.arguments or argument in TRAINING or (argument, value) == ("in_chans", 3)


def target(rules: Rules, argument: str) -> tuple[str, Any]:
    """Return (field of our Spec, conversion) of an argument of timm; the conversion may be empty."""
    entry = rules.arguments[argument]
    return (entry, {}) if isinstance(entry, str) else entry


def assign(
    model: keras.Model,
    spec: Any,
    rules: Rules,
    source: Source,
    order: str = "bgr",
    has_classifier: bool = True,
) -> int:
    """Give every weight of ``model`` its value from ``source``; return the number of weights assigned.

    Args:
        model: a Keras model built from ``spec``.
        spec: its Spec.
        rules: the TIMM rules of its family.
        source: what ``read`` returned.
        order: the channels that the source takes, "bgr" or "rgb".
        has_classifier: whether the source has one; without it that of the model stays as it is.

    Raises UserError, before anything is assigned, that lists weights missing from the file, weights left over
    in it, and weights of another shape.
    """
    values, used, missing, wrong_shape = {}, set(), [], []
    weights_of_both = [
        (layer, variable) for layer, variable in weights(model) if has_classifier or layer.name != LOGITS
    ]
    for layer, variable in weights_of_both:
        alternatives = timm_names(rules, layer, variable, spec)
        name = next((name for name in alternatives if name.text in source.tensors), None)
        if name is None:
            missing.append(f"{variable.path} (from {alternatives[0].text})")
            continue
        used.add(name.text)
        value = values[variable.path] = _from_timm(source.tensors[name.text], name, variable)
        if value is None:
            theirs, ours = source.tensors[name.text].shape, tuple(variable.shape)
            wrong_shape.append(f"{name.text} {tuple(theirs)} for {variable.path} {ours}")
    unused = [key for key in source.tensors if key not in used]
    if missing or unused or wrong_shape:
        raise UserError(
            f"{source.path} does not fit {model.name}. Missing from the file: {join_names(missing, 12)}. "
            f"Left over in the file: {join_names(unused, 12)}. "
            f"Of another shape: {join_names(wrong_shape, 12)}."
        )
    for _, variable in weights_of_both:
        value = values[variable.path]
        variable.assign(value[..., ::-1, :] if order == "rgb" and sees_colors(variable) else value)
    return len(values)


def weights(model: keras.Model) -> Iterator[tuple[keras.layers.Layer, keras.Variable]]:
    """Yield (layer, variable) for all weights; states of random generators are none."""
    for layer in model.layers:
        for variable in layer.weights:
            if "seed_generator" not in variable.path:
                yield layer, variable


def timm_names(
    rules: Rules, layer: keras.layers.Layer, variable: keras.Variable, spec: Any
) -> tuple[TimmName, ...]:
    """Return the names of a weight in timm, best first; UserError if no rule covers it."""
    try:
        return rules.names(layer.name, variable.path.split(f"{layer.name}/", 1)[1], spec)
    except LookupError as error:
        raise UserError(str(error)) from error


def is_kernel(variable: keras.Variable) -> bool:
    """Tell whether timm keeps a weight transposed."""
    return variable.path.endswith("kernel")


def sees_colors(variable: keras.Variable) -> bool:
    """Tell whether a weight is the kernel of the three color channels."""
    return is_kernel(variable) and len(variable.shape) == 4 and variable.shape[2] == 3


def _from_timm(value: np.ndarray, name: TimmName, variable: keras.Variable) -> np.ndarray | None:
    """Return a weight of timm in our layout; None if the shapes differ in more than axes of length 1."""
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


def _sides(shape: Iterable[int]) -> list[int]:
    return [side for side in shape if side != 1]
