"""File names of the Keras models in run folders and releases."""

import pathlib
from typing import Any

from Utils.command import programs
from Utils.command.cli import UserError
from Utils.files.atomic import sha256_of
from Utils.files.output_files import FileKind, has_members
from Utils.files.output_folders import FolderKind

RUN_MODELS = {"best": "best.keras", "last": "model.keras"}  # by the word that --which takes
RELEASED_MODEL = pathlib.PurePosixPath("extra", "keras", RUN_MODELS["last"])  # below a release folder
HDF5_SUFFIXES = (".h5", ".hdf5")
_is_keras_file = has_members("config.json", "metadata.json", "model.weights.h5")
# A model in the folder of a run or below a release is the work of another command: of days, perhaps.
IMPORTED = FileKind(
    "an imported Keras model",
    lambda path: _is_keras_file(path) and not path.with_name("recipe.json").exists(),
)
_LISTED = ("selected_tags.csv", "categories.json")
_SAVED = ("saved_model.pb", "fingerprint.pb", "variables/variables.*")
_KERAS = ("model.keras", "recipe.json", "history.csv", "dataset.json")
RELEASE = FolderKind(
    "a release", ("release.json", "model.onnx", "selected_tags.csv"),
    (
        "preprocess.json", "categories.json", "README.md", "config.json", "model.safetensors",
        "extra/thresholds.csv", "extra/model.tflite",
        *(f"extra/saved_model/{name}" for name in _SAVED),
        *(f"extra/keras/{name}" for name in (*_KERAS, *_LISTED)),
        *(f"extra/{folder}/{name}" for folder in ("full", "onnx_float16", "onnx_int8")
          for name in ("model.onnx", *_LISTED)),
    ),
    inventory="release.json",
)  # fmt: skip


def digest_in_run(file: pathlib.Path | None) -> str | None:
    """Return the SHA-256 of a run's model file; None for others: a model saved again has another."""
    is_released = file is not None and file.parent.parts[-2:] == RELEASED_MODEL.parts[:-1]
    if file is None or is_released or not (file.is_file() and file.with_name("recipe.json").is_file()):
        return None
    return sha256_of(file)


def import_hint(path: Any) -> str:
    """Return how a SavedModel folder or a file of Keras 2 becomes a model of this zoo; "" for other paths."""
    is_saved = any((path / name).is_file() for name in ("saved_model.pb", "variables/variables.index"))
    kind = "a SavedModel" if is_saved else "HDF5" if path.suffix in HDF5_SUFFIXES and path.is_file() else ""
    line = programs.line("import_weights", path, "-o", "NAME.keras")
    return f". As {kind} of the original zoo it becomes a .keras file by {line}" if kind else ""


def require_choice(path: pathlib.Path, which: str) -> None:
    """Raise UserError where the last model is asked for at a path that has one model: no run is there."""
    is_one = path.is_file() or (path / RELEASED_MODEL).is_file() or (path / "model.safetensors").is_file()
    if which == "last" and is_one and not (path / RUN_MODELS["last"]).is_file():
        raise UserError(f"--which last is for runs, which have two models; {path} has one: leave it out")
