"""The speed of large matrix products: what a machine's processors give at most, measured, not published."""

import os
from collections.abc import Callable
from typing import Any

import numpy as np

from Utils.command.backend import prepare_backend

POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}  # {--dtype: Keras' policy}
SIDE = 2048  # of the matrices; large enough for CPUs
LARGE_SIDE = 8192  # for accelerators
CHAIN = 8  # products in one call on an accelerator, which would wait for its host otherwise


def import_keras(backend: str | None) -> Any:
    """Return Keras on a backend, None for that of KERAS_BACKEND."""
    if backend:
        os.environ["KERAS_BACKEND"] = backend
    prepare_backend()
    import keras

    return keras


def prepared(
    backend: str | None, dtype: str = "float32", side: int = SIDE, chain: int = 1
) -> tuple[Callable[..., float], float]:
    """Return a function that multiplies square matrices, ``chain`` times in a row, and its FLOPs."""
    keras = import_keras(backend)
    # Of ones over their number: products stay ones, whatever the precision.
    ones = np.full((side, side), 1.0 / side, np.float32)
    matrix = keras.ops.convert_to_tensor(ones, dtype=dtype)

    def multiply(*sizes: Any) -> float:  # of batches, as other sides take them
        product = matrix
        for _ in range(chain):
            product = keras.ops.matmul(product, matrix)
        # A value comes back to NumPy, because backends may compute later than they return.
        return float(keras.ops.convert_to_numpy(keras.ops.cast(product[0, 0], "float32")))

    return multiply, 2.0 * chain * side**3
