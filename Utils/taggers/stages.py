"""preprocess.json beside a model: our own fields, or stages like those of imgutils and torchvision.

Our fields are ``channels`` (BGR or RGB; by default RGB where the means fall, else BGR), ``range`` ([0, 255],
[0, 1] or [-1, 1]), ``mean`` and ``std`` (of that range), ``resize`` (area or a filter of Pillow) and
``output`` (probabilities or logits); any program's model can be described by them. Stages are
``[{"type": "resize", "size": 448, ...}, ...]`` under ``stages``, ``test`` or ``val``; their channels are RGB
unless ``channels`` says otherwise.
"""

import dataclasses
import difflib
import functools
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from PIL import ImageColor

from Utils.command.cli import UserError, suggest
from Utils.command.text import join_names
from Utils.files import damage
from Utils.files.atomic import read_json
from Utils.taggers import geometry
from Utils.taggers.preparation import BY_AREA, Preparation

FILE = "preprocess.json"
MOST_PIXELS = 8192  # of a side: nothing larger was ever a tagger's, and memory is bounded by it
_CHANNELS = ("BGR", "RGB")
_RANGES = {
    (0, 255): (1.0, 0.0, 1.0),
    (0, 1): (255.0, 0.0, 1.0),
    (-1, 1): (255.0, 0.5, 0.5),
}  # divisor, mean, std
_OUTPUTS = ("probabilities", "logits")
_LISTS = ("stages", "test", "val")  # of stages, by which of them goes first
_FIELDS = ("channels", "range", "mean", "std", "resize", "output", "image_size")
_NEED_RANGE = ("mean", "std", "resize", "image_size")  # fields that mean nothing without channels and range


@dataclasses.dataclass(frozen=True)
class Described:
    """The content of a preprocess.json; None for what it does not say."""

    preparation: Preparation | None
    output: str | None


def read(folder: pathlib.Path, image_size: int | None) -> Described:
    """Return what the preprocess.json of a folder says; nothing where there is none.

    Args:
        folder: of the model.
        image_size: side of the model's input, None for any.

    Raises UserError that names the file, the field or stage, what is allowed and what came.
    """
    path = folder / FILE
    content = read_json(path) if path.is_file() else {}
    # A fault that none of the checks below names: a text where a number is needed, a number without end.
    with damage.named(path, "has a value that cannot be used"):
        return _described(path, {"stages": content} if isinstance(content, list) else content, image_size)


def _described(path: pathlib.Path, content: Any, image_size: int | None) -> Described:
    if not isinstance(content, dict):
        raise UserError(f"{path} must be an object with channels and range, or with stages")
    output = content.get("output")
    if output not in (None, *_OUTPUTS):
        raise UserError(f"{path}: output is {' or '.join(_OUTPUTS)}; got {output!r}")
    steps = next((content[key] for key in _LISTS if content.get(key)), None)
    if steps is not None and not ("channels" in content and "range" in content):
        preparation = _of_stages(path, steps, image_size)
        if "channels" in content:
            preparation = dataclasses.replace(preparation, channels=_channels(path, content))
        return Described(preparation, output)
    if "channels" in content or "range" in content:
        return Described(_of_fields(path, content, image_size), output)
    if unused := [name for name in content if name in _NEED_RANGE or "output" not in content]:
        raise UserError(
            f"{path} has {join_names(unused)}, but neither channels and range, nor {', '.join(_LISTS)}: it "
            "does not say how pictures are prepared; add these, or take it away"
        )
    return Described(None, output)


def _channels(path: pathlib.Path, content: Mapping[str, Any]) -> Any:
    mean = content.get("mean")
    # Pictures have more red than blue: means that fall, as ImageNet's and CLIP's do, are in the order RGB.
    falls = isinstance(mean, list) and mean == sorted(mean, reverse=True) != sorted(mean)
    channels = str(content.get("channels", "RGB" if falls else "BGR")).upper()
    if channels not in _CHANNELS:
        raise UserError(f"{path}: channels are {' or '.join(_CHANNELS)}; got {content['channels']!r}")
    return channels


