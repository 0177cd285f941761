"""Checkpoints: the whole state of a training run, in a file or a folder, and a pointer to the current one.

The state is weights, optimizer, random state and running metrics. Keras' own formats leave out the states of
``SeedGenerator`` and of metrics. The position in the data is no part of it: it follows from the step.

A checkpoint is an ``.npz`` with one array for each variable, named by its path; where weights are spread over
devices, a folder that all hosts write (``orbax_arrays``). It is written beside its place and renamed (on
another file system: sent whole). Then ``newest.json`` is replaced, which lists the kept checkpoints with
their SHA-256, newest first; by that a checkpoint becomes current. A process may die at any moment: before the
rename it leaves a temporary file, before the new pointer an unlisted checkpoint. In both cases the old
pointer still names complete ones, since dropped ones are deleted only after it is replaced.

A pointer that is lost or damaged, be it in a digest alone, costs nothing but its digests: the checkpoints
beside it are listed by their names, and those count that prove to be whole by themselves.
"""

import re
import zipfile
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from Utils.command.cli import UserError, WorkError
from Utils.files import atomic, damage
from Utils.training import console
from Utils.training.orbax_arrays import StoredArrays, recorded_digest, sha256_of_folder
from Utils.training.tag_loss import EPOCH_STATE

POINTER = "newest.json"
_POINTER = [{"file": str, "step": int, "sha256": str}]
_NAME = re.compile(r"step-\d{9,}(\.npz)?")
State = Mapping[str, np.ndarray]  # or StoredArrays, which ``restore`` reads


def variables(model: keras.Model) -> dict[str, Any]:
    """Return ``{name: variable}`` of all that training changes; names start with what they belong to."""
    groups = {
        "model": model.variables,  # weights and the states of seed generators
        "optimizer": model.optimizer.variables,
        # The epoch that a loss reads follows from the step, as the position in the data does.
        "metrics": [v for v in model.metrics_variables if not v.path.startswith(f"{EPOCH_STATE}/")],
    }
    named = {f"{group}/{variable.path}": variable for group in groups for variable in groups[group]}
    # Keras does not enforce unique paths; of two equal ones the file would hold only the second.
    if len(named) != sum(map(len, groups.values())):
        raise WorkError("two variables of the model or optimizer have one path: layers need their own names")
    return named


def capture(model: keras.Model) -> State:
    """Return ``{name: array}``, a copy of the state of the model, its optimizer and its metrics."""
    synchronize(model)
    # np.array copies: on CPU the converted array may share memory with the variable, which training changes.
    return {name: np.array(ops.convert_to_numpy(variable)) for name, variable in variables(model).items()}


def synchronize(model: keras.Model) -> None:
    """Bring the variables up to date: on jax ``fit`` keeps the state outside of them between steps."""
    if keras.backend.backend() == "jax":
        model.jax_state_sync()


def restore(model: keras.Model, arrays: Mapping[str, np.ndarray], *, metrics: bool = True) -> None:
    """Write a captured state into the model; with ``metrics=False`` the running metrics stay as they are.

    Raises WorkError where names or shapes differ: the state is of another model or optimizer.
    """
    named = variables(model)
    missing, surplus = sorted(set(named) - set(arrays)), sorted(set(arrays) - set(named))
    if missing or surplus:
        raise WorkError(
            f"the checkpoint is of another model: it lacks {len(missing)} variables "
            f"({', '.join(missing[:3])}) and has {len(surplus)} that are not the model's "
            f"({', '.join(surplus[:3])})"
        )
    for name, variable in named.items():
        stored, needed = tuple(arrays[name].shape), tuple(variable.shape)
        if stored != needed:
            raise WorkError(f"the checkpoint holds {name} with shape {stored}; the model needs {needed}")
    if isinstance(arrays, StoredArrays):
        arrays = arrays.read(named)
    for name, variable in named.items():
        if metrics or not name.startswith("metrics/"):
            variable.assign(arrays[name])


def is_finite(arrays: Mapping[str, np.ndarray]) -> bool:
    """Whether every number of a captured state is finite."""
    # Weights and moments are float32 under every dtype policy; the integers are counters and seeds.
    return all(np.isfinite(array).all() for array in arrays.values() if array.dtype.kind == "f")


def save(folder: Any, step: int, arrays: Mapping[str, np.ndarray], keep: int = 2) -> Any:
    """Write the state after ``step`` steps into ``folder``, make it current, and keep the last ``keep``.

    Returns the path of the file.
    """
    folder = atomic.to_path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name_of(step)}.npz"
    with atomic.replacing(path) as beside:
        # Uncompressed: the low bits of float weights look random, so compression costs time and saves little.
        np.savez(beside, **arrays)  # pyright: ignore[reportArgumentType]  its stub takes "allow_pickle" only
        digest = atomic.sha256_of(beside)
    publish(path, step, digest, keep)
    return path


def name_of(step: int) -> str:
    """Return the name of the checkpoint after ``step`` steps, without a suffix."""
    return f"step-{step:09d}"


