"""The mathematics of training on the second backend: the same tests, in a process of its own."""

import os
import pathlib
import subprocess
import sys

import keras

HERE = pathlib.Path(__file__).resolve().parent


def test_the_other_backend_computes_the_same():
    other = "jax" if keras.backend.backend() == "tensorflow" else "tensorflow"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "every_backend"]
    done = subprocess.run(
        [*command, HERE],
        cwd=HERE.parents[1],
        env={**os.environ, "KERAS_BACKEND": other},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
