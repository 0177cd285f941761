"""Lengths as people write them, ``5 epochs``, ``500 steps``, ``1e6 images``, ``10m``, and in steps."""

import dataclasses
import math
import re

from Utils.command.cli import UserError

SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
SPELLED = {
    "": "epochs", "e": "epochs", "epoch": "epochs", "epochs": "epochs",
    "step": "steps", "steps": "steps", "image": "images", "images": "images",
    "s": "s", "second": "s", "seconds": "s", "m": "m", "min": "m", "minute": "m", "minutes": "m",
    "h": "h", "hour": "h", "hours": "h",
}  # fmt: skip
ALLOWED = "a number and one of epochs, steps, images, s, m, h, such as '5 epochs' or '10m'"


@dataclasses.dataclass(frozen=True)
class Duration:
    """An amount of one unit: ``epochs``, ``steps``, ``images`` or seconds (``s``)."""

    amount: float
    unit: str

    def steps(self, steps_per_epoch, batch_size):
        """Return the length in whole steps; ``batch_size`` is the global one, images round up.

        Raises UserError where the unit is time: no number of steps follows from it.
        """
        if self.unit == "s":
            raise UserError(f"a length in epochs, steps or images is needed here, not in time; got {self}")
        if self.unit == "images":
            return math.ceil(self.amount / batch_size)
        return round(self.amount * (steps_per_epoch if self.unit == "epochs" else 1))

    def __str__(self):
        return f"{self.amount:g} {self.unit}"


def parse(text, *, time=False):
    """Return the Duration that ``text`` names; a bare number counts epochs.

    ``time`` allows seconds, minutes and hours too. Raises UserError for two lengths at once, an unknown unit,
    a negative or infinite amount.
    """
    found = re.fullmatch(r"\s*([0-9.]+(?:[eE][+-]?\d+)?)\s*([A-Za-z]*)\s*", str(text))
    unit = SPELLED.get(found[2].lower()) if found else None
    if unit is None:
        raise UserError(f"a length is {ALLOWED}; got {text!r}")
    try:
        amount = float(found[1])
    except ValueError:
        raise UserError(f"a length is {ALLOWED}; got {text!r}") from None
    if not math.isfinite(amount):
        raise UserError(f"a length is finite; got {text!r}")
    if unit not in SECONDS:
        return Duration(amount, unit)
    if not time:
        raise UserError(f"a length in epochs, steps or images is needed here, not in time; got {text!r}")
    return Duration(amount * SECONDS[unit], "s")
