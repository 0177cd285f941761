"""Where weights to begin with come from: a run folder, a ``.keras`` file or a release, read without keras."""

import dataclasses
import json
import pathlib
import zipfile

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.command.text import join_names
from Utils.files import atomic
from Utils.files.model_files import RUN_MODELS
from Utils.recipe.recipe import Recipe, read_recipe, recipe_from_dict
from Utils.tags import tag_list

MEMORY = "initialization.json"  # in the folder of a run that began with weights


@dataclasses.dataclass(frozen=True)
class Source:
    """A saved model with what lies beside it."""

    file: pathlib.Path  # of a run that has begun: the run's own folder, whose checkpoints have the weights
    model: str  # Family/Variant, by its name
    image_size: int
    num_labels: int
    tags: pd.DataFrame | None  # row i is output i
    recipe: Recipe | None  # how it was trained

    begun = property(lambda self: self.file.suffix != ".keras", doc="Whether a run has taken it over.")


def of(path, which="best", folder=None):
    """Return the Source at ``path``, or what the run in ``folder`` remembers of it where it has begun."""
    return (folder and remembered(folder, path)) or find(path, which)


def find(path, which="best"):
    """Return the Source at ``path``: of a run ``which`` model, else a ``.keras`` file or the only one there.

    Raises UserError that says what was looked for and what is there.
    """
    file = _file(atomic.to_path(path), which)
    name, side, labels = _facts(file)
    beside = file.parent / "selected_tags.csv"
    frame = tag_list.read(beside) if beside.is_file() else None
    if frame is not None and len(frame) != labels:
        raise UserError(f"{beside} has {len(frame)} tags, but {file.name} gives {labels} outputs")
    recipe = file.parent / "recipe.json"
    recipe = recipe_from_dict(read_recipe(recipe)[1]) if recipe.is_file() else None
    return Source(file, name, side, labels, frame, recipe)


def remember(folder, path, source, match):
    """Write into a run folder what it began with, so that it continues where the source is gone."""
    facts = {"init_from": str(path), "file": source.file.name, "sha256": atomic.sha256_of(source.file)}
    known = {name: getattr(source, name) for name in ("model", "image_size", "num_labels")}
    recipe = source.recipe and source.recipe.to_dict()
    tags_of = {"kept": int((match.rows >= 0).sum())}
    tags_of |= {name: getattr(match, name) for name in ("renamed", "new", "dropped")}
    report = {**facts, **known, **tags_of, "rows": match.rows.tolist(), "recipe": recipe}
    atomic.write_json(atomic.to_path(folder) / MEMORY, report)


def remembered(folder, path):
    """Return the Source that a run in ``folder`` began with if it was ``path``, else None."""
    memory = atomic.to_path(folder) / MEMORY
    facts = atomic.read_json(memory) if memory.is_file() else {}
    if facts.get("init_from") != str(path):
        return None
    recipe = facts["recipe"] and recipe_from_dict(facts["recipe"])
    return Source(memory.parent, facts["model"], facts["image_size"], facts["num_labels"], None, recipe)


def _file(path, which):
    if path.suffix == ".keras" and path.is_file():
        return path
    if not path.is_dir():
        found = "a file that does not end in .keras" if path.exists() else "nothing"
        raise UserError(
            f"--init-from takes a run folder, a .keras file or a release folder; at {path} is {found}"
        )
    if (path / RUN_MODELS[which]).is_file():
        return path / RUN_MODELS[which]
    models = sorted(path.glob("*.keras")) or sorted(path.glob("extra/keras/*.keras"))
    if which == "best" and len(models) == 1 and not (path / "recipe.json").is_file():
        return models[0]
    names = ", ".join(sorted(item.name for item in path.iterdir())[:10]) or "nothing"
    raise UserError(
        f"{path} has no {RUN_MODELS[which]}, nor is it a folder with one .keras file; it holds {names}"
    )


def _facts(file):
    """Return (Family/Variant, image size, number of outputs) of a ``.keras`` file, from its JSON."""
    try:
        with atomic.local(file) as copy, zipfile.ZipFile(copy) as archive:
            described = json.loads(archive.read("config.json"))["config"]
        layers = {layer["class_name"]: layer["config"] for layer in described["layers"]}
        labels = [layer["config"]["units"] for layer in described["layers"] if layer["class_name"] == "Dense"]
        side = layers["InputLayer"]["batch_shape"][1]
        return described["name"].replace("-", "/", 1), int(side), int(labels[-1])
    except (zipfile.BadZipFile, KeyError, IndexError, TypeError, ValueError) as error:
        raise UserError(f"{file} is no model of this zoo saved by Keras 3: {error!r}") from error


@dataclasses.dataclass(frozen=True)
class Match:
    """What becomes of the outputs of a source: ``rows[i]`` is the source's output for tag i, -1 a new tag."""

    rows: np.ndarray  # (num_labels,) int64
    renamed: tuple  # (old name, new name)
    new: tuple  # names
    dropped: tuple  # names

    @property
    def text(self):
        """Return the counts and some names in one line."""
        kept = int((self.rows >= 0).sum())
        renamed = _listed([f"{old} is {new}" for old, new in self.renamed])
        return (
            f"{kept} tags kept, {len(self.renamed)} of them renamed{renamed}; "
            f"{len(self.new)} new{_listed(self.new)}; {len(self.dropped)} dropped{_listed(self.dropped)}"
        )


def _listed(names):
    return f" ({join_names(names)})" if names else ""


def match(source, wanted):
    """Match the outputs of a Source with the tag list ``wanted``, by id, else by name.

    A source without a tag list fits where it has as many outputs: they are taken in order. Raises UserError
    where it has not, or where no tag is in both lists.
    """
    if source.tags is None:
        if source.num_labels != len(wanted):
            raise UserError(
                f"{source.file} has no selected_tags.csv beside it to tell what its {source.num_labels} "
                f"outputs are; the dataset has {len(wanted)} tags. Put its list into the same folder"
            )
        return Match(np.arange(len(wanted)), (), (), ())
    rows = tag_list.matches(wanted, source.tags)
    if not (rows >= 0).any():
        raise UserError(f"the dataset and {source.file} have no tag in common, neither by id nor by name")
    names, old = wanted["name"].to_list(), source.tags["name"].to_list()
    renamed = [(old[row], names[i]) for i, row in enumerate(rows) if row >= 0 and old[row] != names[i]]
    new = [names[i] for i in np.flatnonzero(rows < 0)]
    used = set(rows.tolist())
    dropped = [name for row, name in enumerate(old) if row not in used]
    return Match(rows, tuple(renamed), tuple(new), tuple(dropped))
