"""Initial weights of a run: located in another run, a ``.keras`` file or a release, outputs matched by tag.

Keras is not imported: the command line needs the model's name and image size before a backend is chosen.
"""

import dataclasses
import json
import pathlib
from typing import Any, Literal

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.command.text import join_names
from Utils.files import atomic, damage, shapes, zip_files
from Utils.files.model_files import RUN_MODELS
from Utils.recipe.recipe import RECIPE_FILE, Recipe, read_recipe, recipe_from_dict
from Utils.tags import tag_list

ORIGIN_FILE = "initialization.json"  # in the folder of a run that began with weights
_MOST_NAMES = 10  # files listed in an error


@dataclasses.dataclass(frozen=True)
class Source:
    """A saved model and the files beside it; or a run's record of it, once the run has copied its weights."""

    file: (
        pathlib.Path
    )  # a .keras file; of a run that has begun: its folder, where checkpoints have the weights
    model: str  # Family/Variant
    image_size: int
    num_labels: int
    tags: pd.DataFrame | None  # row i is output i
    recipe: Recipe | None  # how it was trained

    @property
    def is_taken_over(self) -> bool:
        """Whether a run has already copied its weights, so that the run's checkpoints hold them."""
        return self.file.suffix != ".keras"


def resolve(path: atomic.AnyPath, which: Literal["best", "last"], run_dir: atomic.AnyPath) -> Source:
    """Return a run's record of ``path``, if the run began with it, else the source at ``path`` itself.

    A run continues also when the model it began with is gone. ``run_dir`` may be empty.
    """
    return (read_origin(run_dir, path) if run_dir else None) or find(path, which)


def find(path: atomic.AnyPath, which: Literal["best", "last"] = "best") -> Source:
    """Return the source at ``path``: a run (its ``which`` model), a ``.keras`` file, or a folder with one.

    Raises UserError that says what was looked for and what is there.
    """
    file = _model_file(atomic.to_path(path), which)
    model, image_size, num_labels = _read_architecture(file)
    tags_file, recipe_file = file.parent / "selected_tags.csv", file.parent / RECIPE_FILE
    tags = tag_list.read_beside_model(tags_file) if tags_file.is_file() else None
    if tags is not None and len(tags) != num_labels:
        raise UserError(f"{tags_file} has {len(tags)} tags, but {file.name} gives {num_labels} outputs")
    recipe = recipe_from_dict(read_recipe(recipe_file)[1]) if recipe_file.is_file() else None
    return Source(file, model, image_size, num_labels, tags, recipe)


def write_origin(run_dir: atomic.AnyPath, path: atomic.AnyPath, source: Source, match: "TagMatch") -> None:
    """Record in a run folder its initial weights (``--init-from path``) and the match of the tags."""
    origin = {
        "init_from": str(path),
        "file": source.file.name,
        "sha256": atomic.sha256_of(source.file),
        "model": source.model,
        "image_size": source.image_size,
        "num_labels": source.num_labels,
        "kept": match.num_kept,
        "renamed": match.renamed,
        "new": match.new,
        "dropped": match.dropped,
        "rows": match.rows.tolist(),
        "recipe": source.recipe and source.recipe.to_dict(),
    }
    atomic.write_json(atomic.to_path(run_dir) / ORIGIN_FILE, origin)


_ORIGIN = {"model": str, "image_size": int, "num_labels": int, "recipe": (dict, None)}


def read_origin(run_dir: atomic.AnyPath, path: atomic.AnyPath) -> Source | None:
    """Return the recorded source of a run's initial weights if that was ``path``, else None."""
    file = atomic.to_path(run_dir) / ORIGIN_FILE
    origin = atomic.read_json(file, dict) if file.is_file() else {}
    if origin.get("init_from") != str(path):
        return None
    shapes.require(file, origin, _ORIGIN)
    recipe = origin["recipe"] and recipe_from_dict(origin["recipe"])
    return Source(file.parent, origin["model"], origin["image_size"], origin["num_labels"], None, recipe)


