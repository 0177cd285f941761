"""Flags that nothing would obey: they are refused, or a run would pass for one that it is not."""

import dataclasses
from typing import Any

from Utils.command.cli import UserError
from Utils.command.text import join_names
from Utils.recipe import durations
from Utils.recipe.options import LossOptions
from Utils.recipe.recipe import Recipe, flag

# Fields that only some values of another make obeyed: an option of a loss begins with the loss's name.
OPTIONS_OF_LOSSES = {field.name for field in dataclasses.fields(LossOptions)} - {
    "loss", "label_smoothing", "tag_weights",
}  # fmt: skip
OWNERS = {
    **dict.fromkeys(OPTIONS_OF_LOSSES, "loss"),
    **dict.fromkeys(("decay_share", "floor"), "schedule"),
    **dict.fromkeys(("which", "source_order", "learned_rate_factor"), "init_from"),
    "warmup_start": "warmup",
}

# Fields that a probe does not look at, with the values that ask for nothing.
NOT_OF_A_PROBE = {
    "augment_on": ["host"],
    "batch_norm_images": [0],
    "crop": [(1.0, 1.0)],
    "cutout": [0.0],
    "freeze_body_epochs": [0],
    "layer_decay": [1.0],
    "mixup_alpha": [0.0],
    "rematerialize": ["none", "auto"],
    "rotation": [0.0],
}


_OF_SPLC_EPOCHS = {"--loss", "--epochs", "--splc-change-epoch"}


def _idle(recipe: Recipe, words: list[str]) -> dict[str, str]:
    """Return ``{field: what it goes with}`` of fields that flags set and nothing would obey."""
    given = {word.partition("=")[0] for word in words}
    asked = (
        field.name
        for field in dataclasses.fields(Recipe)
        if flag(field.name) in given and getattr(recipe, field.name) != field.default
    )
    return {name: needed for name in asked if (needed := owner(name, recipe))}


def without_idle(recipe: Recipe, words: list[str]) -> tuple[Recipe, list[str]]:
    """Return a recipe with the defaults of fields that it would not obey, and the flags that set them.

    For W&B's agents, which give every parameter of a sweep to every run.
    """
    idle = _idle(recipe, words)
    defaults: dict[str, Any] = {field.name: field.default for field in dataclasses.fields(Recipe)}
    defaults = {name: defaults[name] for name in idle}
    return dataclasses.replace(recipe, **defaults), sorted(map(flag, idle))


def require(recipe: Recipe, words: list[str]) -> None:
    """Raise UserError where a flag asks for what nothing does; fields of the recipe itself may."""
    given = {word.partition("=")[0] for word in words}
    for name, needed in _idle(recipe, words).items():
        raise UserError(
            f"{flag(name)} would be without effect: it goes with {needed}. Leave it out; sweep.py and W&B's "
            f"agents do, where it is a parameter of a sweep over {flag(OWNERS[name])}"
        )
    if recipe.loss == "splc" and given & _OF_SPLC_EPOCHS and recipe.splc_change_epoch >= recipe.epochs:
        raise UserError(
            f"--loss splc corrects from epoch {recipe.splc_change_epoch} on, counted from 0, and the run has "
            f"{recipe.epochs}: it would correct nothing; give a smaller --splc-change-epoch"
        )
    asked = [name for name, nothing in NOT_OF_A_PROBE.items() if getattr(recipe, name) not in nothing]
    idle = [flag(name) for name in asked if flag(name) in given]
    if recipe.probe and idle:
        raise UserError(
            "--probe trains the classifier alone, on features of pictures as they are and, but for "
            f"--no-flip, mirrored; without effect would be {join_names(idle)}: leave that out"
        )


def owner(name: str, recipe: Recipe) -> str:
    """Return what a field goes with, where the recipe does not ask for that; else ""."""
    match OWNERS.get(name):
        case "loss":
            is_obeyed, needed = name.startswith(f"{recipe.loss}_"), f"its own loss; --loss is {recipe.loss}"
        case "schedule":
            schedules = ("wsd",) if name == "decay_share" else ("cosine", "wsd")
            is_obeyed = recipe.schedule in schedules
            needed = f"--schedule {' or '.join(schedules)}; the schedule is {recipe.schedule}"
        case "warmup":
            is_obeyed, needed = durations.parse(recipe.warmup).amount > 0, "a --warmup above 0"
        case "init_from":
            is_obeyed, needed = bool(recipe.init_from), "--init-from, which is missing"
        case _:
            return ""
    return "" if is_obeyed else needed
