"""Initial weights of a run: located in another run, a ``.keras`` file, a release, a timm folder or the hub.

Outputs are matched by tag. Keras is not imported here: the command line needs the model's name and image size
before a backend is chosen. Only a timm folder needs the families of the zoo to say what it is; the caller
gives the function that knows them (``Models.loading.describe_timm``).
"""

import dataclasses
import json
import pathlib
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd

from Utils.command.cli import UserError, suggest_beside
from Utils.command.text import counted, join_names
from Utils.files import atomic, damage, hub, model_description, zip_files
from Utils.files.model_files import RUN_MODELS, import_hint, require_choice
from Utils.recipe.recipe import RECIPE_FILE, Recipe, fields_shape, read_recipe, recipe_from_dict
from Utils.tags import tag_list, tag_matching

ORIGIN_FILE = "initialization.json"  # in the folder of a run that began with weights
ARCHITECTURE = "architecture.json"  # likewise, where the model is the source's, not one that the recipe names
TIMM_FILES = ("config.json", "model.safetensors")
KINDS = "a run folder, a .keras file, a release, a timm folder or a model on the hub (owner/name)"
_LARGEST_HEAD = 100_000_000  # bytes; safetensors itself reads no larger one
_MOST_NAMES = 10  # files listed in an error
DescribeTimm = Callable[[Any, str | None], Any]  # (folder, channel order or None) -> its Description


@dataclasses.dataclass(frozen=True)
class Source:
    """A saved model and the files beside it; or a run's record of it, once the run has copied its weights."""

    file: pathlib.Path  # a .keras file or timm folder; of a run that has begun: its folder
    model: str  # Family/Variant
    image_size: int
    num_labels: int
    tags: pd.DataFrame | None  # row i is output i
    recipe: Recipe | None  # how it was trained
    options: dict[str, Any] | None = None  # fields of its Spec that differ from the variant; None: not known
    order: str | None = None  # channels of a timm folder's model, "bgr" or "rgb"
    probed: tuple[str, ...] = ()  # tags that its classifier learned by --probe, names
    new_head: bool = False  # the run has another head, so that none of its outputs is taken over
    recorded: "TagMatch | None" = None  # of a run that has begun: how its outputs became tags
    pictures: np.ndarray | None = None  # of a run that has begun: (num_labels,) training pictures of each tag
    batch_norm_momentum: float | None = None  # of its layers, where no recipe tells; None: it has none

    @property
    def is_taken_over(self) -> bool:
        """Whether a run has already copied its weights, so that the run's checkpoints hold them."""
        return self.recorded is not None

    @property
    def architecture(self) -> str | None:
        """The model as JSON, as the run that began with these weights has recorded it; None: it has not."""
        path = self.file / ARCHITECTURE
        return path.read_text(encoding="utf-8") if self.is_taken_over and path.exists() else None

    @property
    def built_as(self) -> tuple[str, dict[str, Any]] | None:
        """The name and the options to build the model again, None where nothing tells the options."""
        if self.recipe is not None and self.recipe.model:
            return self.recipe.model, self.recipe.model_overrides()
        return None if self.options is None else (self.model, self.options)


def resolve(
    path: atomic.AnyPath,
    which: Literal["best", "last"],
    run_dir: atomic.AnyPath,
    describe_timm: DescribeTimm | None = None,
    order: str | None = None,
) -> Source:
    """Return a run's record of ``path``, if the run began with it, else the source at ``path`` itself.

    A run continues also when the model it began with is gone. ``run_dir`` may be empty; the other arguments
    are those of `find`.
    """
    return (read_origin(run_dir, path) if run_dir else None) or find(path, which, describe_timm, order)


