"""Durations as people write them (``5 epochs``, ``500 steps``, ``1e6 images``, ``10m``), as steps."""

import dataclasses
import math
import re

from Utils.command.cli import UserError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_UNITS = {
    "": "epochs", "e": "epochs", "epoch": "epochs", "epochs": "epochs",
    "step": "steps", "steps": "steps", "image": "images", "images": "images",
    "s": "s", "second": "s", "seconds": "s", "m": "m", "min": "m", "minute": "m", "minutes": "m",
    "h": "h", "hour": "h", "hours": "h",
}  # fmt: skip
_ALLOWED = "a number and one of epochs, steps, images, s, m, h, for example '5 epochs' or '10m'"


@dataclasses.dataclass(frozen=True)
class Duration:
    """An amount of one unit: ``epochs``, ``steps``, ``images`` or seconds (``s``)."""

    amount: float
    unit: str

    def steps(self, steps_per_epoch: int, batch_size: int) -> int:
        """Return the duration in whole steps; ``batch_size`` is the global one, images round up.

        Raises UserError for a time, which no number of steps follows from.
        """
        if self.unit == "s":
            raise UserError(f"a length in epochs, steps or images is needed here, not in time; got {self}")
        if self.unit == "images":
            return math.ceil(self.amount / batch_size)
        return round(self.amount * (steps_per_epoch if self.unit == "epochs" else 1))

    def __str__(self) -> str:
        return f"{self.amount:g} {self.unit}"


def parse(text: str, *, time: bool = False) -> Duration:
    """Return the Duration that ``text`` names; a bare number counts epochs.

    ``time`` allows seconds, minutes and hours too. Raises UserError for two durations at once, an unknown
    unit, a negative or infinite amount.
    """
    match = re.fullmatch(r"\s*([0-9.]+(?:[eE][+-]?\d+)?)\s*([A-Za-z]*)\s*", str(text))
    unit = _UNITS.get(match[2].lower()) if match else None
    try:
        amount = float(match[1]) if match and unit else None
    except ValueError:  # 1.2.3
        amount = None
    if amount is None or unit is None:
        raise UserError(f"a length is {_ALLOWED}; got {text!r}")
    if not math.isfinite(amount):
        raise UserError(f"a length is finite; got {text!r}")
    if unit not in _SECONDS:
        return Duration(amount, unit)
    if not time:
        raise UserError(f"a length in epochs, steps or images is needed here, not in time; got {text!r}")
    return Duration(amount * _SECONDS[unit], "s")