def _of_fields(path: pathlib.Path, content: Mapping[str, Any], image_size: int | None) -> Preparation:
    for name in set(content) - set(_FIELDS):
        if similar := difflib.get_close_matches(str(name), _FIELDS, 1, 0.75):
            raise UserError(f"{path}: {name!r} is no field; did you mean {similar[0]}?")
    limits = content.get("range", [0, 255])
    if not isinstance(limits, list) or tuple(limits) not in _RANGES:
        allowed = ", ".join(str(list(key)) for key in _RANGES)
        raise UserError(f"{path}: range is one of {allowed}; got {limits!r}")
    divisor, mean, std = _RANGES[tuple(limits)]
    numbers = {name: content.get(name, [default] * 3) for name, default in (("mean", mean), ("std", std))}
    method = str(content.get("resize", "area")).lower()
    if method != "area" and method not in geometry.FILTERS:
        allowed = ", ".join(("area", *geometry.FILTERS))
        raise UserError(f"{path}: resize is one of {allowed}; got {content['resize']!r}")
    is_area = method == "area"
    about = BY_AREA if is_area else f"white square, then {method}"
    if "channels" not in content:
        about += f'; {path.name} names no channels, so that their order is a guess: "channels" would tell'
    return Preparation(
        _side(path, content.get("image_size"), image_size),
        channels=_channels(path, content),
        divisor=divisor,
        mean=_triple(path, "mean", numbers["mean"]),
        std=_triple(path, "std", numbers["std"]),
        fit=geometry.by_area if is_area else geometry.fit(geometry.pad_then_resize, method=method),
        about=about,
    )


def _side(path: pathlib.Path, described: Any, image_size: int | None) -> int:
    side = image_size or described
    if type(side) is not int or not 0 < side <= MOST_PIXELS:
        raise UserError(
            f"{path} must say image_size, 1 to {MOST_PIXELS}, as the model takes any size; got {described!r}"
        )
    if described is not None and described != side:
        raise UserError(f"{path}: image_size is {described!r}, but the model takes {side} x {side}")
    return side


def _triple(path: pathlib.Path, name: str, value: Any) -> tuple[float, ...]:
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    if len(values) not in (1, 3) or not all(isinstance(item, (int, float)) for item in values):
        raise UserError(f"{path}: {name} is a number or three; got {value!r}")
    if not all(map(math.isfinite, values)) or (name == "std" and not all(values)):
        zero = ", none of them 0" * (name == "std")
        raise UserError(f"{path}: {name} is of finite numbers{zero}; got {value!r}")
    return tuple(float(item) for item in (values * 3)[:3])


# Stages

Step = Callable[[np.ndarray], np.ndarray]  # (H, W, 3) uint8 BGR -> the same, another shape


