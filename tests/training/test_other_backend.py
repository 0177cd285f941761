"""The mathematics of training on the second backend: tests marked `every_backend`, in one more process."""

import os
import pathlib
import subprocess
import sys

import keras

HERE = pathlib.Path(__file__).resolve().parent
# The files with such tests only: the others import tensorflow, which takes seconds.
FILES = sorted(path for path in HERE.glob("test_*.py") if "mark.every_backend" in path.read_text())


def test_the_other_backend_computes_the_same():
    other = "jax" if keras.backend.backend() == "tensorflow" else "tensorflow"
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "-m",
        "every_backend",
    ]
    # Level 0: most operations run once, so they are compiled longer than they run.
    environment = {"KERAS_BACKEND": other, "XLA_FLAGS": "--xla_backend_optimization_level=0"}
    done = subprocess.run(
        [*command, *FILES],
        cwd=HERE.parents[1],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
