"""The whole configuration of a training run: one frozen dataclass and its named recipes.

The flags of train.py (``Utils.recipe.command_line``), ``recipe.json`` and what trackers record all derive
from the fields of ``Recipe``, which are flat and come from the groups it joins (``Utils.recipe.options``).
"""

import dataclasses
import functools
import importlib
import os
import pathlib
import pkgutil
import types
from collections.abc import Callable
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from Utils.command.cli import UserError, suggest
from Utils.command.limits import Checked, check
from Utils.data import folds
from Utils.files import atomic
from Utils.images.augmentation import Augmentation
from Utils.recipe import durations
from Utils.recipe.options import (
    DataOptions,
    LossOptions,
    ModelOverrides,
    OptimizerOptions,
    RunOptions,
    StartOptions,
)

RECIPE_FILE = "recipe.json"
Group = TypeVar("Group", bound=Checked)


# Python takes the fields of the last base first, so the groups stand here from the last to the first.
@dataclasses.dataclass(frozen=True)
class Recipe(
    RunOptions, OptimizerOptions, LossOptions, Augmentation, DataOptions, ModelOverrides, StartOptions
):
    """Everything that decides what a training run does, apart from the data and the machine."""

    def __post_init__(self) -> None:
        check(self, flag)
        durations.parse(self.warmup, flag="--warmup")
        durations.parse(self.checkpoint_every, time=True, flag="--checkpoint-every")
        folds.parse(self.fold)
        if self.freeze_body_epochs >= self.epochs:
            raise UserError(
                f"--freeze-body-epochs must be below --epochs; got {self.freeze_body_epochs} of "
                f"{self.epochs}. --freeze-body-epochs {self.epochs - 1} would fit"
            )
        for field in ("teacher_thresholds", "teacher_weight"):
            if getattr(self, field) != getattr(DataOptions, field) and not self.teacher:
                raise UserError(f"{flag(field)} goes with --teacher, which is missing")
        if self.sampling_threshold is not None and self.sampling != "repeat_factor":
            raise UserError(f"--sampling-threshold goes with --sampling repeat_factor; got {self.sampling}")
        if self.teacher and self.probe:
            raise UserError("--probe trains on stored labels, to which --teacher cannot add; leave one out")
        self.model_overrides()  # these two only to raise for a malformed NAME=VALUE
        self.optimizer_overrides()

    def group(self, kind: type[Group]) -> Group:
        """Return one of the groups that a recipe joins, for example ``group(Augmentation)``."""
        names = [field.name for field in dataclasses.fields(kind)]
        return kind(**{name: getattr(self, name) for name in names})

    def steps(self, records: int, batch_size: int) -> int:
        """Return the steps of an epoch: ``steps_per_epoch``, else the whole batches of records, at least 1.

        Raises UserError unless they are a multiple of ``steps_per_execution``.
        """
        steps = self.steps_per_epoch or max(1, records // batch_size)
        chunk = self.steps_per_execution
        if steps % chunk:
            raise UserError(
                f"the {steps} steps of an epoch are no multiple of --steps-per-execution {chunk}; "
                f"--steps-per-epoch {max(1, steps // chunk) * chunk} would fit"
            )
        return steps

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON holds them (tuples are lists)."""
        fields = dataclasses.asdict(self)
        return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def flag(field: str) -> str:
    """Return the flag of a field: ``--mixup-alpha`` of ``mixup_alpha``."""
    return f"--{field.replace('_', '-')}"


def recipe_names() -> list[str]:
    """Return the names of the recipes, one for each file of Utils/recipe/recipes."""
    folder = pathlib.Path(__file__).parent / "recipes"
    return sorted(module.name for module in pkgutil.iter_modules([str(folder)]))


def load_recipe(name: str, before: Recipe | None = None) -> Recipe:
    """Return the recipe of that name; UserError for an unknown one, which lists all names.

    ``before`` is the recipe that trained the initial weights; a recipe module may derive its own from it,
    in a function ``after(before)``.
    """
    module = _recipe_module(name)
    return module.after(before) if before is not None and hasattr(module, "after") else module.RECIPE


def recipe_rule(name: str) -> Callable[[Any], list[Any]] | None:
    """Return the function ``choose`` of a recipe that fits its settings to a situation, or None."""
    return getattr(_recipe_module(name), "choose", None)


def recipe_docstring(name: str) -> str:
    """Return what the recipe's file says about it: command, cost, expected score."""
    return _recipe_module(name).__doc__ or ""


def _recipe_module(name: str) -> types.ModuleType:
    names = recipe_names()
    if name not in names:
        raise UserError(f"no recipe is named {name!r}{suggest(name, names)}; there are {', '.join(names)}")
    return importlib.import_module(f"Utils.recipe.recipes.{name}")


def write_recipe(path: str | os.PathLike[str], name: str, recipe: Recipe) -> None:
    """Write ``recipe.json``: the recipe's name and every field."""
    atomic.write_json(path, {"recipe": name, **recipe.to_dict()})


def read_recipe(path: str | os.PathLike[str]) -> tuple[str | None, dict[str, Any]]:
    """Return ``(name, fields)`` of a ``recipe.json``; UserError that names a field of another type."""
    fields = _with_former_defaults(atomic.read_json(path, {"recipe?": (str, None), **fields_shape()}))
    return fields.pop("recipe", None), fields


@functools.cache
def fields_shape() -> dict[str, Any]:
    """Return the shape (`Utils.files.shapes`) of a recipe's fields in JSON, where all may be missing."""
    kinds = get_type_hints(Recipe)
    return {f"{field.name}?": _shape(kinds[field.name]) for field in dataclasses.fields(Recipe)}


def _shape(kind: Any) -> Any:
    """Return the shape in JSON of what an annotation allows: tuples are lists, choices are texts."""
    if get_origin(kind) is tuple:
        return [_shape(get_args(kind)[0])]
    if get_origin(kind) is Literal:
        return str
    if isinstance(kind, types.UnionType):
        return tuple(None if item is type(None) else item for item in get_args(kind))
    return kind


def recipe_from_dict(fields: dict[str, Any]) -> Recipe:
    """Return the Recipe with the fields of a ``recipe.json``; absent ones have their defaults."""
    names = {field.name for field in dataclasses.fields(Recipe)}
    unknown = sorted(set(fields) - names)
    if unknown:
        raise UserError(f"a recipe has no field {unknown[0]!r}{suggest(unknown[0], names)}")
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in _with_former_defaults(fields).items()
    }
    return Recipe(**values)


def _with_former_defaults(fields: dict[str, Any]) -> dict[str, Any]:
    """Add fields that an older ``recipe.json`` lacks, where the program then differed from the default."""
    # Before the field existed, the gradient of a focused ASL always stopped at the focusing weight.
    is_focused = fields.get("asl_gamma_neg") or fields.get("asl_gamma_pos")
    if fields.get("loss") == "asl" and is_focused:
        return {"asl_stop_focus_gradient": True, **fields}
    return fields
