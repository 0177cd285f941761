"""Where stderr is closed or full, a command does its work and its exit code stays true."""

import errno
import io
import os
import subprocess
import sys

import pytest

from Utils.command import cli, streams

NOTE = """
import os, sys
from Utils.command.cli import command
def main(argv):
    print("note", sys.stdin.read(), sys.stderr.isatty(), file=sys.stderr)
    print("output", os.path.samestat(os.fstat(2), os.stat(os.devnull)))
sys.exit(command(main)([]))
"""


@pytest.mark.reliability("stderr is closed", "the work is done; nothing of it gets into the output")
def test_notes_do_not_get_into_the_output_where_stderr_is_closed():
    done = subprocess.run(["sh", "-c", '"$0" -c "$1" <&- 2>&-', sys.executable, NOTE], stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (0, b"output True\n")


@pytest.mark.reliability(
    "stderr is full", "the work is done and the exit code true: its own, or 1 for the lost messages"
)
def test_a_process_with_full_stderr_ends_as_its_work_does():
    """Python itself would end with 120 where it cannot flush stderr."""
    command = ["sh", "-c", '"$0" -c "$1" </dev/null 2>/dev/full', sys.executable, NOTE]
    done = subprocess.run(command, stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout) == (1, b"output False\n")


class Full(io.StringIO):
    """A stream whose disk is full, or whose reader has gone, until there is ``room``."""

    def __init__(self, number=errno.ENOSPC):
        super().__init__()
        self.number, self.room = number, False

    def write(self, text):
        if not self.room:
            raise OSError(self.number, os.strerror(self.number))
        return super().write(text)


def ending(error):
    def main(argv):
        for _ in cli.progress(range(3), label="work", every=0):
            print("warning: 3 pictures are left out", file=sys.stderr)
        if error:
            raise error

    return main


@pytest.mark.parametrize(
    ("error", "code"),
    [(None, 1), (cli.UserError("wrong"), 2), (cli.WorkError("failed"), 1), (KeyboardInterrupt(), 130)],
)
def test_the_exit_code_is_that_of_the_work(monkeypatch, error, code):
    monkeypatch.setattr("sys.stderr", Full())
    assert cli.command(ending(error))([]) == code


def test_messages_that_were_lost_are_said_when_there_is_room_again(monkeypatch):
    full = Full()
    monkeypatch.setattr("sys.stderr", full)

    def main(argv):
        print("a note", file=sys.stderr)
        full.room = True

    assert cli.command(main)([]) == 1
    said = "error: the work is done, but messages on stderr were lost: No space left on device\n"
    assert full.getvalue() == said


def test_a_reader_of_messages_that_has_gone_does_not_end_the_work(monkeypatch, capsys):
    """As in ``write_records 2>&1 >list | head``: it counted as done when head had seen enough."""
    monkeypatch.setattr("sys.stderr", Full(errno.EPIPE))
    assert cli.command(lambda argv: ending(None)(argv) or print("done"))([]) == 0
    assert capsys.readouterr().out == "done\n"


def test_stderr_is_given_back(monkeypatch):
    before = sys.stderr
    with pytest.raises(ZeroDivisionError), streams.messages() as messages:
        assert sys.stderr is messages
        raise ZeroDivisionError
    assert sys.stderr is before

    class Unflushed(Full):
        def flush(self):
            raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("sys.stderr", Unflushed())
    with streams.messages() as messages:
        print("a note", file=sys.stderr)
    assert sys.stderr is None
    assert messages.lost
