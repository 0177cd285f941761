"""What the scores of a validation say about a run that learns badly, and what to try."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from Utils.command.text import counted

# Scores that say what is wrong; in history.csv they come after all other columns.
SCORES = ("prior_loss", "prior_f1", "never_predicted", "saturated")
MANY_SATURATED = 0.01  # share of outputs from which the line of an epoch names it
NEAR = 0.1  # of the way from the F1 of frequencies to 1
BY_HEART = 0.95  # of the loss of frequencies: below it training pictures are learned


def describe(row: Mapping[str, Any]) -> list[str]:
    """Return what is unusual in an epoch's row of the history, in a few words each."""
    words = []
    if row.get("val_never_predicted"):
        words.append(f"{counted(round(row['val_never_predicted']), 'tag')} never predicted")
    if row.get("val_saturated", 0.0) >= MANY_SATURATED:
        words.append(f"{row['val_saturated']:.0%} of outputs saturated")
    return words


def advice(
    rows: Sequence[Mapping[str, Any]],
    epochs: int,
    peak_rate: float | None = None,
    first_loss: float | None = None,
) -> str | None:
    """Return a warning where F1 is near that of frequencies, with what to try; None where all is well.

    It is given once a quarter of the epochs is done, and again at the end.

    Args:
        rows: of the history, at least one.
        epochs: of the whole run.
        peak_rate: --learning-rate, which is not scaled for the batch yet; None: the highest rate of the rows.
        first_loss: validation loss before the first step of a run that began with weights: it may be above
            that of frequencies, and steps that lower it are not too long. Nor are those that lower the loss
            of the training pictures only.
    """
    row, rate = rows[-1], peak_rate or max(row["learning_rate"] for row in rows)
    f1, prior_f1 = row.get("val_f1"), row.get("val_prior_f1")
    if row["epoch"] not in (max(1, math.ceil(epochs / 4)), epochs) or f1 is None or prior_f1 is None:
        return None
    if f1 - prior_f1 >= NEAR * (1 - prior_f1):
        return None
    text = (
        f"warning: val_f1 {f1:.4f} is near the {prior_f1:.4f} that the tags' frequencies alone give: "
        "the model has learned next to nothing from the images. "
    )
    prior_loss = row.get("val_prior_loss", math.inf)
    shorter = f"so its steps are too long: try --learning-rate {rate / 3:.2g}"
    look = "Look at batch.png: do the tags fit the images? If they do,"
    if row["val_saturated"] >= MANY_SATURATED:
        return f"{text}{row['val_saturated']:.0%} of its outputs are saturated, {shorter}"
    if row["val_loss"] > max(prior_loss, first_loss or 0.0):
        if row["loss"] < BY_HEART * prior_loss:
            reason = "It learns the training pictures by heart: only their loss is better."
            return f"{text}{reason} {look} it needs more pictures"
        return f"{text}Its loss is no better either, {shorter}"
    return f"{text}{look} train for more epochs, or try --learning-rate {3 * rate:.2g}"
