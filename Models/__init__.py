"""The model zoo: ``Models.build("ConvNext/T", image_size=320, num_labels=2380)``.

A family is a file of this folder whose name starts with a capital letter; no list names it a second time.
Families are imported on demand, the custom layers at once, so that ``keras.saving.load_model`` opens any
model of the zoo after ``import Models``.
"""

import importlib
import pathlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from Utils.command import backend

if "keras" not in sys.modules:  # in a notebook and in ``python -m Models``: without its libraries' messages
    backend.prepare_backend(["keras"])
import keras

import Models.layers  # noqa: F401  registers every custom layer
from Models import other_names, specs
from Models.layers.augmentation import augment_batch, with_augmentation  # noqa: F401  part of the interface
from Models.layers.dot_product_attention import set_attention_implementation  # noqa: F401  the same
from Models.layers.model_ends import with_probabilities, without_activation  # noqa: F401  part of the interface
from Models.layers.rematerialization import rematerialized  # noqa: F401  part of the interface
from Utils.command.cli import UserError

if TYPE_CHECKING:
    from Models.loading import KerasTagger


FUNCTIONS = (
    "at_size", "augment_batch", "available", "build", "family", "load", "rematerialized",
    "set_attention_implementation", "shape_of_timm", "spec", "timm_families", "variants", "with_augmentation",
    "with_probabilities", "without_activation",
)  # fmt: skip


def __getattr__(name: str) -> ModuleType:
    """Return the module of a family, imported now: ``Models.ConvNext``."""
    if name not in available():
        raise AttributeError(
            f"module 'Models' has no attribute {name!r}; families are {', '.join(available())}"
            f"{_model_hint(name)}"
        )
    return family(name)


def __dir__() -> list[str]:
    """Return what a notebook offers after ``Models.``: families and public functions."""
    return sorted([*available(), *FUNCTIONS])


def available() -> list[str]:
    """Return the names of all families, sorted."""
    folder = pathlib.Path(__file__).parent
    return sorted(file.stem for file in folder.glob("*.py") if file.stem[0].isupper())


def family(name: str) -> ModuleType:
    """Return the module of ``"Family"`` or ``"Family/Variant"``; UserError for an unknown family."""
    family_name = str(name).split("/")[0]
    if family_name not in available():
        hint = _model_hint(name)
        raise UserError(f"there is no model family {family_name!r}; there are {', '.join(available())}{hint}")
    return importlib.import_module(f"Models.{family_name}")


def variants(name: str) -> dict[str, Any]:
    """Return ``{variant: Spec}`` of a family."""
    return dict(family(name).VARIANTS)


def timm_families() -> dict[str, Any]:
    """Return ``{family: its TIMM rules}`` of the families that exist in timm too."""
    modules = {name: family(name) for name in available()}
    return {name: module.TIMM for name, module in modules.items() if hasattr(module, "TIMM")}


def shape_of_timm(name: str) -> tuple[str, dict[str, Any]]:
    """Return ``("Family/Variant", overrides)`` that have the layers of timm's model of that name.

    Raises UserError for a model that no family of ours has.
    """
    for family_name, rules in timm_families().items():
        if name in rules.models:
            variant, fields = rules.models[name]
            return f"{family_name}/{variant}", {**rules.fields, **fields}
    raise UserError(f"no family has the layers of timm's {name!r}")


def _model_hint(name: str) -> str:
    rows = {family_name: variants(family_name) for family_name in available()}
    return other_names.model_hint(str(name), rows, timm_families())


def spec(name: str, **overrides: Any) -> Any:
    """Return the Spec of ``"Family/Variant"`` with fields replaced; UserError for what does not exist."""
    family_name, _, variant = str(name).partition("/")
    rows = variants(family_name)
    if variant not in rows:
        got = f"{variant!r}{_model_hint(name)}" if variant else "none"
        raise UserError(f"{family_name} has the variants {', '.join(rows)}; got {got}")
    annotations = specs.fields(rows[variant])
    overrides = other_names.current_fields(overrides)
    for field, value in overrides.items():
        if field not in annotations:
            hint = other_names.field_hint(field, annotations, getattr(family(name), "TIMM", None))
            raise UserError(f"{name} has no field {field!r}; it has {', '.join(annotations)}{hint}")
        if not specs.fits(value, annotations[field]):
            allowed, hint = specs.describe(annotations[field]), specs.hint(value, annotations[field])
            raise UserError(f"{name}: {field} must be {allowed}; got {value!r}{hint}")
    replaced = specs.replace(rows[variant], overrides)
    if (blocks := specs.blocks(replaced)) > specs.MOST_BLOCKS:
        raise UserError(f"{name} may have up to {specs.MOST_BLOCKS:,} blocks; got {blocks:,}")
    return replaced


def build(
    name: str,
    *,
    image_size: int,
    num_labels: int,
    classifier_activation: str | None = "sigmoid",
    **overrides: Any,
) -> keras.Model:
    """Build ``"Family/Variant"`` as a functional model with fresh weights.

    Input ``image``: (B, image_size, image_size, 3), 0..255, BGR unless trained otherwise; scaled inside.
    Output: (B, num_labels) float32, probabilities, or logits with ``classifier_activation=None``.
    ``overrides`` replace fields of the family's Spec: ``attention="eca"``, ``stochastic_depth=0.2``.
    Raises UserError that lists what exists for an unknown family, variant, field or value.
    """
    model_spec = spec(name, **overrides)
    for argument, value in (("image_size", image_size), ("num_labels", num_labels)):
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{argument} must be a whole number above 0; got {value!r}")
    try:
        return family(name).build(
            model_spec,
            image_size=image_size,
            num_labels=num_labels,
            classifier_activation=classifier_activation,
            name=name.replace("/", "-"),
        )
    # Sizes that do not fit each other end in these, somewhere in the layers.
    except (ValueError, ArithmeticError, IndexError) as error:
        raise UserError(f"cannot build {name} at {image_size} px for {num_labels} labels: {error}") from error


def at_size(model: keras.Model, image_size: int) -> keras.Model:
    """Return a copy of a model for images of another size; position embeddings are resampled."""
    from Models import resizing

    return resizing.at_size(model, image_size)


def load(path: Any, which: str = "best") -> "KerasTagger":
    """Load a run folder, a ``.keras`` file or a release as a tagger: model, tags and preprocessing in one.

    ``which``: ``"best"`` or ``"last"`` model of a run. Raises UserError that says what was looked for.
    """
    from Models.loading import load_tagger

    return load_tagger(path, which)
