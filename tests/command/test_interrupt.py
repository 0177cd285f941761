"""Utils/command/interrupt.py: Ctrl-C at any moment is one word and exit code 130, SIGTERM another and 143."""

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


# A signal comes when a module begins to be imported, however long that takes to begin.
SCRIPT = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.modules["__main__"].__file__ = os.path.abspath("train.py")
from Utils.command.backend import prepare_backend
from Utils.command.interrupt import take_over
take_over()
def press(event, arguments):
    if event == "import" and arguments[0] == sys.argv[1]:
        signal.raise_signal(int(sys.argv[2]))
sys.addaudithook(press)
prepare_backend()
"""


# From its first import on: before that Python itself starts, which takes any time on a busy machine.
COMMAND = """
import runpy, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.argv = sys.argv[1:]
sys.modules["__main__"].__file__ = sys.argv[0]
import Utils.command.interrupt
print(flush=True)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def stopped(words, seconds):
    """Run a command, press Ctrl-C seconds after its first import; returns its exit code and what it said."""
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, *words],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.readline()
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=300)
    # A shell reports 130 of a process that SIGINT ended, as it does while Python is shutting down.
    return interrupt.EXIT_CODE if process.returncode == -signal.SIGINT else process.returncode, said


@pytest.mark.reliability("Ctrl-C while a command is importing", "interrupted, exit 130")
def test_ctrl_c_at_any_moment_is_one_word(tmp_path):
    release = small_releases.make(tmp_path / "release")
    codes = set()
    for seconds in (0, 0.05, 0.1, 0.2, 0.4):
        code, said = stopped([str(ROOT / "tools/tag_images.py"), str(release), str(tmp_path)], seconds)
        assert "Traceback" not in said, said
        assert code in (interrupt.EXIT_CODE, 2), said  # 2: it was quicker; there are no images
        assert said in ("interrupted\n", "") or said.startswith("error: ")
        codes.add(code)
    assert interrupt.EXIT_CODE in codes


IMPORTED_BEFORE = """
import os, pathlib, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
sys.modules["__main__"].__file__ = os.path.abspath("train.py")
there = {*sys.modules}
install = signal.signal
def seen(number, handler):
    print(*sorted({*sys.modules} - there))
    return install(number, handler)
signal.signal = seen
import Utils.command.interrupt
"""


def test_little_is_imported_before_ctrl_c_is_handled():
    """Multiprocessing and shlex took most of the time in which Ctrl-C printed a traceback."""
    words = [sys.executable, "-c", IMPORTED_BEFORE]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "Utils.command.interrupt" in done.stdout
    assert not {"multiprocessing", "shlex"} & {*done.stdout.split()}


@pytest.mark.reliability("Ctrl-C while Keras is loaded", "interrupted, exit 130")
@pytest.mark.parametrize(
    ("module", "number", "word"),
    [
        ("tensorflow", signal.SIGINT, "interrupted\n"),
        ("keras.src.layers", signal.SIGINT, "interrupted\n"),
        ("tensorflow", signal.SIGTERM, "terminated\n"),
    ],
)
def test_ctrl_c_while_keras_is_loaded_is_one_word(module, number, word):
    words = [sys.executable, "-c", SCRIPT, module, str(int(number))]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (128 + number, word)


# Python imports it by itself before it imports the package Models.
CUSTOMIZED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
def press(event, arguments):
    if event == "import" and arguments[0] == "keras.activations":
        signal.raise_signal(signal.SIGINT)
sys.addaudithook(press)
"""


def test_ctrl_c_while_the_list_of_models_imports_keras_is_one_word(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(CUSTOMIZED)
    words, environment = [sys.executable, "-m", "Models"], {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (interrupt.EXIT_CODE, "interrupted\n")


TERMINATED = """
import os, pathlib, signal, sys
sys.modules["__main__"].__file__ = os.path.abspath("train.py")
from Utils.command.cli import command
from Utils.files import atomic, output_folders
KIND = output_folders.FolderKind("a folder", ("a",))
@command
def main(argv=None):
    with output_folders.replacing_folder(pathlib.Path(sys.argv[1], "f"), KIND) as folder:
        with atomic.replacing(folder / "a") as temporary:
            temporary.write_text("half")
            signal.raise_signal(signal.SIGTERM)
sys.exit(main())
"""


@pytest.mark.reliability("SIGTERM while a command writes", "nothing half written stays; terminated, exit 143")
def test_sigterm_leaves_nothing_unfinished(tmp_path):
    words = [sys.executable, "-c", TERMINATED, str(tmp_path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (done.returncode, done.stderr) == (143, "terminated\n")
    assert list(tmp_path.iterdir()) == []


NEW_PROCESS = """
import multiprocessing.process, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
def is_blocked():
    return signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())
print(is_blocked())
multiprocessing.process._parent_process = "a parent"
from Utils.command import interrupt
print(is_blocked(), signal.getsignal(signal.SIGINT) is interrupt._leave)
"""


@pytest.mark.reliability("Ctrl-C while the processes of a pool start", "no traceback of theirs")
def test_a_new_process_is_not_interrupted_before_it_can_leave_quietly(monkeypatch):
    monkeypatch.setattr(interrupt, "_is_script", lambda: True)
    with interrupt.held_back():
        words = [sys.executable, "-c", NEW_PROCESS]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "True"]
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_tests_and_notebooks_keep_their_own_handler():
    code = "import signal; import Utils.command.interrupt; print(signal.getsignal(signal.SIGINT).__name__)"
    before = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", before + code], env=environment, capture_output=True, text=True
    )
    assert done.stdout == "default_int_handler\n"


def test_a_package_of_others_keeps_its_own_answer_to_ctrl_c(tmp_path):
    """``python -m theirs``, whose package imports ours before Python says what it runs."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "__main__.py").touch()
    # Of a process in the background Ctrl-C is ignored.
    text = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"
    text += "import Utils.command.interrupt\nprint(signal.getsignal(signal.SIGINT).__name__)\n"
    (tmp_path / "theirs" / "__init__.py").write_text(text)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    words = [sys.executable, "-m", "theirs"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == "default_int_handler\n", done.stderr
