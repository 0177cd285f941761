"""Who writes the checkpoints of a run: the first host one file, or all hosts a folder while training goes on.

Where every device has all weights, the first host captures and writes them (`WholeSaver`): one file that any
number of devices and every backend reads. Where weights are spread over devices, no host may have all of
them: each writes its own parts, in a thread (`ShardedSaver`).
"""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, Protocol

import keras

from Utils.command.cli import UserError, WorkError
from Utils.files import atomic
from Utils.training import checkpoints, orbax_arrays
from Utils.training.devices import Devices


class Saver(Protocol):
    """Saves the state of a model; all hosts call it at the same steps."""

    def save(self, model: keras.Model, step: int) -> bool:
        """Save the state after ``step`` steps, or begin to; return False, and do not, if it is not finite."""
        ...

    def wait(self) -> None:
        """Wait until what was begun is the newest checkpoint of the folder; raises what went wrong."""
        ...


def build(folder: Any, keep: int, devices: Devices) -> Saver:
    """Return what saves into a folder, of which the newest ``keep`` checkpoints stay."""
    kind = WholeSaver if devices.sharding is None else ShardedSaver
    return kind(folder, keep, devices.is_first_host)


def save_now(folder: Any, model: keras.Model, step: int, devices: Devices) -> None:
    """Save a state as the only checkpoint of a folder, and wait for it."""
    saver = build(folder, 1, devices)
    saver.save(model, step)
    saver.wait()


def check(run_dir: str, devices: Devices) -> None:
    """Raise UserError where the checkpoints that such devices need cannot be written."""
    if devices.sharding is None or not run_dir:
        return
    orbax_arrays.require()
    if atomic.is_remote(atomic.to_path(run_dir)):
        raise UserError(
            "--shard-model needs a --run-dir on a mounted file system, which all hosts write to; "
            f"got {run_dir}"
        )


class WholeSaver:
    """Captures the whole state and, on the first host, writes it before training goes on."""

    def __init__(self, folder: Any, keep: int, is_first_host: bool) -> None:
        self._folder, self._keep, self._is_first_host = folder, keep, is_first_host

    def save(self, model: keras.Model, step: int) -> bool:
        """Save the state; every host checks it, since all must end when the run has diverged."""
        arrays = checkpoints.capture(model)
        if not checkpoints.is_finite(arrays):
            return False
        if self._is_first_host:
            checkpoints.save(self._folder, step, arrays, self._keep)
        return True

    def wait(self) -> None:
        """Return: nothing goes on."""


class ShardedSaver:
    """Copies a host's parts of the state and writes them in a thread; the first host makes them current."""

    def __init__(self, folder: Any, keep: int, is_first_host: bool) -> None:
        self._folder, self._keep, self._is_first_host = atomic.to_path(folder), keep, is_first_host
        self._writer = orbax_arrays.AsyncWriter()
        self._thread: threading.Thread | None = None
        self._error: WorkError | None = None

    def save(self, model: keras.Model, step: int) -> bool:
        """Begin to save the state, once the save before has ended."""
        self.wait()
        checkpoints.synchronize(model)
        arrays = {name: variable.value for name, variable in checkpoints.variables(model).items()}
        if not orbax_arrays.is_finite(arrays.values()):
            return False
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._folder / checkpoints.name_of(step)
        with _said():
            self._writer.write(path, arrays)
        # No daemon: a process that ends finishes the save.
        self._thread = threading.Thread(target=self._finish, args=(path, step))
        self._thread.start()
        return True

    def _finish(self, path: Any, step: int) -> None:
        try:
            with _said():
                self._writer.wait()
                if self._is_first_host:
                    digest = orbax_arrays.record_digest(path)
                    checkpoints.publish(path, step, digest, self._keep)
        except WorkError as error:
            self._error = error

    def wait(self) -> None:
        """Wait for the thread."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        error, self._error = self._error, None
        if error is not None:
            raise error


@contextlib.contextmanager
def _said() -> Iterator[None]:
    """Turn whatever ends a save into one WorkError: a full disk comes from Orbax in many classes."""
    try:
        yield
    except Exception as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise WorkError(f"the checkpoint cannot be written: {reason}") from error
