"""The rule of the recipe `finetune`: which settings fit so many pictures, kept tags and new tags, and why.

A setting is chosen from what is known before the first step: the number of training pictures, how many of
their tags the source knows, and the source's image size. A flag on the command line always wins.
"""

import dataclasses
import math
from typing import Any

from Utils.command.text import counted
from Utils.recipe.recipe import Recipe, flag

# Measured on 270 to 2,700 training pictures (results/finetune): 8,000 presentations of 270 pictures,
# 21,600 of 2,700; twice as many gained nothing.
PRESENTATIONS, PRESENTATIONS_GROW = 720.0, 0.43
PROBE_PRESENTATIONS, PROBE_EPOCHS, PROBE_BATCH = 30_000, 12, 32
FEW_PICTURES = 5_000  # the study ends below
SHORT_MOMENTUM = 0.9  # of batch norm's averages in short runs, as the recipe small has it
MOST_LEFT = 0.05  # of the source's statistics, in averages at the end of a run that is not short
MANY_TO_SCORE = (
    500  # validation pictures; on 30, the epoch with the best F1 had 0.02 less F1 than the last one
)


@dataclasses.dataclass(frozen=True)
class Situation:
    """What is fine-tuned on what."""

    records: int  # training pictures
    kept: int  # tags of the dataset that the source knows
    new: int  # tags of the dataset that it does not
    image_size: int  # of the source
    validation: int = 0  # validation pictures
    is_probed: bool = False  # the source's classifier has been trained on these tags already, by --probe
    is_probe: bool = False  # the classifier alone is trained, on features of the body
    batch_norm_momentum: float | None = None  # of the source's layers, where no recipe of its tells it
    batch_size: int = 32  # of a device, before the flags
    epochs: int = 10  # likewise, where no tag is new


@dataclasses.dataclass(frozen=True)
class Choice:
    """Settings that belong together, and the reason for them."""

    fields: dict[str, Any]
    reason: str
    unsaid: dict[str, Any] = dataclasses.field(default_factory=dict)  # settings that follow from these

    def text(self, recipe: Recipe) -> str:
        """Return the flags and the reason in a line; of a flag that was given, what it replaces."""
        values = {name: getattr(recipe, name) for name in self.fields}
        flags = " ".join(_spelled(name, value) for name, value in values.items())
        replaced = [
            f"{_spelled(name, self.fields[name])} by the rule"
            for name, value in values.items()
            if value != self.fields[name]
        ]
        given = f"as given, not {', '.join(replaced)}; " if replaced else ""
        return f"{flags}: {given}{self.reason}"


