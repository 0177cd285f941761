"""The whole state of a training run in one file: weights, optimizer, random state, running metrics.

Keras' own formats leave out the states of ``SeedGenerator`` and of metrics, and hold no position in the data.
A checkpoint is an ``.npz`` with one array for each variable, named by its path, written beside and renamed
(to another file system: sent whole); then comes ``newest.json``, which lists the kept ones with their
SHA-256, newest first. So the newest whole checkpoint can be told at any moment, whatever was being written
when the process died.
"""

import sys

import keras
import numpy as np
from keras import ops

from Utils.command.cli import WorkError
from Utils.files import atomic

POINTER = "newest.json"


def variables(model):
    """Return ``{name: variable}`` of all that training changes; names start with what they belong to."""
    groups = {
        "model": model.variables,  # weights and the states of seed generators
        "optimizer": model.optimizer.variables,
        "metrics": model.metrics_variables,
    }
    named = {f"{group}/{item.path}": item for group, items in groups.items() for item in items}
    if len(named) != sum(map(len, groups.values())):
        raise WorkError("two variables of the model or optimizer have one path: layers need their own names")
    return named


def capture(model):
    """Return ``{name: array}``, a copy of the state of the model, its optimizer and its metrics."""
    synchronize(model)
    return {name: np.array(ops.convert_to_numpy(item)) for name, item in variables(model).items()}


def synchronize(model):
    """Bring the variables up to date: on jax the training loop keeps the state outside of them."""
    if keras.backend.backend() == "jax":
        model.jax_state_sync()


def restore(model, arrays, *, metrics=True):
    """Write a captured state into the model; without ``metrics`` the running ones stay as they are.

    Raises WorkError where names or shapes differ: the state is of another model or optimizer.
    """
    named = variables(model)
    missing, left = sorted(set(named) - set(arrays)), sorted(set(arrays) - set(named))
    if missing or left:
        raise WorkError(
            f"the checkpoint is of another model: it lacks {len(missing)} variables "
            f"({', '.join(missing[:3])}) and has {len(left)} that are not the model's ({', '.join(left[:3])})"
        )
    for name, item in named.items():
        if tuple(item.shape) != arrays[name].shape:
            stored, needed = arrays[name].shape, tuple(item.shape)
            raise WorkError(f"the checkpoint holds {name} with shape {stored}; the model needs {needed}")
        if metrics or not name.startswith("metrics/"):
            item.assign(arrays[name])


def is_finite(arrays):
    """Whether every number of a captured state is finite."""
    return all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f")


def save(folder, step, arrays, keep=2):
    """Write the state after ``step`` steps into ``folder``, make it the newest, keep the last ``keep``."""
    folder = atomic.to_path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:09d}.npz"
    with atomic.replacing(path) as beside:
        np.savez(beside, **arrays)
        digest = atomic.sha256_of(beside)
    older = [entry for entry in _entries(folder) if entry["step"] < step]
    kept = [{"file": path.name, "step": step, "sha256": digest}, *older][:keep]
    atomic.write_json(folder / POINTER, kept)
    names = {POINTER, *(entry["file"] for entry in kept)}
    for stale in folder.iterdir():  # those that fell out, and what a killed process left half-written
        if stale.name not in names:
            stale.unlink()
    return path


def newest(folder):
    """Return the path of the newest checkpoint that the pointer names, or None."""
    entries = _entries(atomic.to_path(folder))
    return atomic.to_path(folder) / entries[0]["file"] if entries else None


def load(folder):
    """Return ``(step, arrays)`` of the newest whole checkpoint, ``(0, None)`` where none was ever written.

    A damaged one is told on stderr and passed over. Raises WorkError where all are damaged.
    """
    folder = atomic.to_path(folder)
    entries = _entries(folder)
    for entry in entries:
        path = folder / entry["file"]
        arrays = _whole(path, entry["sha256"])
        if arrays is not None:
            return entry["step"], arrays
        print(f"{path} is missing or damaged; the one before it is tried", file=sys.stderr)
    if entries:
        raise WorkError(f"no checkpoint in {folder} is whole; train into another --run-dir")
    return 0, None


def _whole(path, digest):
    """Return the arrays of a checkpoint, None where it is missing or not what was written."""
    if not path.is_file():
        return None
    with atomic.local(path) as copy:
        if atomic.sha256_of(copy) != digest:
            return None
        with np.load(copy, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}


def _entries(folder):
    return atomic.read_json(folder / POINTER) if (folder / POINTER).is_file() else []
