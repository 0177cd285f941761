"""Utils/command/interrupt.py: Ctrl-C at any moment is one word and exit code 130."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from helpers import small_releases

from Utils.command import interrupt

ROOT = pathlib.Path(__file__).resolve().parents[2]


SCRIPT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.modules["__main__"].__file__ = os.path.abspath("train.py")
from Utils.command.backend import prepare_backend
print(flush=True)
prepare_backend()
"""


def stopped(words, seconds):
    """Run a command, press Ctrl-C after some seconds; returns its exit code and what it said."""
    # Where the tests run in the background SIGINT is ignored, which processes inherit.
    process = subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509
    )  # fmt: skip
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    # A shell reports 130 of a process that SIGINT ended, as it does while Python is shutting down.
    return interrupt.EXIT_CODE if process.returncode == -signal.SIGINT else process.returncode, said


@pytest.mark.reliability("Ctrl-C while a command is importing", "interrupted, exit 130")
def test_ctrl_c_at_any_moment_is_one_word(tmp_path):
    release = small_releases.make(tmp_path / "release")
    codes = set()
    for seconds in (0.15, 0.25, 0.35, 0.5, 0.7):
        code, said = stopped(["tools/tag_images.py", str(release), str(tmp_path)], seconds)
        assert "Traceback" not in said, said
        assert code in (interrupt.EXIT_CODE, 2), said  # 2: it was quicker; there are no images
        assert said in ("interrupted\n", "") or said.startswith("error: ")
        codes.add(code)
    assert interrupt.EXIT_CODE in codes


@pytest.mark.reliability("Ctrl-C while Keras is loaded", "interrupted, exit 130")
def test_ctrl_c_while_keras_is_loaded_is_one_word():
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    process.stdout.readline()
    time.sleep(0.4)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said) == (interrupt.EXIT_CODE, "interrupted\n")


def test_tests_and_notebooks_keep_their_own_handler():
    code = "import signal; import Utils.command.interrupt; print(signal.getsignal(signal.SIGINT).__name__)"
    before = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", before + code], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "default_int_handler\n"