def _of_stages(path: pathlib.Path, steps: Any, image_size: int | None) -> Preparation:
    """Return the Preparation of a list of stages. Raises UserError, also where they leave another size."""
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise UserError(f"{path}: stages are a list of objects with a type")
    geometric: list[Step] = []
    divisor, scaled, numbers = 1.0, False, {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    for place, step in enumerate(steps):
        kind = str(step.get("type"))
        if kind in _GEOMETRIC:
            if scaled:
                raise UserError(
                    f"{path}, stage {place + 1}: {kind} after to_tensor is not known; put it before"
                )
            geometric.append(functools.partial(_GEOMETRIC[kind], path, step))
        elif kind in ("to_tensor", "maybe_to_tensor"):
            divisor, scaled = 255.0, True
        elif kind == "rescale":
            divisor, scaled = _divisor(path, step) * (divisor if scaled else 1.0), True
        elif kind == "normalize":
            numbers = {name: _triple(path, name, step.get(name)) for name in numbers}
            scaled = True
        elif kind != "convert_rgb":  # every picture is
            known = (*_GEOMETRIC, "convert_rgb", "to_tensor", "maybe_to_tensor", "rescale", "normalize")
            raise UserError(
                f"{path}, stage {place + 1}: the type is one of {', '.join(known)}; got {kind!r}"
                f"{suggest(kind, known)}"
            )
    side, is_square = _left_side(path, geometric, image_size)
    fit = functools.partial(_run_steps, path, tuple(geometric), not is_square)
    about = f"{'' if is_square else 'white square, then '}{_words(steps)}" if geometric else BY_AREA
    return Preparation(
        side,
        channels="RGB",
        divisor=divisor,
        fit=fit if geometric else geometry.by_area,
        about=about,
        mean=numbers["mean"],
        std=numbers["std"],
    )


def _divisor(path: pathlib.Path, step: Mapping[str, Any]) -> float:
    factor = step.get("rescale_factor", 1 / 255)
    if type(factor) not in (int, float) or not 0 < factor < math.inf:
        raise UserError(f"{path}: rescale_factor is a number above 0, such as 1/255; got {factor!r}")
    return 1 / factor


def _run_steps(
    path: pathlib.Path, steps: Sequence[Step], pad_first: bool, image: np.ndarray, size: int
) -> np.ndarray:
    if pad_first:
        image = geometry.centered(image, max(image.shape[:2]))
    for step in steps:
        image = step(image)
    if image.shape != (size, size, 3):
        raise UserError(
            f"{path}: its stages make {image.shape[1]} x {image.shape[0]} pixels of a picture, but the model "
            f"takes {size} x {size}"
        )
    return image


def _left_side(path: pathlib.Path, steps: Sequence[Step], image_size: int | None) -> tuple[int, bool]:
    """Return the side that the stages leave, and whether they make a square of a wide picture.

    Raises UserError where they leave another size than the model's, also of a square.
    """
    if not steps:
        return _side(path, None, image_size), True
    wide, square = np.zeros((300, 400, 3), np.uint8), np.zeros((300, 300, 3), np.uint8)
    for step in steps:
        wide, square = step(wide), step(square)
    side = square.shape[0]
    if image_size not in (None, side):
        raise UserError(
            f"{path}: its stages make {side} x {side} pixels of a square, but the model takes "
            f"{image_size} x {image_size}"
        )
    return side, wide.shape == square.shape


def _resize(path: pathlib.Path, step: Mapping[str, Any], image: np.ndarray) -> np.ndarray:
    """A side, which the shorter side becomes (at most max_size for the longer), or (height, width)."""
    height, width = image.shape[:2]
    sizes = _sizes(path, step)
    if len(sizes) == 2:
        return geometry.resized(image, (sizes[0], sizes[1]), _method(path, step))
    size, limit = sizes[0], step.get("max_size")
    if limit is not None and not (type(limit) is int and 0 < limit <= MOST_PIXELS):
        raise UserError(f"{path}: max_size of resize is from 1 to {MOST_PIXELS} pixels; got {limit!r}")
    shape = [int(size * side / min(height, width)) for side in (height, width)]
    if limit is not None and max(shape) > limit:
        shape = [int(limit * side / max(shape)) for side in shape]
    return geometry.resized(image, tuple(max(1, side) for side in shape), _method(path, step))


def _center_crop(path: pathlib.Path, step: Mapping[str, Any], image: np.ndarray) -> np.ndarray:
    """The middle of an image, with black around where it is smaller."""
    sizes = _sizes(path, step)
    wanted = sizes * 2 if len(sizes) == 1 else sizes
    missing = [max(side - have, 0) for side, have in zip(wanted, image.shape[:2], strict=True)]
    image = np.pad(image, [*((gap // 2, gap - gap // 2) for gap in missing), (0, 0)])
    top, left = ((have - side) // 2 for side, have in zip(wanted, image.shape[:2], strict=True))
    return np.ascontiguousarray(image[top : top + wanted[0], left : left + wanted[1]])


def _pad_to_size(path: pathlib.Path, step: Mapping[str, Any], image: np.ndarray) -> np.ndarray:
    """Into a square, as large as it fits, then a color around it."""
    sizes = _sizes(path, step)
    if len(set(sizes)) != 1:
        raise UserError(f"{path}: pad_to_size to a square is known only; got {step['size']}")
    color = _color(path, step.get("background_color", "white"))
    return geometry.resize_then_pad(image, sizes[0], _method(path, step), color, round)


_GEOMETRIC = {"resize": _resize, "center_crop": _center_crop, "pad_to_size": _pad_to_size}


def _sizes(path: pathlib.Path, step: Mapping[str, Any]) -> list[int]:
    size = step.get("size")
    sizes: list[Any] = list(size) if isinstance(size, (list, tuple)) else [size]
    if len(sizes) not in (1, 2) or not all(type(side) is int and 0 < side <= MOST_PIXELS for side in sizes):
        raise UserError(
            f"{path}: size of {step['type']} is a number of pixels or two, 1 to {MOST_PIXELS}; got {size!r}"
        )
    return sizes


def _method(path: pathlib.Path, step: Mapping[str, Any]) -> str:
    method = str(step.get("interpolation", "bilinear")).lower()
    if method not in geometry.FILTERS:
        raise UserError(f"{path}: interpolation is one of {', '.join(geometry.FILTERS)}; got {method!r}")
    return method


def _color(path: pathlib.Path, value: Any) -> geometry.Color:
    """Return BGR of a color as Pillow names it, a gray level, or RGB numbers."""
    numbers = value if isinstance(value, (list, tuple)) else [value]
    try:
        if isinstance(value, str):
            numbers = ImageColor.getrgb(value)
        red, green, blue = (int(number) for number in ([*numbers] * 3 if len(numbers) == 1 else numbers[:3]))
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: background_color is a color's name or numbers; got {value!r}") from error
    return blue, green, red


def _words(steps: Sequence[Mapping[str, Any]]) -> str:
    words = []
    for step in steps:
        if step["type"] in _GEOMETRIC:
            size = step["size"] if isinstance(step["size"], int) else "x".join(map(str, step["size"]))
            method = f" {step['interpolation']}" if "interpolation" in step else ""
            words.append(f"{step['type']} {size}{method}")
    return ", ".join(words) or "as it is"
