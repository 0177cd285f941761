"""The mathematics of training on the second backend: tests marked `every_backend`, in one more process."""

import importlib.util
import os
import pathlib
import subprocess
import sys

import keras
import pytest

HERE = pathlib.Path(__file__).resolve().parent
# The files with such tests only: the others import tensorflow, which takes seconds.
FILES = sorted(
    path
    for folder in (HERE, HERE.parent / "models" / "layers")
    for path in folder.glob("test_*.py")
    if "mark.every_backend" in path.read_text()
)


# JAX compiles each operation that runs alone, most of them for a single run.
LONG = """batch_norm_statistics forms_of_training optimizers packed_labels per_variable_optimizer prior_scores
validation_metrics"""
LONG = [HERE / f"test_{name}.py" for name in LONG.split()]
LOSSES = [HERE / f"test_{name}.py" for name in ("losses", "missing_positive_losses")]


# Models first: it starts Keras without what Keras never uses.
PYTEST = "import sys, Models, pytest; sys.exit(pytest.main(sys.argv[1:]))"


def run_on(backend, files, **environment):
    """Run the marked tests of some files in a process on that backend."""
    words = ["-q", "-n", "0", "-p", "no:cacheprovider", "-m", "every_backend", *map(str, files)]
    done = subprocess.run(
        [sys.executable, "-c", PYTEST, *words],
        cwd=HERE.parents[1],
        env={**os.environ, "KERAS_BACKEND": backend, **environment},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout


def other_backend(files):
    other = "jax" if keras.backend.backend() == "tensorflow" else "tensorflow"
    # Level 0: most operations run once, so they are compiled longer than they run.
    run_on(other, files, XLA_FLAGS="--xla_backend_optimization_level=0")


def test_the_other_backend_computes_the_same():
    other_backend([path for path in FILES if path not in LONG])


@pytest.mark.slow
def test_the_other_backend_computes_the_same_in_long_tests():
    other_backend(LONG)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
def test_losses_on_torch():
    run_on("torch", LOSSES)