def find(
    path: atomic.AnyPath,
    which: Literal["best", "last"] = "best",
    describe_timm: DescribeTimm | None = None,
    order: str | None = None,
) -> Source:
    """Return the source at ``path``: a run (its ``which`` model), a ``.keras`` file, or a folder with one.

    Args:
        path: also a timm folder, or a model on the hub, which is fetched.
        which: the model of a run.
        describe_timm: says what a timm folder holds; without it there are none.
        order: channels that a timm folder's model takes, if the user knows.

    Raises UserError that says what was looked for and what is there.
    """
    folder = hub.local(path)
    require_choice(folder, which)
    if describe_timm is not None and _is_timm(folder):
        return _of_timm(folder, describe_timm(folder, order))
    file = _model_file(folder, which)
    model, image_size, num_labels, momentum = _read_architecture(file)
    tags = _tags_beside(file.parent, file.name, num_labels)
    recipe_file = file.parent / RECIPE_FILE
    recipe = recipe_from_dict(read_recipe(recipe_file)[1]) if recipe_file.is_file() else None
    description = model_description.read(file)
    if description is not None and description.model != model:
        raise UserError(
            f"{model_description.path_beside(file)} says {description.model}, but {file} is a {model}"
        )
    options = description and description.options
    return Source(
        file, model, image_size, num_labels, tags, recipe, options, probed=_probed(file.parent),
        batch_norm_momentum=None if recipe else momentum,
    )  # fmt: skip


def _is_timm(path: pathlib.Path) -> bool:
    """Whether a folder holds timm's two files, and no model of ours."""
    return (
        path.is_dir()
        and all((path / name).is_file() for name in TIMM_FILES)
        and not any(path.glob("*.keras"))
        and not any(path.glob("extra/keras/*.keras"))
    )


def _of_timm(folder: pathlib.Path, described: Any) -> Source:
    """Return the source of a timm folder, of which ``described`` is a ``timm_folder.Description``."""
    tags = _tags_beside(folder, TIMM_FILES[1], described.num_labels)
    return Source(
        file=folder,
        model=described.name,
        image_size=described.image_size,
        num_labels=described.num_labels,
        tags=tags,
        recipe=None,
        options=described.fields,
        order=described.order,
        batch_norm_momentum=Recipe.batch_norm_momentum if _has_batch_norm(folder / TIMM_FILES[1]) else None,
    )


def _has_batch_norm(file: pathlib.Path) -> bool:
    """Whether a safetensors file holds moving averages: its head is a length in 8 bytes, then JSON."""
    with damage.named(file, "is no safetensors file"), file.open("rb") as stream:
        size = min(int.from_bytes(stream.read(8), "little"), _LARGEST_HEAD)
        names = json.loads(stream.read(size))
    return any(name.endswith(".running_mean") for name in names)


def _tags_beside(folder: pathlib.Path, name: str, num_labels: int) -> pd.DataFrame | None:
    """Return the tag list in a folder, None without one; UserError where the model has other outputs."""
    file = folder / tag_list.FILE
    tags = tag_list.read_beside_model(file) if file.is_file() else None
    if tags is not None and len(tags) != num_labels:
        raise UserError(f"{file} has {counted(len(tags), 'tag')}, but {name} gives {num_labels} outputs")
    return tags


def _probed(folder: pathlib.Path) -> tuple[str, ...]:
    """Return the names of the tags that a run has learned by --probe, if the folder is such a run."""
    file = folder / ORIGIN_FILE
    origin = atomic.read_json(file, dict) if file.is_file() else {}
    names = origin.get("new") if origin.get("probe") else origin.get("probed")
    return tuple(name for name in names or () if isinstance(name, str))


def write_origin(
    run_dir: atomic.AnyPath,
    recipe: Recipe,
    source: Source,
    match: "TagMatch",
    scores: dict[str, float] | None = None,
    pictures: np.ndarray | None = None,
) -> None:
    """Record in a run folder its initial weights, the match of the tags, and the scores at the start.

    ``recipe`` is that of the run, whose ``init_from`` names the source; ``pictures`` (num_labels,) are the
    training pictures of each tag.
    """
    weights = source.file / TIMM_FILES[1] if source.file.is_dir() else source.file
    origin = {
        "init_from": str(recipe.init_from),
        "file": weights.name,
        "sha256": atomic.sha256_of(weights),
        "model": source.model,
        "image_size": source.image_size,
        "num_labels": source.num_labels,
        "kept": match.num_kept,
        "renamed": match.renamed,
        "new": match.new,
        "dropped": match.dropped,
        "rows": match.rows.tolist(),
        "recipe": source.recipe and source.recipe.to_dict(),
        "options": source.options,
        "probe": recipe.probe,
        "probed": source.probed,
        "new_head": source.new_head,
        "scores": scores,
        "pictures": None if pictures is None else pictures.tolist(),
        "batch_norm_momentum": source.batch_norm_momentum,
    }
    atomic.write_json(atomic.to_path(run_dir) / ORIGIN_FILE, origin)


