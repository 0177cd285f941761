"""Run folders: the record of what a run trains on, and whether a command may continue it.

``recipe.json selected_tags.csv dataset.json environment.json history.csv checkpoints/ model.keras
best.keras``
"""

import dataclasses
import importlib.metadata
import os
import pathlib
import platform
from collections.abc import Mapping
from typing import IO, Any

from Utils.command import accelerators, machine
from Utils.command.cli import UserError, suggest
from Utils.data.dataset_folder import Dataset
from Utils.files import atomic
from Utils.files.locking import try_lock
from Utils.files.model_files import RUN_MODELS
from Utils.recipe.initial_weights import ORIGIN_FILE
from Utils.recipe.recipe import Recipe, read_recipe, write_recipe
from Utils.tags import tag_categories, tag_list
from Utils.training import console
from Utils.training.history import ROW, History, best_row, selected_by

# Fields that may change when a run is continued: the steps that are done already do not depend on them.
CHANGEABLE = (
    "epochs",
    "early_stopping",
    "checkpoint_every",
    "profile",
    "keep_checkpoints",
    "tracker",
    "project",
    "jit_compile",
    "attention_implementation",
    "rematerialize",
    "shard_model",
)
# Compared as the global batch and the steps of an epoch: another number of devices may continue a run.
COMPARED_AS_FACTS = ("batch_size_per_device", "steps_per_epoch")
PACKAGES = ("keras", "tensorflow", "jax", "jaxlib", "libtpu", "numpy", "pandas", "opencv-python-headless")
# Variables that change what is compiled, or for what.
COMPILER_FLAGS = (
    "KERAS_BACKEND", "XLA_FLAGS", "LIBTPU_INIT_ARGS", "TF_XLA_FLAGS", "TF_ENABLE_ONEDNN_OPTS",
    "ONEDNN_MAX_CPU_ISA", "JAX_PLATFORMS", "JAX_ENABLE_X64", "JAX_DEFAULT_MATMUL_PRECISION",
    "NVIDIA_TF32_OVERRIDE", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS",
)  # fmt: skip
_ENVIRONMENT = {
    "batch_size": int, "steps_per_epoch": int, "records": object, "contents?": dict, "continued?": [dict],
}  # fmt: skip
CHECKPOINTS = "checkpoints"  # a folder in the run folder
_MANIFEST = {"records?": ({"*": {"shards?": [dict]}}, None)}
# What a process that was killed while it made the folder may leave; recipe.json is written last.
UNFINISHED = {tag_list.FILE, tag_categories.FILE, "dataset.json", "environment.json", ".lock"}


class Run:
    """A run folder, created or continued; within ``with``, no other process can train in it.

    Args:
        folder: where the run is, or will be.
        name: the recipe's name.
        recipe: the recipe.
        dataset: the dataset.
        facts: what follows from recipe, dataset and devices, as JSON values: ``batch_size``,
            ``steps_per_epoch``, ``records``, ``devices`` and ``contents``, the digests, by flag, of files and
            columns that the recipe only names.
        is_first_host: False on the other hosts, which only read the folder.

    Raises:
        UserError: the folder is something else, another process trains there, or the run was started with
            a recipe or dataset that differs in what decides the result.
    """

    def __init__(
        self,
        folder: str | pathlib.Path,
        name: str,
        recipe: Recipe,
        dataset: Dataset,
        facts: Mapping[str, Any],
        is_first_host: bool = True,
    ) -> None:
        self.folder = atomic.to_path(folder)
        self.continued = check(self.folder, recipe, dataset, facts)
        if not (is_first_host or self.continued):
            raise UserError(f"all hosts need the same --run-dir; this one sees no run at {self.folder}")
        self._lock: IO[str] | None = None
        # Other file systems have no lock that ends with the process that holds it.
        if is_first_host and not atomic.is_remote(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = _lock(self.folder / ".lock")
            self.continued = check(self.folder, recipe, dataset, facts)  # another may have trained until now
        self.history = History(self.folder / "history.csv", writable=is_first_host)
        if is_first_host:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._write(name, recipe, dataset, facts)
        else:
            console.silence()

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *error: object) -> None:
        if self._lock is not None:
            self._lock.close()

    checkpoints = property(lambda self: self.folder / CHECKPOINTS, doc="Folder of the checkpoints.")
    last = property(lambda self: self.folder / RUN_MODELS["last"], doc="The last state's model.")
    best = property(lambda self: self.folder / RUN_MODELS["best"], doc="The model of the best validation F1.")

    @property
    def has_begun_with_weights(self) -> bool:
        """Whether the weights of --init-from have been recorded, with the state before the first step."""
        return (self.folder / ORIGIN_FILE).is_file()

    def _write(self, name: str, recipe: Recipe, dataset: Dataset, facts: Mapping[str, Any]) -> None:
        environment = {**facts, **_environment(), **atomic.provenance()}
        path = self.folder / "environment.json"
        if self.continued:
            first = atomic.read_json(path, _ENVIRONMENT)
            environment = {**first, "continued": [*first.get("continued", []), environment]}
        else:
            tag_list.write(dataset.tags, self.folder / tag_list.FILE)
            atomic.write_json(self.folder / "dataset.json", dataset.manifest)
        atomic.write_json(path, environment)
        write_recipe(self.folder / "recipe.json", name, recipe)  # last: it makes the folder a run


