"""Arrays in a folder that all hosts write, each its own parts, while training goes on (Orbax).

The folder is Orbax's: written beside its place, renamed when every host has written its share. Any number of
devices can read it, each the parts that it needs; without a mesh the arrays are read as numpy's.
"""

import functools
import hashlib
import importlib.util
import logging
import pathlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from Utils.command.cli import UserError
from Utils.files import atomic, damage

PACKAGE = "orbax-checkpoint"
_DIGEST = "sha256.txt"  # within the folder: the digest of all else in it


def require() -> None:
    """Raise UserError where Orbax is not installed."""
    if importlib.util.find_spec("orbax") is None:
        raise UserError(
            f"checkpoints of --shard-model need the package {PACKAGE}, which is not installed; "
            f"pip install -r requirements-sharded.txt"
        )


class AsyncWriter:
    """Writes folders of arrays in a thread: one at a time, all hosts together."""

    def __init__(self) -> None:
        require()
        import orbax.checkpoint as ocp

        self._checkpointer = ocp.AsyncCheckpointer(_handler())

    def write(self, folder: pathlib.Path, arrays: Mapping[str, Any]) -> None:
        """Copy arrays to the host's memory, and begin to write them; a folder that is there is replaced.

        The caller may change or donate the arrays as soon as this returns.
        """
        import orbax.checkpoint as ocp

        self._checkpointer.save(folder.absolute(), args=ocp.args.PyTreeSave(dict(arrays)), force=True)

    def wait(self) -> None:
        """Wait until the folder is complete and has its name on all hosts; raises what went wrong."""
        self._checkpointer.wait_until_finished()


class StoredArrays(Mapping[str, Any]):
    """The arrays of a folder by name: their shapes at once, their numbers when ``read`` is called."""

    def __init__(self, folder: pathlib.Path) -> None:
        require()
        self.folder = folder
        with damage.named(folder, "is no checkpoint"):
            self._described: dict[str, Any] = dict(_reader().metadata(folder.absolute()).item_metadata.tree)

    def __getitem__(self, name: str) -> Any:
        """Return what is known of an array without reading it: its ``shape`` and ``dtype``."""
        return self._described[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._described)

    def __len__(self) -> int:
        return len(self._described)

    def read(self, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return ``{name: array}``: numpy's, or spread as the ``variables`` are where these are on a mesh."""
        import orbax.checkpoint as ocp

        arguments = {name: _how_to_read((variables or {}).get(name)) for name in self}
        with damage.named(self.folder, "is no checkpoint"):
            return _reader().restore(
                self.folder.absolute(),
                args=ocp.args.PyTreeRestore(item=dict.fromkeys(self, 0), restore_args=arguments),
            )


def _how_to_read(variable: Any) -> Any:
    import orbax.checkpoint as ocp

    sharding = getattr(getattr(variable, "value", None), "sharding", None)
    if sharding is None or not hasattr(sharding, "mesh"):
        return ocp.RestoreArgs(restore_type=np.ndarray)
    return ocp.ArrayRestoreArgs(sharding=sharding, global_shape=tuple(variable.shape))


@functools.cache
def _reader() -> Any:
    import orbax.checkpoint as ocp

    return ocp.Checkpointer(_handler())


def _handler() -> Any:
    import orbax.checkpoint as ocp

    logging.getLogger("absl").setLevel(logging.ERROR)  # it tells of every step of its work
    return ocp.PyTreeCheckpointHandler()


def is_finite(arrays: Iterable[Any]) -> bool:
    """Whether every number of JAX's arrays is finite; looked at where they are, on the devices."""
    # One program for all: of several that are under way at a time, CPU devices may wait for one another.
    return bool(_all_are_finite()(list(arrays)))


@functools.cache
def _all_are_finite() -> Any:
    import jax
    import jax.numpy as jnp

    def check(arrays: list[Any]) -> Any:
        floats = [array for array in arrays if jnp.issubdtype(array.dtype, jnp.floating)]
        return jnp.stack([jnp.isfinite(array).all() for array in floats]).all()

    return jax.jit(check)


def sha256_of_folder(folder: pathlib.Path) -> str:
    """Return a digest of all files in a folder and of their names; `record_digest`'s own file aside."""
    digest = hashlib.sha256()
    files = (path for path in folder.rglob("*") if path.is_file() and path != folder / _DIGEST)
    for file in sorted(files):
        digest.update(f"{file.relative_to(folder).as_posix()} {atomic.sha256_of(file)}\n".encode())
    return digest.hexdigest()


def record_digest(folder: pathlib.Path) -> str:
    """Write the digest of a complete folder into it, and return it."""
    digest = sha256_of_folder(folder)
    with atomic.replacing(folder / _DIGEST) as temporary:
        temporary.write_text(f"{digest}\n", encoding="ascii")
    return digest


def recorded_digest(folder: pathlib.Path) -> str | None:
    """Return the digest that a folder holds of itself, None where it holds none or another."""
    file = folder / _DIGEST
    digest = sha256_of_folder(folder)
    return digest if file.is_file() and file.read_bytes() == f"{digest}\n".encode() else None
