"""What SIGTERM and Ctrl-C do to a training run: nothing is lost, and the same command continues."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from types import FrameType

from Utils.training import console


class Stopped(Exception):  # noqa: N818  nothing went wrong
    """A signal asked to stop training; the state is saved."""

    def __init__(self, number: int, step: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name} after step {step}")
        self.signal = number


@contextlib.contextmanager
def exit_on_sigterm() -> Iterator[None]:
    """Let SIGTERM end the command without an error; the training loop alone has a state to save."""

    def leave(number: int, frame: FrameType | None) -> None:
        console.say("stopped by SIGTERM, nothing is lost; the same command continues")
        raise SystemExit(0)

    with _handlers({signal.SIGTERM: leave}):
        yield


@contextlib.contextmanager
def signals_as_requests(request: Callable[[int], None]) -> Iterator[None]:
    """Let SIGTERM (a preempted machine) and the first Ctrl-C call ``request`` with the signal's number.

    A handler may run in the middle of a step, when there is no state to save: ``request`` can only note it.
    """
    interrupted = signal.getsignal(signal.SIGINT)

    def note(number: int, frame: FrameType | None) -> None:
        request(number)
        console.say(f"{signal.Signals(number).name}: stopping after this step")
        signal.signal(signal.SIGINT, interrupted)  # a second Ctrl-C ends at once

    with _handlers({signal.SIGTERM: note, signal.SIGINT: note}):
        yield


@contextlib.contextmanager
def _handlers(handlers: dict[signal.Signals, Callable[[int, FrameType | None], None]]) -> Iterator[None]:
    """Handle signals in this way within the context."""
    previous = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler or signal.SIG_DFL)  # None: it was not set from Python
