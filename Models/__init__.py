"""The model zoo: ``Models.build("ConvNext/T", image_size=320, num_labels=2380)``.

A family is a file of this folder whose name starts with a capital letter; nothing else lists it. Families
are imported when they are asked for, the custom layers at once, so that ``keras.saving.load_model`` opens
any model of the zoo after ``import Models``.
"""

import importlib
import pathlib

import Models.layers  # noqa: F401  registers every custom layer
from Models import specs
from Models.layers.augmentation import augment_batch, with_augmentation  # noqa: F401  part of the interface
from Models.layers.model_ends import with_probabilities, without_activation  # noqa: F401  part of the interface
from Utils.command.cli import UserError, suggest


def available():
    """Return the names of all families, sorted."""
    here = pathlib.Path(__file__).parent
    return sorted(file.stem for file in here.glob("*.py") if file.stem[0].isupper())


def family(name):
    """Return the module of ``"Family"`` or ``"Family/Variant"``; UserError where there is none."""
    wanted = str(name).split("/")[0]
    if wanted not in available():
        hint = suggest(wanted, available())
        raise UserError(f"there is no model family {wanted!r}; there are {', '.join(available())}{hint}")
    return importlib.import_module(f"Models.{wanted}")


def variants(name):
    """Return ``{variant: Spec}`` of a family."""
    return dict(family(name).VARIANTS)


def timm_families():
    """Return ``{family: its TIMM rules}`` of the families that timm has models of."""
    modules = {name: family(name) for name in available()}
    return {name: module.TIMM for name, module in modules.items() if hasattr(module, "TIMM")}


def spec(name, **overrides):
    """Return the Spec of ``"Family/Variant"`` with fields replaced; UserError for what does not exist."""
    wanted, _, variant = str(name).partition("/")
    rows = variants(wanted)
    if variant not in rows:
        got = f"{variant!r}{suggest(variant, rows)}" if variant else "none"
        raise UserError(f"{wanted} has the variants {', '.join(rows)}; got {got}")
    chosen = rows[variant]
    hints = specs.fields(chosen)
    for field, value in overrides.items():
        if field not in hints:
            hint = suggest(field, hints)
            raise UserError(f"{name} has no field {field!r}; it has {', '.join(hints)}{hint}")
        if not specs.fits(value, hints[field]):
            raise UserError(f"{name}: {field} must be {specs.describe(hints[field])}; got {value!r}")
    return specs.replace(chosen, overrides)


def build(name, *, image_size, num_labels, classifier_activation="sigmoid", **overrides):
    """Build ``"Family/Variant"`` as a functional model with fresh weights.

    Input ``image``, (B, image_size, image_size, 3), 0..255, BGR unless trained otherwise; the scaling is
    inside. Output (B, num_labels) in float32: probabilities, or logits with ``classifier_activation=None``.
    ``overrides`` replace fields of the family's Spec: ``attention="eca"``, ``stochastic_depth=0.2``.
    Raises UserError that lists what exists for an unknown family, variant, field or value.
    """
    chosen = spec(name, **overrides)
    for argument, value in (("image_size", image_size), ("num_labels", num_labels)):
        if not isinstance(value, int) or value < 1:
            raise UserError(f"{argument} must be a whole number above 0; got {value!r}")
    try:
        return family(name).build(
            chosen,
            image_size=image_size,
            num_labels=num_labels,
            classifier_activation=classifier_activation,
            name=name.replace("/", "-"),
        )
    except ValueError as error:
        raise UserError(f"cannot build {name} at {image_size} px for {num_labels} labels: {error}") from error


def at_size(model, image_size):
    """Return a copy of a model for images of another size; position embeddings are resampled."""
    from Models import resizing

    return resizing.at_size(model, image_size)


def load(path, which="best"):
    """Load a run folder or a ``.keras`` file as a ``KerasTagger``: model, tags and preprocessing in one.

    ``which``: ``"best"`` or ``"last"`` model of a run. Raises UserError that says what was looked for.
    """
    from Models.loading import load_tagger

    return load_tagger(path, which)
