"""Flags that nothing would obey: they are refused, or a run would pass for one that it is not."""

import dataclasses

from Utils.command.cli import UserError
from Utils.command.text import join_names
from Utils.recipe import durations
from Utils.recipe.options import LossOptions
from Utils.recipe.recipe import Recipe, flag

# Fields that one loss alone looks at: its name is their beginning.
OPTIONS_OF_LOSSES = {field.name for field in dataclasses.fields(LossOptions)} - {
    "loss", "label_smoothing", "tag_weights",
}  # fmt: skip

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


def require(recipe: Recipe, words: list[str]) -> None:
    """Raise UserError where a flag asks for what nothing does; fields of the recipe itself may."""
    given = {word.partition("=")[0] for word in words}
    for field in dataclasses.fields(Recipe):
        needed = owner(field.name, recipe)
        if needed and flag(field.name) in given and getattr(recipe, field.name) != field.default:
            raise UserError(f"{flag(field.name)} would be without effect: it goes with {needed}")
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
    if name.startswith(("decay_", "floor")):
        schedules = ("wsd",) if name == "decay_share" else ("cosine", "wsd")
        needed = f"--schedule {' or '.join(schedules)}; the schedule is {recipe.schedule}"
        return "" if recipe.schedule in schedules else needed
    if name == "warmup_start":
        return "" if durations.parse(recipe.warmup).amount else "a --warmup above 0"
    if name in ("which", "source_order", "learned_rate_factor"):
        return "" if recipe.init_from else "--init-from, which is missing"
    is_of_a_loss = name in OPTIONS_OF_LOSSES and not name.startswith(f"{recipe.loss}_")
    return f"its own loss; --loss is {recipe.loss}" if is_of_a_loss else ""
