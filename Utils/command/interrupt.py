"""Ctrl-C and SIGTERM, also while a command is still importing: every script imports this module first.

Imports take seconds and hold nothing that needs cleaning up, but an interrupt in the middle of one ends in
a traceback of numpy or pandas, or is swallowed by a library written in C++. So until `command` takes over,
a signal ends the process at once. Processes that a command starts end without a word: their parent has the
last one. train.py, sweep.py and the servers have answers of their own to SIGTERM. What this module imports
itself is little: before its end an interrupt prints a traceback.
"""

import contextlib
import itertools
import os
import pathlib
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from Utils.command import installed, programs

EXIT_CODE = 130  # what shells report of a process that Ctrl-C ended
WORDS = {EXIT_CODE: "interrupted", 128 + signal.SIGTERM: "terminated"}  # of an exit code

_stderr = 2  # the file number that shows text on stderr, while 2 itself is held back


class Terminated(KeyboardInterrupt):
    """SIGTERM came; what cleans up after Ctrl-C does so after this, too."""


def exit_code_of(interrupt: KeyboardInterrupt) -> int:
    """Return what shells report of a process that this signal ended."""
    return 128 + (signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT)


def _is_child() -> bool:
    """Whether a command started this process; multiprocessing, which knows, is there only then."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


def _leave(number: int, frame: FrameType | None) -> None:
    code = 128 + number
    if not _is_child():
        with contextlib.suppress(OSError):
            os.write(_stderr, f"{WORDS[code]}\n".encode())
    os._exit(code)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Terminated


_RAISING = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: _terminate}


def _is_script() -> bool:
    """Whether this is a script of this project, or a process that one started: no test, no notebook."""
    if _is_child():
        return True
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file is None:  # of "python -m Models", which imports the package first
        return sys.argv[:1] == ["-m"] and ("-m", "Models") in itertools.pairwise(sys.orig_argv)
    path, root = pathlib.Path(file), pathlib.Path(__file__).resolve().parents[2]
    folders = root, root / "Models", root / "tools", root / "tools" / "studies"
    # On Windows a console script is swcv.exe with a __main__.py in it.
    return path.resolve().parent in folders or programs.ENTRY in (path.stem, path.parent.stem)


def take_over() -> None:
    """Let Ctrl-C and SIGTERM be KeyboardInterrupts from now on, which a command can clean up after."""
    if _is_child():
        return
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if _is_script() and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        with contextlib.suppress(ValueError):  # only the main thread may do this
            signal.signal(signal.SIGTERM, _terminate)


@contextlib.contextmanager
def leaving_at_once(stderr: int = 2) -> Iterator[None]:
    """Let a signal end the process at once while the block imports, unless others ignore or handle it.

    Args:
        stderr: number of the open file that stands for stderr meanwhile.
    """
    global _stderr
    handlers = {number: handler for number, handler in _RAISING.items() if _is_script()}
    handlers = {
        number: handler for number, handler in handlers.items() if signal.getsignal(number) is handler
    }
    try:
        for number in handlers:
            signal.signal(number, _leave)
    except ValueError:  # only the main thread may do this
        handlers = {}
    _stderr = stderr
    try:
        yield
    finally:
        _stderr = 2
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Hold Ctrl-C back from processes that start within the block until they have imported this module.

    Before, Python would print the traceback of whatever the new process imports. It inherits the signals
    that are blocked from the thread that starts it.
    """
    if not (_is_script() and hasattr(signal, "pthread_sigmask")):  # no such thing on Windows
        yield
        return
    from multiprocessing import resource_tracker  # here: this module should be there in no time

    resource_tracker.ensure_running()  # it is a process, too, and lets signals pass when it has started
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# A shell's background jobs ignore SIGINT, and should continue to.
if _is_script() and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, _leave)
if _is_child() and hasattr(signal, "pthread_sigmask"):
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # what `held_back` blocked
if _is_script():
    installed.check()
