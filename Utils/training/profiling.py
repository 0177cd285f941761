"""A profile of some steps, written below a run folder (``--profile STEP``), for TensorBoard or Perfetto."""

import math
import pathlib
import time
from collections.abc import Callable

import keras

from Utils.command.cli import UserError
from Utils.files import atomic
from Utils.training import console

FOLDER = "profile"  # in the run folder
STEPS = 3


class Profile:
    """Records `STEPS` steps from a step on; a run that is continued after that step records none.

    Args:
        run_folder: where the profile goes, in `FOLDER`.
        first: the step at which to begin, counted from 0 as in ``step`` of the history; None: no profile.
        wait: waits until the device has done all steps that it was given.

    Raises UserError for a run on another file system.
    """

    def __init__(self, run_folder: atomic.AnyPath, first: int | None, wait: Callable[[], None]) -> None:
        self.folder = atomic.to_path(run_folder) / FOLDER
        if first is not None and atomic.is_remote(self.folder):
            raise UserError(f"--profile writes to local folders only; the run is at {run_folder}")
        self.first, self.wait = first, wait
        self._before = math.inf  # the step before this one: where a run continues, nothing is before
        self.began_at: int | None = None
        self._begun = 0.0

    def step_begins(self, step: int) -> None:
        """Start or stop the profiler, if it is the moment."""
        if self.first is None:
            return
        # One execution may do so many steps that the first one to record is only passed by.
        is_due = self._before < self.first <= step or self.first <= step < self.first + STEPS
        self._before = step
        if self.began_at is None and is_due:
            self.wait()
            _start(self.folder)
            self.began_at, self._begun = step, time.monotonic()
        elif self.began_at is not None and step >= self.began_at + STEPS:
            self.end(step)

    def end(self, step: int) -> None:
        """Stop the profiler if it runs: after its steps, or when training ends before."""
        if self.began_at is None:
            return
        self.wait()
        seconds = time.monotonic() - self._begun
        _stop()
        console.say(
            f"profile of steps {self.began_at} to {step - 1} ({seconds:.2f} s) in {self.folder}: "
            "tensorboard --logdir shows it (pip install tensorboard-plugin-profile)"
        )
        self.first = self.began_at = None

    def close(self, begin: int, step: int) -> None:
        """End as training does; say so where no step from ``begin`` to before ``step`` was one to record."""
        self.end(step)
        if self.first is not None:
            steps = f"steps {begin} to {step - 1} were done" if step > begin else "no step was done"
            console.say(f"no profile: {steps}, and --profile {self.first} was not among them")


def _start(folder: pathlib.Path) -> None:
    if keras.backend.backend() == "jax":
        import jax

        jax.profiler.start_trace(str(folder))
    else:
        import tensorflow as tf

        tf.profiler.experimental.start(str(folder))


def _stop() -> None:
    if keras.backend.backend() == "jax":
        import jax

        jax.profiler.stop_trace()
    else:
        import tensorflow as tf

        tf.profiler.experimental.stop()