def require_free(folder: str | pathlib.Path) -> None:
    """Raise UserError where another process trains in a folder; nothing is written, no lock is kept."""
    lock = atomic.to_path(folder) / ".lock"
    if not atomic.is_remote(lock) and lock.is_file():
        _lock(lock).close()


def as_recorded(recipe: Recipe, folder: str) -> Recipe:
    """Return the recipe with what a run has decided before about rematerialization, if it leaves that open.

    With another number of images a device, or weights spread otherwise, the question is a new one.
    """
    file = atomic.to_path(folder) / "recipe.json" if folder else None
    if recipe.rematerialize != "auto" or file is None or not file.is_file():
        return recipe
    old = {**Recipe().to_dict(), **read_recipe(file)[1]}
    if any(old[name] != getattr(recipe, name) for name in ("batch_size_per_device", "shard_model")):
        return recipe
    console.say(f"--rematerialize auto is {old['rematerialize']}, as this run was started")
    return dataclasses.replace(recipe, rematerialize=old["rematerialize"])


def check(folder: str | pathlib.Path, recipe: Recipe, dataset: Dataset, facts: Mapping[str, Any]) -> bool:
    """Return whether a folder holds a run, which the arguments of ``Run`` may continue; nothing is written.

    Raises:
        UserError: no run can be made or continued there.
    """
    folder = atomic.to_path(folder)
    is_run = _is_run(folder)
    if is_run:
        _require_same(folder, recipe, dataset, facts)
        _require_history(folder, recipe, facts["steps_per_epoch"], "validation" in dataset.splits)
    elif not atomic.is_remote(folder):
        _require_writable(folder)
    return is_run


