"""The environment that a command sets up before keras and tensorflow are imported, and a quiet import."""

import os
import subprocess
import sys

import pytest

from Utils.command import accelerators, backend
from Utils.command.backend import configure_backend, deferred
from Utils.command.cli import UserError


def test_an_unknown_backend_is_refused_with_the_similar_one(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflwo")
    with pytest.raises(UserError, match="did you mean tensorflow.*it may be tensorflow, jax, torch"):
        configure_backend()


def test_a_missing_backend_is_refused_with_its_installation(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="not installed; pip install torch"):
        configure_backend()


def test_variables_that_the_user_set_stay(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "")
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "0")
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    configure_backend()
    assert (os.environ["TF_CPP_MIN_LOG_LEVEL"], os.environ["TF_ENABLE_ONEDNN_OPTS"]) == ("0", "1")


USE = """
import gc, os, sys
exec(sys.argv[1])
assert gc.isenabled() and gc.get_freeze_count() > 50_000  # of Keras and its libraries
unused = {"matplotlib", "sklearn", "IPython"} & set(sys.modules)
if os.environ["KERAS_BACKEND"] != "jax":
    unused |= {"jax", "scipy"} & set(sys.modules)
import Generators, Models, jax, sklearn
assert not unused and jax.numpy and sklearn.base  # hidden from Keras only
Models.build("ViT/test", image_size=32, num_labels=2)
os.write(2, b"own words\\n")
"""


@pytest.mark.reliability(
    "TensorFlow, oneDNN, CUDA and absl print lines when they start", "nothing of it is seen"
)
@pytest.mark.parametrize(
    ("backend", "start"),
    [
        ("", "import Models"),  # as in a notebook, and in python -m Models; not what a keras.json says
        pytest.param(
            "jax", "from Utils.command import backend; backend.prepare_backend()", marks=pytest.mark.slow
        ),
    ],
)
def test_nothing_but_our_own_words_is_printed(backend, start, tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "jax"}')
    hidden = {"TF_CPP_MIN_LOG_LEVEL", "CUDA_VISIBLE_DEVICES"}
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [sys.executable, "-c", USE, start],
        env=environment | {"KERAS_BACKEND": backend, "KERAS_HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert (done.stdout, done.stderr) == ("", "own words\n")


HELD = """
import os, sys
from Utils.command.backend import without_chatter
with without_chatter():
    os.write(2, b"I0000 00:00:1.2 3 port.cc:153] oneDNN\\nUserWarning: look\\n")
    print("a", file=sys.stderr)
print("b", file=sys.stderr)
"""


def test_stderr_other_than_log_messages_is_delayed_but_not_lost():
    done = subprocess.run([sys.executable, "-c", HELD], capture_output=True, text=True)
    assert done.stderr == "UserWarning: look\na\nb\n"


def test_a_topology_needs_jax_and_its_compiler(monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    with pytest.raises(
        UserError, match=r"--topology compiles on the jax backend; KERAS_BACKEND is tensorflow"
    ):
        backend.prepare_compiler()
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setattr(accelerators, "has_libtpu", lambda: False)
    with pytest.raises(UserError, match="requirements-tpu.txt"):
        backend.prepare_compiler()


def test_what_is_deferred_prepares_its_own_backend_when_it_is_called():
    prepared = []
    root = deferred("math.sqrt", lambda: prepared.append(1))
    assert not prepared
    assert (root(9.0), prepared) == (3.0, [1])
