"""What tensorflow and keras read once, when imported: a command calls this before anything that does."""

import importlib
import importlib.util
import os
from collections.abc import Callable
from typing import Any

from Utils.command.cli import UserError, suggest

BACKENDS = ("tensorflow", "jax", "torch")


def load_tensorflow():
    """Set tensorflow's environment where the user has not: fewer messages, and oneDNN on every x86 CPU.

    oneDNN's convolutions and matrix products are tensorflow's own choice on the newest CPUs only. Elsewhere,
    with AVX2, they bring a training step of ConvNext T from 0.95 to 1.10 of timm's speed, that of ResNet 50,
    together with the written-out gradient of its batch norm, from 0.83 to 1.03 (tools/bench.py train).

    Raises UserError where KERAS_BACKEND names what keras could not import.
    """
    backend = os.environ.get("KERAS_BACKEND") or "tensorflow"
    if backend not in BACKENDS:
        near = suggest(backend, BACKENDS)
        raise UserError(f"KERAS_BACKEND is {backend!r}{near}; it may be {', '.join(BACKENDS)}")
    if importlib.util.find_spec(backend) is None:
        raise UserError(f"KERAS_BACKEND is {backend}, which is not installed; pip install {backend}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def deferred(function: str) -> Callable[..., Any]:
    """Return a stand-in for ``"module.function"``: its first call sets up TensorFlow and imports the module.

    For commands that need a Keras model only for some inputs: importing Keras takes seconds.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        load_tensorflow()
        module, _, name = function.rpartition(".")
        return getattr(importlib.import_module(module), name)(*args, **kwargs)

    return call