def _require_writable(folder: pathlib.Path) -> None:
    """Raise UserError unless a local folder can be made, or is there and can be written to."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir():
        raise UserError(f"--run-dir must be a folder; {existing} is a file")
    if not os.access(existing, os.W_OK | os.X_OK):
        raise UserError(f"--run-dir {folder} cannot be made: {existing} is not writable")


def _is_run(folder: Any) -> bool:
    """Whether a folder holds a run; UserError where something else is there."""
    if (folder / "recipe.json").is_file():
        return True
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--run-dir must be a folder; {folder} is a file")
    names = {item.name for item in folder.iterdir()} if folder.exists() else set()
    foreign = sorted(name for name in names - UNFINISHED if ".part" not in name)
    if foreign:
        raise UserError(
            f"{folder} is no run (it has no recipe.json) and holds {', '.join(foreign[:3])}; "
            "give another --run-dir"
        )
    return False


def _lock(path: pathlib.Path) -> IO[str]:
    """Lock the folder until the file is closed, which the system does however this process ends."""
    file = path.open("a")
    if not try_lock(file):
        file.close()
        raise UserError(f"another process trains in {path.parent}; wait, or give another --run-dir")
    return file


def _require_same(folder: Any, recipe: Recipe, dataset: Dataset, facts: Mapping[str, Any]) -> None:
    old_recipe = read_recipe(folder / "recipe.json")[1]
    old_recipe = {**Recipe().to_dict(), **old_recipe}  # fields that are newer than the run
    differences = [
        *_recipe_differences(old_recipe, recipe.to_dict()),
        *_fact_differences(atomic.read_json(folder / "environment.json", _ENVIRONMENT), facts),
        *data_differences(folder, dataset),
    ]
    if differences:
        raise UserError(
            f"{folder} holds a run that differs: {'; '.join(differences)}. Continue it with what it "
            "was started with (only epochs, checkpoints and the tracker may change), or give another "
            "--run-dir"
        )
    if recipe.epochs < old_recipe["epochs"]:
        raise UserError(
            f"--epochs may rise, not fall, when a run is continued; {folder} was started with "
            f"{old_recipe['epochs']}, got {recipe.epochs}. best.keras holds its best state so far"
        )


def _require_history(folder: Any, recipe: Recipe, steps_per_epoch: int, is_validated: bool) -> None:
    """Raise UserError where what a run has done is gone: its scores, its best model, where it began.

    Another model would take the place of the best, better or not; or the first weights that of the newest.
    """
    from Utils.training import (
        checkpoints,
    )  # here: it imports Keras, and `train.py --help` imports this module

    path, best = folder / "history.csv", folder / RUN_MODELS["best"]
    steps = checkpoints.newest_step(folder / CHECKPOINTS)
    epochs, origin = steps // steps_per_epoch, folder / ORIGIN_FILE
    if recipe.init_from and steps and not origin.is_file():
        raise UserError(
            f"{origin} is gone: the run would begin with the weights of --init-from again, and its "
            f"{steps} steps would be lost. Put it back, or give another --run-dir"
        )
    # A run that is killed before its first row has one finished epoch and no row.
    rows = History(path, writable=False).rows
    if not rows and epochs > 1:
        raise UserError(
            f"{path} is {'empty' if path.is_file() else 'gone'}, which has the scores of {epochs} epochs: "
            "the first one trained now would replace best.keras, better or not. Put the file back, "
            f"or train into another --run-dir with --init-from {folder}"
        )
    column, lowest = selected_by(recipe.best_by)
    chose_best = is_validated and best.is_file()
    missing = [name for name in (*ROW, *[column] * chose_best) if rows and name not in rows[0]]
    if missing:
        raise UserError(
            f"{path} has no column {missing[0]}{suggest(missing[0], rows[0])}, which the run wrote: put it "
            "back as it was"
        )
    best_epoch = best_row(rows, column, lowest)
    if not recipe.probe and best_epoch and not best.is_file():  # a probe writes it last
        last, is_same = folder / RUN_MODELS["last"], best_epoch is rows[-1]
        copy = f", or copy {last} there, which is of the same epoch" if is_same and last.is_file() else ""
        raise UserError(
            f"{best} is gone, the model of the best epoch so far, {best_epoch['epoch']}: put it back{copy}; "
            f"or go on from the last state in another --run-dir, with --init-from {folder} --which last"
        )


def data_differences(folder: Any, dataset: Dataset) -> list[str]:
    """Return in words how the data that a run was trained on differ from a dataset."""
    manifest = atomic.read_json(folder / "dataset.json", _MANIFEST)
    differences = [
        f"the dataset has other {split} records"
        for split in ("train", "validation")
        if _shards(manifest, split) != _shards(dataset.manifest, split)
    ]
    tags = tag_list.read(folder / tag_list.FILE)
    if tag_list.digest(tags) != tag_list.digest(dataset.tags):
        differences.append("the dataset has another tag list")
    return differences


def _recipe_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    names = [name for name in {**old, **new} if name not in CHANGEABLE + COMPARED_AS_FACTS]
    return [
        f"--{name.replace('_', '-')} was {old.get(name)}, is {new.get(name)}"
        for name in names
        if old.get(name) != new.get(name)
    ]


def _fact_differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    differences = [
        f"{name.replace('_', ' ')} was {old[name]}, is {new[name]}"
        for name in ("batch_size", "steps_per_epoch", "records")
        if old[name] != new[name]
    ]
    # A run from before a digest was recorded has none to compare with.
    old_contents = old.get("contents", {})
    return differences + [
        f"what {flag} names has changed"
        for flag, digest in new.get("contents", {}).items()
        if old_contents.get(flag, digest) != digest
    ]


def _shards(manifest: Mapping[str, Any], split: str) -> list[tuple[int | None, str | None]]:
    """Return how many records every shard of a split has, and its SHA-256 where that is known."""
    shards = (manifest.get("records") or {}).get(split, {}).get("shards", [])
    return [(shard.get("records"), shard.get("sha256")) for shard in shards]


def _environment() -> dict[str, Any]:
    versions: dict[str, str | None] = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "python": platform.python_version(),
        "machine": platform.platform(),
        "processor": machine.cpu_name(),
        "accelerators": accelerators.describe(),
        "compiler_flags": {name: os.environ[name] for name in COMPILER_FLAGS if name in os.environ},
        "packages": versions,
    }
