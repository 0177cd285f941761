"""stdin, stdout and stderr of a command: closed ones, full ones, and letters that a terminal lacks.

Output that is lost is no success. Messages that are lost end no work: a command whose log is on a full disk
goes on, and only its exit code says so at the end.
"""

import contextlib
import errno
import io
import os
import pathlib
import sys
from collections.abc import Iterator
from typing import Any


class Messages:
    """Stands for stderr: what cannot be written is dropped, and ``lost`` says why.

    A reader that closes its pipe early, as ``| head`` does, wants no more: that is not lost.
    """

    def __init__(self, stream: Any) -> None:
        self._stream, self._is_broken, self.lost = stream, False, ""

    def write(self, text: str) -> int:
        """Write text or drop it; return its length."""
        with self._kept():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        with self._kept():
            self._stream.flush()

    def close(self) -> None:
        """Give stderr back; where it cannot be flushed, Python, which would fail at that, gets None."""
        self._is_broken = False
        self.flush()
        sys.stderr = None if self._is_broken else self._stream  # pyright: ignore[reportAttributeAccessIssue]

    @contextlib.contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._is_broken = True
            if error.errno != errno.EPIPE:
                self.lost = str(error.strerror)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Output:
    """Stands for stdout: the system's errors name it, and ``is_broken`` says whether there was one."""

    def __init__(self, stream: Any) -> None:
        self._stream, self.is_broken = stream, False

    def write(self, text: str) -> int:
        """Write text; return its length."""
        with self._named():
            return self._stream.write(text)

    def flush(self) -> None:
        """Flush the stream."""
        with self._named():
            self._stream.flush()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.is_broken, error.filename = True, "stdout"
            raise

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def messages() -> Iterator[Messages]:
    """Let a block print whatever letters there are, and go on where stderr takes no more.

    A stdout that takes no more is None afterwards: Python would fail at it once more when it ends.
    """
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    stdout, output, guard = sys.stdout, Output(sys.stdout), Messages(sys.stderr)
    sys.stderr = guard  # pyright: ignore[reportAttributeAccessIssue]
    if stdout is not None:
        sys.stdout = output  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield guard
    finally:
        guard.close()
        if sys.stdout is output:
            sys.stdout = None if output.is_broken else stdout  # pyright: ignore[reportAttributeAccessIssue]


def _open_what_is_closed() -> None:
    """Open the null device for stdin and stderr where a shell closed them (``2>&-``).

    Else ``print(file=sys.stderr)`` would write to stdout, among the output, and the next file that is opened
    would have their number and get what libraries write there.
    """
    if sys.stdin is None:
        sys.stdin = pathlib.Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115  never closed
    if sys.stderr is None:
        sys.stderr = pathlib.Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
