"""Starts Keras and its backend: sets environment variables, and hides log messages during the import."""

from Utils.command.interrupt import leaving_at_once

import contextlib
import gc
import importlib
import importlib.util
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from Utils.command import accelerators, programs
from Utils.command.cli import UserError, suggest

BACKENDS = ("tensorflow", "jax", "torch")  # the first is the default, whatever a keras.json says


# What the C++ parts of TensorFlow and its libraries write when they are loaded, before any log level counts.
_CHATTER = re.compile(
    r"(WARNING: All log messages before absl::InitializeLog|[IWE]\d{4} [\d:.]+ |"
    r"To enable the following instructions|\d{4}-\d\d-\d\d [\d:.]+: [IWE] |"
    r"Failed to find host bounds for accelerator type|WARNING: Logging before InitGoogle|"
    r"=== Source Location Trace|learning/[\w/]+\.cc:)"
)
# What libtpu needs to compile on a machine without a TPU: the chips are not looked for, neither here nor by
# asking the machine's metadata, and several processes may load it at a time.
COMPILE_ONLY = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
}


# What Keras and TensorFlow import where it is installed, for functions that nothing here calls: plots,
# wrappers for scikit-learn, conversion from jax, sparse arrays, displays of notebooks. A third of the
# time that a command takes to start.
UNUSED = ("matplotlib", "sklearn", "jax", "scipy", "IPython")
NEEDED = {"jax": {"jax", "scipy"}}  # by the backends themselves


def configure_backend() -> None:
    """Check KERAS_BACKEND and set tensorflow's variables that the user left unset: no messages, oneDNN on.

    Must run before anything imports keras or tensorflow. By default tensorflow uses oneDNN's convolutions and
    matrix products on the newest x86 CPUs only. On older ones with AVX2 they raise the speed of a training
    step from 0.95 to 1.10 of timm's for ConvNext T and, together with the explicit gradient of batch norm,
    from 0.83 to 1.03 for ResNet 50 (tools/bench.py train).

    Raises UserError where KERAS_BACKEND is unknown or not installed.
    """
    backend = os.environ.get("KERAS_BACKEND") or BACKENDS[0]
    if backend not in BACKENDS:
        similar = suggest(backend, BACKENDS)
        raise UserError(f"KERAS_BACKEND is {backend!r}{similar}; it may be {', '.join(BACKENDS)}")
    if importlib.util.find_spec(backend) is None:
        raise UserError(f"KERAS_BACKEND is {backend}, which is not installed; pip install {backend}")
    # 2 would leave errors, and "no GPU" is one of them; what ends a command is a Python exception.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if accelerators.has_libtpu() and not (accelerators.has_tpu() or accelerators.has_gpu()):
        # JAX would start libtpu to look for a TPU, which takes a lock of the machine and complains.
        os.environ.setdefault("JAX_PLATFORMS", "cpu")


def prepare_compiler() -> None:
    """Set up jax and libtpu to compile for a TPU that is not here, then import Keras (`prepare_backend`).

    Raises UserError where KERAS_BACKEND names another backend than jax, or libtpu is not installed.
    """
    backend = os.environ.setdefault("KERAS_BACKEND", "jax") or "jax"
    if backend != "jax":
        raise UserError(
            f"--topology compiles on the jax backend; KERAS_BACKEND is {backend} (unset it, or set jax)"
        )
    if "keras" in sys.modules and sys.modules["keras"].backend.backend() != "jax":
        raise UserError("--topology compiles on the jax backend, and this process has started another")
    if not accelerators.has_libtpu():
        raise UserError(
            "--topology needs the TPU's compiler, the package libtpu, which is not installed; "
            f"{programs.install_line('tpu')}"
        )
    os.environ.update(COMPILE_ONLY | {"KERAS_BACKEND": backend})
    prepare_backend()


def prepare_backend(libraries: Iterable[str] = ("keras", "tensorflow")) -> None:
    """Configure the backend (`configure_backend`), then import Keras without the chatter of its libraries.

    TF_CPP_MIN_LOG_LEVEL below 3 in the environment shows it. Raises UserError as `configure_backend`.

    Args:
        libraries: what to import; tensorflow is tf.data for every backend.
    """
    configure_backend()
    quiet = os.environ["TF_CPP_MIN_LOG_LEVEL"] >= "3"
    new = [library for library in libraries if library not in sys.modules]
    if not new:
        return
    if "keras" in new:  # else the user's ~/.keras/keras.json could name another one, whose modules are hidden
        os.environ["KERAS_BACKEND"] = os.environ.get("KERAS_BACKEND") or BACKENDS[0]
    hidden = {*UNUSED} - NEEDED.get(os.environ.get("KERAS_BACKEND", ""), set())
    silence = without_chatter() if quiet else contextlib.nullcontext(2)
    with silence as stderr, leaving_at_once(stderr), _hidden(hidden), _without_garbage_collection():
        for library in new:
            importlib.import_module(library)
    gc.freeze()  # modules stay: to look for garbage in them takes a short command a seventh of its time


@contextlib.contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Look for no garbage meanwhile: among a million objects that stay it takes a quarter of the imports."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@contextlib.contextmanager
def _hidden(names: Iterable[str]) -> Iterator[None]:
    """Let imports of these modules fail meanwhile, unless they have been imported already."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # pyright: ignore[reportArgumentType]  None says: not there
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def without_chatter() -> Iterator[int]:
    """Hold back what is written to file descriptor 2 meanwhile, then write it without the chatter.

    Yields the file descriptor that writes to stderr at once.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        yield 2
        return
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield stderr
        finally:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            held.seek(0)
            lines = held.read().decode(errors="backslashreplace").splitlines(keepends=True)
            for line in lines:
                if sys.stderr is not None and not _CHATTER.match(line):
                    sys.stderr.write(line)


def deferred(function: str, prepare: Callable[[], None] = prepare_backend) -> Callable[..., Any]:
    """Return a stand-in for ``"module.function"``: its first call prepares Keras and imports the module.

    For commands that need a Keras model only for some inputs: importing Keras takes seconds. ``prepare`` is
    `prepare_backend` or `prepare_compiler`.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        prepare()
        module, _, name = function.rpartition(".")
        return getattr(importlib.import_module(module), name)(*args, **kwargs)

    return call
