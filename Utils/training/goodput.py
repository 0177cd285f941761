"""Goodput: which share of an epoch's wall clock its steps took, and what took the rest.

``history.csv`` has four shares of an epoch's ``seconds``; what is missing to 1 is everything else. The first
step of a process compiles, which counts as steps. A share of input near 0 means that there was always a batch
when one was asked for; with more, more host cores, smaller images in the shards or fewer devices a host give
faster steps.
"""

import contextlib
import threading
import time
from collections.abc import Iterator

PARTS = ("steps", "input", "validation", "saving")
COLUMNS = tuple(f"share_{part}" for part in PARTS)


class Goodput:
    """Measures where the wall clock goes; one for a run.

    The pipeline tells when a batch is ready, in its own threads; the loop tells when it asks for one. A step
    waited for its batch from the moment it asked until the batch was ready. On accelerators, which work on
    after the host has started a step, that is the wait of the host: the device may still be busy then.

    Args:
        ahead: batches that the loop has when it says that the step of the first begins: it asks for the one
            after these then.
    """

    def __init__(self, ahead: int = 0) -> None:
        self.ahead = ahead
        self._lock = threading.Lock()
        self._ready: dict[int, float] = {}  # when the batch of a step was ready
        self._asked: tuple[int, float] | None = None
        self._last_ready = float("-inf")
        self._saving_between_steps = 0.0
        self.seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)

    def begin(self) -> None:
        """Forget what was measured: an epoch, or the rest of one, begins."""
        self._asked = None
        self._saving_between_steps = 0.0
        self.seconds = dict.fromkeys(PARTS, 0.0)

    def batch_is_ready(self, step: int) -> None:
        """Note that the batch of a step has been made."""
        with self._lock:
            self._ready[step] = time.monotonic()

    def step_begins(self, step: int) -> None:
        """Note that a step begins, which asks for a batch; count what was waited for the one before."""
        now = time.monotonic()
        self._count_wait(now)
        self._asked = step + self.ahead, now

    def steps_end(self) -> None:
        """Note that the last step of an epoch is done."""
        if self.ahead == 0:  # else nobody waited for what the last step has asked for
            self._count_wait(time.monotonic())
        self._asked = None
        self._saving_between_steps = self.seconds["saving"]

    def _count_wait(self, now: float) -> None:
        if self._asked is None:
            return
        step, asked = self._asked
        with self._lock:
            # Batches come in order, so one that was made early waits for those before it.
            for made in sorted(number for number in self._ready if number <= step):
                self._last_ready = max(self._last_ready, self._ready.pop(made))
        self.seconds["input"] += min(max(self._last_ready - asked, 0.0), now - asked)

    @contextlib.contextmanager
    def measured(self, part: str) -> Iterator[None]:
        """Count the time of a block as that of a part."""
        begin = time.monotonic()
        try:
            yield
        finally:
            self.seconds[part] += time.monotonic() - begin

    def shares(self, fit_seconds: float, seconds: float) -> dict[str, float]:
        """Return the columns of an epoch's row.

        Args:
            fit_seconds: what the steps took, with waiting for input and saving between them.
            seconds: what the epoch took.
        """
        steps = fit_seconds - self.seconds["input"] - self._saving_between_steps
        parts = self.seconds | {"steps": max(steps, 0.0)}
        return {f"share_{part}": round(parts[part] / max(seconds, 1e-9), 4) for part in PARTS}