_ORIGIN = {
    "init_from": str, "model": str, "image_size": int, "num_labels": int, "recipe": (fields_shape(), None),
    "rows": [int], "options?": (dict, None), "probed?": [str], "new_head?": bool, "renamed?": [[str]],
    "new?": [str], "dropped?": [str], "scores?": (dict, None), "pictures?": ([int], None),
    "batch_norm_momentum?": (float, None),
}  # fmt: skip


def read_origin(run_dir: atomic.AnyPath, path: atomic.AnyPath) -> Source | None:
    """Return the recorded source of a run's initial weights if that was ``path``, else None."""
    file = atomic.to_path(run_dir) / ORIGIN_FILE
    if not file.is_file():
        return None
    origin = atomic.read_json(file, _ORIGIN)
    if origin["init_from"] != str(path):
        return None
    recipe = origin["recipe"] and recipe_from_dict(origin["recipe"])
    rows = np.array(origin["rows"], np.int64)
    renamed = tuple((pair[0], pair[-1]) for pair in origin.get("renamed", ()) if pair)
    names = (tuple(origin.get(key, ())) for key in ("new", "dropped"))
    match = TagMatch(rows, renamed, *names, new_head=origin.get("new_head", False))
    sizes = origin["image_size"], origin["num_labels"]
    pictures = origin.get("pictures")
    return Source(
        file.parent, origin["model"], *sizes, None, recipe, origin.get("options"),
        probed=tuple(origin.get("probed", ())), new_head=origin.get("new_head", False), recorded=match,
        pictures=None if pictures is None else np.array(pictures, np.int64),
        batch_norm_momentum=origin.get("batch_norm_momentum"),
    )  # fmt: skip


def scores_before(run_dir: atomic.AnyPath) -> dict[str, float]:
    """Return the scores that a run recorded before its first step, by name; none without a record."""
    file = atomic.to_path(run_dir) / ORIGIN_FILE
    return (atomic.read_json(file, dict).get("scores") if file.is_file() else None) or {}


def _model_file(path: pathlib.Path, which: Literal["best", "last"]) -> pathlib.Path:
    if path.suffix == ".keras" and path.is_file():
        return path
    if not path.is_dir():
        content = "a file that does not end in .keras" if path.exists() else f"nothing{suggest_beside(path)}"
        raise UserError(f"weights come from {KINDS}; at {path} is {content}{import_hint(path)}")
    if (path / RUN_MODELS[which]).is_file():
        return path / RUN_MODELS[which]
    models = sorted(path.glob("*.keras")) or sorted(path.glob("extra/keras/*.keras"))
    # A run folder with a single model has the other one of best and last, which was not asked for.
    if which == "best" and len(models) == 1 and not (path / RECIPE_FILE).is_file():
        return models[0]
    if (path / RECIPE_FILE).is_file():
        others = [name for other, name in RUN_MODELS.items() if other != which and (path / name).is_file()]
        advice = f"it has {others[0]}, which --which takes" if others else "the command that began it goes on"
        raise UserError(f"the run {path} has no {RUN_MODELS[which]} yet; {advice}")
    names = ", ".join(sorted(item.name for item in path.iterdir())[:_MOST_NAMES]) or "nothing"
    raise UserError(
        f"{path} has no {RUN_MODELS[which]}, nor is it a folder with one .keras file; it holds {names}"
        f"{import_hint(path)}"
    )


def _read_architecture(file: pathlib.Path) -> tuple[str, int, int, float | None]:
    """Return what the JSON inside a ``.keras`` file says.

    Returns (Family/Variant, image size, number of outputs, momentum of batch norm's averages or None).
    """
    with damage.named(file, "is no model of this zoo saved by Keras 3"):
        model: dict[str, Any] = json.loads(zip_files.read_member(file, "config.json", "a Keras model"))[
            "config"
        ]
        sizes = [layer["config"]["units"] for layer in model["layers"] if "units" in layer["config"]]
        inputs = [layer["config"] for layer in model["layers"] if layer["class_name"] == "InputLayer"]
        name, image_size = model["name"].replace("-", "/", 1), int(inputs[-1]["batch_shape"][1])
        norms = [layer["config"] for layer in model["layers"] if layer["class_name"] == "BatchNorm"]
        return name, image_size, int(sizes[-1]), float(norms[0]["momentum"]) if norms else None


