"""Durations as people write them (``5 epochs``, ``500 steps``, ``1e6 images``, ``10m``), as steps."""

import dataclasses
import math
import re

from Utils.command.cli import UserError

_MOST = 1e12  # of any unit; steps are counted in whole numbers
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_UNITS = {
    "": "epochs", "e": "epochs", "epoch": "epochs", "epochs": "epochs",
    "step": "steps", "steps": "steps", "image": "images", "images": "images",
    "s": "s", "second": "s", "seconds": "s", "m": "m", "min": "m", "minute": "m", "minutes": "m",
    "h": "h", "hour": "h", "hours": "h",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Duration:
    """An amount of one unit: ``epochs``, ``steps``, ``images`` or seconds (``s``)."""

    amount: float
    unit: str

    def steps(self, steps_per_epoch: int, batch_size: int) -> int:
        """Return the duration in whole steps; ``batch_size`` is the global one, images round up.

        Raises ValueError for a time, which no number of steps follows from.
        """
        if self.unit == "s":
            raise ValueError(f"no number of steps follows from {self}")
        if self.unit == "images":
            return math.ceil(self.amount / batch_size)
        return round(self.amount * (steps_per_epoch if self.unit == "epochs" else 1))

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit}"


def parse(text: str, *, time: bool = False, flag: str = "a length") -> Duration:
    """Return the Duration that ``text`` names; a bare number counts epochs.

    ``time`` allows seconds, minutes and hours too; ``flag`` is what errors call the text. Raises UserError
    for two durations at once, an unknown unit, an amount below 0 or above 1e12.
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:[eE][+-]?\d+)?)\s*([A-Za-z]*)\s*", str(text))
    unit = _UNITS.get(match[2].lower()) if match else None
    try:
        amount = float(match[1]) if match and unit else None
    except ValueError:  # 1.2.3
        amount = None
    if amount is None or unit is None:
        raise UserError(f"{flag} must be {_in_words(time)}; got {text!r}")
    if not amount <= _MOST:
        raise UserError(f"{flag} must be at most {_MOST:g} of a unit; got {text!r}")
    if unit not in _SECONDS:
        return Duration(amount, unit)
    if not time:
        raise UserError(f"{flag} must be {_in_words(time)}, not in time; got {text!r}")
    return Duration(amount * _SECONDS[unit], "s")


def _in_words(time: bool) -> str:
    """Return what a duration may be."""
    if time:
        return "a number of epochs, steps, images, s, m or h, as '0.5 epochs' or '10m'"
    return "a number of epochs, steps or images, as '0.5 epochs' or '500 steps'"
