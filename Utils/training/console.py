"""Progress lines of a training run, on stderr; of several hosts only the first prints."""

import sys
from collections.abc import Mapping
from typing import Any

from Utils.command.text import counted
from Utils.training import diagnosis

_CLEAR_LINE = "\r\033[K"  # to the start of the terminal's line, and erase it: the last status stood there
_silent = False


def say(text: str) -> None:
    """Print a line that stays."""
    if not _silent:
        print(f"{_CLEAR_LINE if sys.stderr.isatty() else ''}{text}", file=sys.stderr, flush=True)


def show_status(text: str) -> None:
    """Print a line that the next one replaces on a terminal; in a log file it stays."""
    if not sys.stderr.isatty():
        say(text)
    elif not _silent:
        print(f"{_CLEAR_LINE}{text}", end="", file=sys.stderr, flush=True)


def silence() -> None:
    """Print nothing in this process from now on, because it is not the first host."""
    global _silent
    _silent = True


def opening_line(facts: Mapping[str, Any], has_validation: bool) -> str:
    """Return the line that a run begins with, from the facts that its folder records."""
    steps, records, batch_size = facts["steps_per_epoch"], facts["records"], facts["batch_size"]
    line = f"{facts['devices']}; global batch {batch_size}, {counted(steps, 'step')} an epoch"
    if records < batch_size:
        line += f"; the {records} training images do not fill a batch, which repeats some"
    if "repeats" in facts:
        line += f"; {facts['repeats']}"
    if "teacher" in facts:
        line += f"; {facts['teacher']}"
    if not has_validation:
        line += "; no validation split, so no scores: best.keras will be the last state"
    return line


def scores_line(moment: str, scores: Mapping[str, float]) -> str:
    """Return the line that gives the scores of a validation at some moment."""
    return f"{moment}: val_loss {scores['loss']:.4f}  val_f1 {scores['f1']:.4f}"


def epoch_line(row: Mapping[str, Any], epochs: int) -> str:
    """Return the line of a finished epoch, from its row of the history.

    In brackets stands what the tags' frequencies alone give.
    """
    shown = [f"epoch {row['epoch']}/{epochs}", f"loss {row['loss']:.4g}"]
    for name, prior in (("val_loss", "val_prior_loss"), ("val_f1", "val_prior_f1"), ("val_macro_f1", "")):
        if name in row:
            beside = f" (prior {row[prior]:.4f})" if prior in row else ""
            shown.append(f"{name} {row[name]:.4f}{beside}")
    shown += diagnosis.describe(row)
    seconds_left = row["seconds"] * (epochs - row["epoch"])
    shown += _rates(row["learning_rate"], row["images_per_second"], seconds_left)
    return "  ".join([*shown, f"{row['seconds']:.1f} s"])


def step_line(
    position: str,
    loss: float,
    last_row: Mapping[str, Any] | None,
    learning_rate: float,
    images_per_second: float,
    seconds_left: float,
) -> str:
    """Return the line shown within an epoch; ``last_row`` is the newest of the history, if there is one."""
    shown = [position, f"loss {loss:.4g}"]
    if last_row is not None and "val_f1" in last_row:
        shown.append(f"val_f1 {last_row['val_f1']:.4f} last")
    return "  ".join([*shown, *_rates(learning_rate, images_per_second, seconds_left)])


def _rates(learning_rate: float, images_per_second: float, seconds_left: float) -> list[str]:
    return [f"lr {learning_rate:.3g}", f"{images_per_second:.0f} images/s", f"{_clock(seconds_left)} left"]


def _clock(seconds: float) -> str:
    hours, rest = divmod(int(seconds), 3600)
    return f"{hours}h{rest // 60:02d}m" if hours else f"{rest // 60}m{rest % 60:02d}s"