def _model_file(path: pathlib.Path, which: Literal["best", "last"]) -> pathlib.Path:
    if path.suffix == ".keras" and path.is_file():
        return path
    if not path.is_dir():
        content = "a file that does not end in .keras" if path.exists() else "nothing"
        raise UserError(
            f"--init-from takes a run folder, a .keras file or a release folder; at {path} is {content}"
        )
    if (path / RUN_MODELS[which]).is_file():
        return path / RUN_MODELS[which]
    models = sorted(path.glob("*.keras")) or sorted(path.glob("extra/keras/*.keras"))
    # A run folder with a single model has the other one of best and last, which was not asked for.
    if which == "best" and len(models) == 1 and not (path / RECIPE_FILE).is_file():
        return models[0]
    names = ", ".join(sorted(item.name for item in path.iterdir())[:_MOST_NAMES]) or "nothing"
    raise UserError(
        f"{path} has no {RUN_MODELS[which]}, nor is it a folder with one .keras file; it holds {names}"
    )


def _read_architecture(file: pathlib.Path) -> tuple[str, int, int]:
    """Return (Family/Variant, image size, number of outputs) of a ``.keras`` file, from the JSON inside."""
    with damage.named(file, "is no model of this zoo saved by Keras 3"):
        model: dict[str, Any] = json.loads(zip_files.read_member(file, "config.json", "a Keras model"))[
            "config"
        ]
        sizes = [layer["config"]["units"] for layer in model["layers"] if layer["class_name"] == "Dense"]
        inputs = [layer["config"] for layer in model["layers"] if layer["class_name"] == "InputLayer"]
        name, image_size = model["name"].replace("-", "/", 1), int(inputs[-1]["batch_shape"][1])
        return name, image_size, int(sizes[-1])


@dataclasses.dataclass(frozen=True)
class TagMatch:
    """Which output of a source becomes which tag."""

    rows: np.ndarray  # (num_labels,) int64: the source's output for tag i, -1 for a new tag
    renamed: tuple[tuple[str, str], ...]  # (old name, new name)
    new: tuple[str, ...]  # names
    dropped: tuple[str, ...]  # names

    @property
    def num_kept(self) -> int:
        """How many tags keep the weights of an output."""
        return int((self.rows >= 0).sum())

    @property
    def text(self) -> str:
        """The counts and some names in one line."""
        renamed = _in_brackets([f"{old} is {new}" for old, new in self.renamed])
        return (
            f"{self.num_kept} tags kept, {len(self.renamed)} of them renamed{renamed}; {len(self.new)} new"
            f"{_in_brackets(self.new)}; {len(self.dropped)} dropped{_in_brackets(self.dropped)}"
        )


def _in_brackets(names: list[str] | tuple[str, ...]) -> str:
    return f" ({join_names(names)})" if names else ""


def match_tags(source: Source, tags: pd.DataFrame) -> TagMatch:
    """Match a source's outputs with a tag list, by id, else by name.

    A source without a tag list fits a list of as many tags: its outputs are taken in order. Raises UserError
    where their numbers differ, or where no tag is in both lists.
    """
    if source.tags is None:
        if source.num_labels != len(tags):
            raise UserError(
                f"{source.file} has no selected_tags.csv beside it to tell what its {source.num_labels} "
                f"outputs are; the dataset has {len(tags)} tags. Put its list into the same folder"
            )
        return TagMatch(np.arange(len(tags)), (), (), ())
    rows = tag_list.matching_rows(tags, source.tags)
    if not (rows >= 0).any():
        raise UserError(f"the dataset and {source.file} have no tag in common, neither by id nor by name")
    names, old_names = tags["name"].to_list(), source.tags["name"].to_list()
    pairs = [(old_names[row], names[tag]) for tag, row in enumerate(rows) if row >= 0]
    used_rows = set(rows.tolist())
    return TagMatch(
        rows,
        renamed=tuple(pair for pair in pairs if pair[0] != pair[1]),
        new=tuple(names[tag] for tag in np.flatnonzero(rows < 0)),
        dropped=tuple(name for row, name in enumerate(old_names) if row not in used_rows),
    )