@dataclasses.dataclass(frozen=True)
class TagMatch:
    """Which output of a source becomes which tag."""

    rows: np.ndarray  # (num_labels,) int64: the source's output for tag i, -1 for a new tag
    renamed: tuple[tuple[str, str], ...]  # (old name, new name)
    new: tuple[str, ...]  # names
    dropped: tuple[str, ...]  # names
    new_head: bool = False  # no output is taken over, as they are of another head
    unnamed: bool = False  # the source has no list of tags, and its outputs are taken in order

    @property
    def num_kept(self) -> int:
        """How many tags keep the weights of an output."""
        return int((self.rows >= 0).sum())

    @property
    def text(self) -> str:
        """The counts and some names in one line."""
        if self.new_head:
            new = counted(len(self.new), "tag begins", "tags begin")
            return f"the body alone, as the run has another head: {new} anew"
        if not self.num_kept:
            names = _in_brackets(self.new)
            return f"no tag in common, neither by id nor by name: all {len(self.new)} are new{names}"
        if self.unnamed:
            return (
                f"no selected_tags.csv beside it: its {self.num_kept} outputs are taken for the dataset's "
                "tags, in their order, as there are as many"
            )
        renamed = _in_brackets([f"{old} is {new}" for old, new in self.renamed])
        return (
            f"{counted(self.num_kept, 'tag')} kept, {len(self.renamed)} of them renamed{renamed}; "
            f"{len(self.new)} new{_in_brackets(self.new)}; {len(self.dropped)} dropped"
            f"{_in_brackets(self.dropped)}"
        )


def _in_brackets(names: list[str] | tuple[str, ...]) -> str:
    return f" ({join_names(names)})" if names else ""


def is_new(source: Source, tags: pd.DataFrame) -> np.ndarray:
    """Return which tags of a list the source did not know before --probe, (num_labels,) bool."""
    return (match_tags(source, tags).rows < 0) | np.isin(tags["name"], source.probed)


def match_tags(source: Source, tags: pd.DataFrame) -> TagMatch:
    """Match a source's outputs with a tag list, by id, else by name.

    A source without a tag list fits a list of as many tags: its outputs are taken in order. Raises UserError
    where their numbers differ, as for a run that was begun with another list. Without a tag in common all are
    new: the body alone is taken; likewise for another head, and of a timm folder without a list, whose
    outputs are classes of something else.
    """
    if source.recorded is not None:
        if len(source.recorded.rows) != len(tags):
            raise UserError(
                f"the run {source.file} was begun with a list of {len(source.recorded.rows):,} tags; the "
                f"dataset has {len(tags):,}. Give another --run-dir"
            )
        return source.recorded
    if source.new_head:
        return TagMatch(np.full(len(tags), -1), (), tuple(tags["name"]), (), new_head=True)
    if source.tags is None and source.order is not None:
        return TagMatch(np.full(len(tags), -1), (), tuple(tags["name"]), ())
    if source.tags is None:
        if source.num_labels != len(tags):
            raise UserError(
                f"{source.file} has no selected_tags.csv beside it to tell what its {source.num_labels} "
                f"outputs are; the dataset has {len(tags)} tags. Put its list into the same folder"
            )
        return TagMatch(np.arange(len(tags)), (), (), (), unnamed=True)
    rows = tag_matching.matching_rows(tags, source.tags)
    names, old_names = tags["name"].to_list(), source.tags["name"].to_list()
    pairs = [(old_names[row], names[tag]) for tag, row in enumerate(rows) if row >= 0]
    used_rows = set(rows.tolist())
    return TagMatch(
        rows,
        renamed=tuple(pair for pair in pairs if pair[0] != pair[1]),
        new=tuple(names[tag] for tag in np.flatnonzero(rows < 0)),
        dropped=tuple(name for row, name in enumerate(old_names) if row not in used_rows),
    )
