"""What a ``.keras`` file that no run wrote is: ``x.json`` beside ``x.keras``, as import_weights writes it.

``{"model": "ViT/B16", "options": {field of its Spec: value}, "image_size", "num_labels", "source": {...}}``.
With it the model can be built again, trained on as a recipe's own model, and written as timm's. ``source`` is
where the weights came from and how that place described itself.
"""

import dataclasses
import pathlib
from typing import Any

from Utils.files import atomic, shapes

_SHAPE = {"model": str, "options": dict, "source?": (dict, None)}


@dataclasses.dataclass(frozen=True)
class ModelDescription:
    """The name of a model of the zoo, the fields in which it differs from its variant, and its source."""

    model: str  # Family/Variant
    options: dict[str, Any]  # lists where the Spec has tuples
    source: dict[str, Any]


def path_beside(file: pathlib.Path) -> pathlib.Path:
    """Return where the description of a ``.keras`` file lies."""
    return file.with_suffix(".json")


def read(file: pathlib.Path) -> ModelDescription | None:
    """Return the description beside a ``.keras`` file; None where there is none."""
    path = path_beside(file)
    if not path.is_file():
        return None
    content = atomic.read_json(path)
    if not isinstance(content, dict) or not {"model", "options"} <= content.keys():
        return None  # a JSON of something else
    shapes.require(path, content, _SHAPE)
    return ModelDescription(content["model"], content["options"], content.get("source") or {})


def write(file: pathlib.Path, description: ModelDescription) -> None:
    """Write the description of a ``.keras`` file beside it."""
    atomic.write_json(path_beside(file), dataclasses.asdict(description))
