"""Environment variables that tensorflow and keras read when they are imported; commands set them first."""

import importlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any

from Utils.command.cli import UserError, suggest

BACKENDS = ("tensorflow", "jax", "torch")


def prepare_backend() -> None:
    """Check KERAS_BACKEND and set tensorflow's variables that the user left unset: few messages, oneDNN on.

    Must run before anything imports keras or tensorflow. By default tensorflow uses oneDNN's convolutions and
    matrix products on the newest x86 CPUs only. On older ones with AVX2 they raise the speed of a training
    step from 0.95 to 1.10 of timm's for ConvNext T and, together with the explicit gradient of batch norm,
    from 0.83 to 1.03 for ResNet 50 (tools/bench.py train).

    Raises UserError where KERAS_BACKEND is unknown or not installed.
    """
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in BACKENDS:
        similar = suggest(backend, BACKENDS)
        raise UserError(f"KERAS_BACKEND is {backend!r}{similar}; it may be {', '.join(BACKENDS)}")
    if importlib.util.find_spec(backend) is None:
        raise UserError(f"KERAS_BACKEND is {backend}, which is not installed; pip install {backend}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def deferred(function: str) -> Callable[..., Any]:
    """Return a stand-in for ``"module.function"``: its first call sets up TensorFlow and imports the module.

    For commands that need a Keras model only for some inputs: importing Keras takes seconds.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        prepare_backend()
        module, _, name = function.rpartition(".")
        return getattr(importlib.import_module(module), name)(*args, **kwargs)

    return call