def publish(path: Any, step: int, digest: str, keep: int) -> None:
    """Make a complete checkpoint current, and delete the checkpoints beside it but for the last ``keep``.

    What else is there, a copy that somebody has put aside, stays.
    """
    folder = path.parent
    # A later step may be listed: a damaged checkpoint, from before which the run went on. It is dropped.
    older = [entry for entry in _entries(folder) if entry["step"] < step]
    entries = [{"file": path.name, "step": step, "sha256": digest}, *older][:keep]
    atomic.write_json(folder / POINTER, entries)
    listed = {POINTER, *(entry["file"] for entry in entries)}
    for item in folder.iterdir():  # those that fell out, and what a killed process left half-written
        is_half_written = item.name.startswith(".") and ".part" in item.name or "checkpoint-tmp" in item.name
        if item.name in listed or not (is_half_written or _NAME.fullmatch(item.name)):
            continue
        if item.is_dir():
            atomic.remove_tree(item)
        else:
            item.unlink()


def newest(folder: Any) -> Any:
    """Return the path of the newest checkpoint that the pointer names, None without one."""
    entries = _entries(atomic.to_path(folder))
    return atomic.to_path(folder) / entries[0]["file"] if entries else None


def newest_step(folder: Any) -> int:
    """Return after how many steps the newest checkpoint was written, 0 without one."""
    return max((entry["step"] for entry in _entries(atomic.to_path(folder))), default=0)


def load(folder: Any) -> tuple[int, State | None]:
    """Return ``(step, arrays)`` of the newest undamaged checkpoint, ``(0, None)`` if none was ever written.

    What is damaged, the pointer or a checkpoint, is reported on stderr and passed over. Raises WorkError if
    no checkpoint is whole.
    """
    folder = atomic.to_path(folder)
    entries, fault = _listed(folder)
    if fault and (entries or (folder / POINTER).is_file()):
        console.say(f"warning: {fault}; {len(entries)} checkpoints beside it are whole, the newest is taken")
    for entry in entries:
        path = folder / entry["file"]
        arrays = _read(path, entry["sha256"])
        if arrays is None and path.exists() and (digest := _digest(path)) is not None:
            console.say(f"warning: {folder / POINTER} has another SHA-256 of {path}, which is whole")
            arrays = _read(path, digest)
        if arrays is not None:
            return entry["step"], arrays
        console.say(f"warning: {path} is missing or damaged; the one before it is tried")
    if entries or (folder / POINTER).is_file():
        raise WorkError(f"no checkpoint in {folder} is whole; train into another --run-dir")
    return 0, None


def _read(path: Any, digest: str) -> State | None:
    """Return the arrays of a checkpoint, None where it is missing or not what was written."""
    if path.is_dir():
        return StoredArrays(path) if sha256_of_folder(path) == digest else None
    if not path.is_file():
        return None
    with atomic.local(path) as copy:
        if atomic.sha256_of(copy) != digest:
            return None
        # No pickles: they could run code.
        with damage.named(path, "is no checkpoint"), np.load(copy, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}


def _entries(folder: Any) -> list[dict[str, Any]]:
    return _listed(folder)[0]


def _listed(folder: Any) -> tuple[list[dict[str, Any]], str]:
    """Return the entries of the pointer, newest first, and "".

    Where it is lost or damaged: an entry for each checkpoint beside it that is whole, and the fault.
    """
    pointer = folder / POINTER
    if not pointer.is_file():
        return _whole(folder), f"{pointer} is missing"
    try:
        entries = atomic.read_json(pointer, _POINTER)
    except UserError as error:
        return _whole(folder), str(error)
    if not entries:
        return _whole(folder), f"{pointer} is empty"
    for entry in entries:
        if entry["file"] not in (name_of(entry["step"]), f"{name_of(entry['step'])}.npz"):
            return _whole(folder), f"{pointer} says that {entry['file']} is of step {entry['step']}"
    return entries, ""


def _whole(folder: Any) -> list[dict[str, Any]]:
    """Return an entry for each checkpoint in a folder that proves to be whole without the pointer."""
    if not folder.is_dir():
        return []
    digests = {path: _digest(path) for path in folder.iterdir() if _NAME.fullmatch(path.name)}
    entries = [
        {"file": path.name, "step": int(path.stem.removeprefix("step-")), "sha256": digest}
        for path, digest in digests.items()
        if digest is not None
    ]
    return sorted(entries, key=lambda entry: entry["step"], reverse=True)


def _digest(path: Any) -> str | None:
    """Return the SHA-256 of a checkpoint that is whole by what it holds itself, None of others.

    A file has a CRC of each array, a folder its own digest.
    """
    if path.is_dir():
        return recorded_digest(path)
    with atomic.local(path) as copy:
        try:
            with damage.named(path, "is no checkpoint"), zipfile.ZipFile(copy) as stored:
                return atomic.sha256_of(copy) if stored.testzip() is None else None
        except UserError:
            return None