def _spelled(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return flag(name) if value else flag(name).replace("--", "--no-", 1)
    return f"{flag(name)} {value:g}" if isinstance(value, float) else f"{flag(name)} {value}"


def choose(situation: Situation) -> list[Choice]:
    """Return the settings for a situation, each with its reason, in the order in which they are said."""
    if not (situation.new or situation.is_probe):
        size = larger_size(situation.image_size)
        larger = Choice({"image_size": size}, "1.2 times the source's: no tag is new, so detail may help")
        return [larger, *_averages(situation, situation.epochs)]
    length = _length(situation)
    return [
        _size(situation),
        _optimizer(situation),
        _learned(situation),
        length,
        *_averages(situation, length.fields["epochs"]),
        *_mixup(situation),
    ]


def apply(recipe: Recipe, choices: list[Choice]) -> Recipe:
    """Return a recipe with the settings of all choices."""
    fields: dict[str, Any] = {}
    for choice in choices:
        fields |= {**choice.unsaid, **choice.fields}
    return dataclasses.replace(recipe, **fields)


def _size(situation: Situation) -> Choice:
    return Choice({"image_size": situation.image_size}, "the source's, for which its features are made")


def larger_size(image_size: int) -> int:
    """Return 1.2 times an image size, rounded up to a multiple of 32: the original went from 320 to 384."""
    return math.ceil(1.2 * image_size / 32 - 1e-9) * 32


def _optimizer(situation: Situation) -> Choice:
    fields = {"optimizer": "adamw", "weight_decay": 0.05, "learning_rate_batch_size": 0}
    # Those of the source's optimizer.
    others = {"momentum": None, "optimizer_options": (), "agc": 0.0, "ema": 0.0, "gradient_accumulation": 1}
    if situation.is_probed and not situation.is_probe:
        reason = "the classifier has learned by --probe already"
        return Choice({**fields, "learning_rate": 1e-3}, reason, others)
    reason = f"new tags ({situation.new}) start at 0 and must be learned in few steps, whatever the batch"
    return Choice({**fields, "learning_rate": 3e-3}, reason, others)


def _learned(situation: Situation) -> Choice:
    if situation.is_probed and not situation.is_probe:
        return Choice({"learned_rate_factor": 0.1}, "the body follows a classifier that is good already")
    what = f"the rows of {situation.kept} kept tags" + ("" if situation.is_probe else " and the body")
    return Choice({"learned_rate_factor": 0.03}, f"{what} stay near what they are")


def _length(situation: Situation) -> Choice:
    records = max(situation.records, 1)
    fields: dict[str, Any] = {}
    if situation.is_probe:  # a pass takes a second, and so do validation and checkpoint after an epoch
        passes, epochs = _clipped(PROBE_PRESENTATIONS / records, 10, 40), PROBE_EPOCHS
        steps = max(1, passes * records // (epochs * PROBE_BATCH))
        steps -= steps % 10 if steps > 100 else 0  # so that ten or more can be done in one call
        fields = {"batch_size_per_device": PROBE_BATCH, "steps_per_epoch": steps}
        presentations = epochs * steps * PROBE_BATCH
    else:
        epochs = _clipped(PRESENTATIONS * records ** (PRESENTATIONS_GROW - 1), 3, 100)
        presentations = epochs * records
    fields |= {"epochs": epochs, "early_stopping": max(5, epochs // 3)}
    reason = f"{counted(records, 'picture')}, {presentations:,} presentations; the best epoch's model counts"
    if situation.validation < MANY_TO_SCORE:
        fields["best_by"] = "loss"
        if not situation.is_probe:  # the loss of few ended one of six runs too early: 0.027 less F1
            fields["early_stopping"] = 0
        reason += f", by the loss: F1 on {situation.validation:,} validation pictures is mostly chance"
    elif situation.kept and situation.new:
        fields["best_by"] = "balanced_f1"
        reason += ", by the mean F1 of kept and of new tags"
    return Choice(fields, reason)


def _clipped(epochs: float, least: int, most: int) -> int:
    return int(min(max(math.ceil(epochs), least), most))


def _averages(situation: Situation, epochs: int) -> list[Choice]:
    """Return the momentum of batch norm's moving averages, where the source's layers alone tell one.

    A step keeps that share of them; after n steps momentum**n of the source's statistics are left.
    """
    momentum = situation.batch_norm_momentum
    if momentum is None or situation.is_probe:
        return []
    steps = epochs * max(1, situation.records // situation.batch_size)
    if momentum**steps <= MOST_LEFT:
        return [Choice({"batch_norm_momentum": momentum}, "that of the source's layers; it has no recipe")]
    reason = (
        f"with {momentum:g}, that of the source's layers, {momentum**steps:.0%} of the averages over its own "
        f"pictures would be left after {steps:,} steps"
    )
    return [Choice({"batch_norm_momentum": min(momentum, SHORT_MOMENTUM)}, reason)]


def _mixup(situation: Situation) -> list[Choice]:
    if situation.is_probe or situation.records >= FEW_PICTURES:
        return []
    return [Choice({"mixup_alpha": 0.2}, f"below {FEW_PICTURES:,} pictures a little of it is best")]


LONG = 1800  # seconds from which a probe is advised first


def advise(finetune_seconds: float, probe_seconds: float, new_tags: int) -> str:
    """Return in a sentence which of --probe and the full training is advised, and why.

    On pictures like the source's a probe reaches the F1 of the full training on new tags, and keeps the other
    tags better (results/finetune). On pictures of another kind the body has more to learn: not measured.
    """
    if not new_tags:
        return "the full training: there are no new tags, which is what --probe is good at"
    if finetune_seconds > LONG and probe_seconds < finetune_seconds / 3:
        return (
            "--probe first: it learns most of what the new tags need in a fraction of this time, and its run "
            "is a source for --init-from, if the body shall be trained then"
        )
    return "the full training: its time is short, and the body learns what --probe cannot teach it"
