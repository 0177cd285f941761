"""A released tagger described: which graph, tags, thresholds, output, and how pictures are prepared.

`find` tells by the files of a folder whose release it is, `describe` adds what the graph says. What was
recognized and by what is part of the result; what nothing tells is an error that names the file that would.
"""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.command.text import counted, join_names
from Utils.files.atomic import AnyPath, read_json
from Utils.taggers import stages
from Utils.taggers.preparation import Layout, Preparation
from Utils.taggers.readers import READERS, Reader

MODEL_FILE = "model.onnx"
_SPARE_LINES = 1000  # of a tag list, beside two for each output
_OTHER_TABLES = ("thresholds.csv",)  # which are no tag lists
_SHAPE_HINT = (
    'put a preprocess.json beside it: {"channels": "RGB" or "BGR", "range": [0, 255] or [0, 1] or [-1, 1], '
    '"mean" and "std" where it needs them, "output": "probabilities" or "logits"}'
)


@dataclasses.dataclass(frozen=True)
class Release:
    """Files of a release that were recognized."""

    reader: Reader
    model: pathlib.Path
    tags_file: pathlib.Path

    @property
    def names_file(self) -> pathlib.Path:
        """The file with a row for each output: the one that told the project, or tags.txt beside it."""
        return (
            self.tags_file.with_name("tags.txt") if self.tags_file.name == "project.json" else self.tags_file
        )


@dataclasses.dataclass(frozen=True)
class Graph:
    """What an ONNX graph says of its input and outputs; None in a shape for any length.

    Args:
        input_shape: of the picture.
        outputs: ``{name: shape}``, in order.
        sigmoids: whether a sigmoid computes an output, as `Utils.taggers.onnx_outputs` tells.
    """

    input_shape: tuple[int | None, ...]
    outputs: Mapping[str, tuple[int | None, ...]]
    sigmoids: Mapping[str, bool]

    @property
    def layout(self) -> Layout | None:
        """Where the channels are; None where the shape does not tell."""
        if len(self.input_shape) != 4 or (self.input_shape[1] == 3) == (self.input_shape[3] == 3):
            return None
        return "NCHW" if self.input_shape[1] == 3 else "NHWC"

    @property
    def image_size(self) -> int | None:
        """The side of the square that it takes, None for any."""
        sides = self.input_shape[2:4] if self.layout == "NCHW" else self.input_shape[1:3]
        return sides[0] if sides[0] == sides[1] else None


@dataclasses.dataclass(frozen=True)
class Description:
    """A tagger, ready to be run.

    Args:
        project: whose release it is.
        model: the ONNX file.
        tags: DataFrame like selected_tags.csv's, L rows, row i for output i.
        preparation: of pictures.
        output: the graph's output that has the tags.
        is_logits: whether a sigmoid is still to be applied.
        published: ``(thresholds float64 (L,), their source)``, NaN for a tag without; None where no file has
            any but those that `Utils.serving.tag_selection.release_thresholds` reads.
        evidence: what was recognized, by what, in sentences.
    """

    project: str
    model: pathlib.Path
    tags: pd.DataFrame
    preparation: Preparation
    output: str
    is_logits: bool
    published: tuple[np.ndarray, str] | None
    evidence: tuple[str, ...]


def find(path: AnyPath) -> Release | None:
    """Return the release in a folder, or of an ONNX file; None where there is no ONNX file.

    Raises UserError that says what is missing beside the file, and where several could be meant.
    """
    path = pathlib.Path(path)
    if path.is_file():
        return _release(path.parent, [path]) if path.suffix == ".onnx" else None
    models = sorted(path.glob("*.onnx")) if path.is_dir() else []
    return _release(path, models) if models else None


def find_deepdanbooru(path: AnyPath) -> Release | None:
    """Return the release of DeepDanbooru in a folder, or of its Keras file, .keras or older .h5; else None.

    Of several files the one counts that project.json names by its "model", as in DeepDanbooru itself, which
    takes .keras before .h5. Raises UserError where it names none of them.
    """
    path = pathlib.Path(path)
    folder = path if path.is_dir() else path.parent
    models = [path] if path.is_file() else [*sorted(folder.glob("*.keras")), *sorted(folder.glob("*.h5"))]
    reader = next(reader for reader in READERS if reader.project == "DeepDanbooru")
    tags_file = folder / "project.json"
    if not tags_file.is_file() or not models or models[0].suffix not in (".keras", ".h5"):
        return None
    if len(models) > 1:
        stem = f"model-{read_json(tags_file, {'model?': str}).get('model', '')}"
        named = [model for model in models if model.stem == stem]
        if not named:
            raise UserError(
                f"{folder} has several models, {join_names(item.name for item in models)}; name one"
            )
        models = named
    return Release(reader, models[0], tags_file)


def require_graph(path: AnyPath) -> None:
    """Raise UserError for another project's release whose ONNX file is missing; it says which file told."""
    path = pathlib.Path(path)
    for reader in READERS:
        for name in reader.files:
            if reader.project != "WD" and "{" not in name and "*" not in name and (path / name).is_file():
                present = join_names(sorted(item.name for item in path.iterdir()), 8)
                raise UserError(
                    f"{path} is a release of {reader.project}, by {name}, without the ONNX file that is run "
                    f"here; put it beside {name}. The folder has {present}"
                )


def _release(folder: pathlib.Path, models: list[pathlib.Path]) -> Release:
    for reader in READERS:
        known = (MODEL_FILE, *reader.models)
        pairs = [
            (model, tags_file)
            for model in _by_preference(models, known)
            if (tags_file := _tags_file(folder, model, reader))
        ]
        if len(pairs) > 1 and pairs[0][0].name not in known:
            raise UserError(
                f"{folder} has several models, {join_names(model.name for model, _ in pairs)}; name one of "
                f"them, as {pairs[0][0]}"
            )
        if pairs:
            return Release(reader, *pairs[0])
    names = ", ".join(f"{reader.files[0]} ({reader.project})" for reader in READERS[:-1])
    present = join_names(sorted(item.name for item in folder.iterdir()), 8)
    raise UserError(
        f"{models[0]} has no tag list beside it: a tag list is {models[0].stem}.csv, {names}; the folder has "
        f"{present}"
    )


def _tags_file(folder: pathlib.Path, model: pathlib.Path, reader: Reader) -> pathlib.Path | None:
    """Return the file with a model's tags; a format under ``extra/`` may use that of the release."""
    places = [folder, *([folder.resolve().parent.parent] if folder.resolve().parent.name == "extra" else [])]
    for place in places:
        for pattern in reader.files:
            matches = _matches(place, pattern.format(stem=model.stem))
            if len(matches) == 1:
                return matches[0]
    return None


def _by_preference(models: list[pathlib.Path], names: tuple[str, ...]) -> list[pathlib.Path]:
    rank = {name: place for place, name in enumerate(names)}
    return sorted(models, key=lambda model: (rank.get(model.name, len(rank)), model.name))


def _matches(folder: pathlib.Path, pattern: str) -> list[pathlib.Path]:
    """Return the files of a pattern; a name may hold what glob takes for a pattern."""
    if "*" not in pattern:
        return [folder / pattern] if (folder / pattern).is_file() else []
    return sorted(item for item in folder.glob(pattern) if item.name not in _OTHER_TABLES)


def describe(release: Release, graph: Graph) -> Description:
    """Return the Description of a release with its graph.

    Raises UserError for files that cannot be read, an input that is no square picture, a preparation that
    nothing tells, and outputs that are not one for every tag.
    """
    _require_picture(release.model, graph)
    _require_rows(release, graph)
    reader, contents = release.reader, release.reader.read(release.tags_file)
    described = stages.read(release.model.parent, graph.image_size)
    own = contents.preparation or reader.preparation
    preparation, told_by = _preparation(release, graph, described.preparation, own)
    output = _output(release, graph, len(contents.tags), reader.outputs)
    is_logits, logits_by = _is_logits(output, graph, described.output, reader)
    evidence = (
        f"{reader.project}, by {release.tags_file.name}: {counted(len(contents.tags), 'tag')}",
        f"pictures, by {told_by}: {preparation.image_size} px, {preparation.layout}, {preparation.channels}, "
        f"{preparation.range_text}; {preparation.about}",
        f"output {output}, by {logits_by}: {'logits' if is_logits else 'probabilities'}",
        *contents.notes,
        *_repeated(contents.tags),
    )
    return Description(
        reader.project,
        release.model,
        contents.tags,
        preparation,
        output,
        is_logits,
        contents.published,
        evidence,
    )


def _repeated(tags: pd.DataFrame) -> tuple[str, ...]:
    """Return a sentence on names that several outputs have: in tables the last of them stands."""
    names = tags["name"][tags["name"].duplicated()].unique()
    return (f"{counted(len(names), 'name')} of several outputs: {join_names(names)}",) if len(names) else ()


def _require_rows(release: Release, graph: Graph) -> None:
    """Refuse a list with many more lines than the graph has outputs, which would take long to read."""
    widths = [shape[-1] for shape in graph.outputs.values() if shape]
    path = release.names_file
    if path.suffix == ".json" or not path.is_file() or not widths or None in widths:
        return
    with path.open("rb") as file:
        lines = sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 20), b""))
    most = max(width for width in widths if width is not None)
    if lines > 2 * most + _SPARE_LINES:
        raise UserError(
            f"{release.model.parent}: {path.name} has {lines} lines, but {release.model.name} "
            f"gives {join_names(widths)} probabilities"
        )


def _require_picture(model: pathlib.Path, graph: Graph) -> None:
    if len(graph.input_shape) != 4 or graph.layout is None:
        raise UserError(
            f"{model} must take pictures, (batch, S, S, 3) or (batch, 3, S, S); it takes "
            f"{_shape_text(graph.input_shape)}"
        )
    sides = graph.input_shape[2:4] if graph.layout == "NCHW" else graph.input_shape[1:3]
    if sides[0] != sides[1]:
        raise UserError(f"{model} must take square pictures; it takes {_shape_text(graph.input_shape)}")


def _shape_text(shape: tuple[int | None, ...]) -> str:
    return f"({', '.join('any' if side is None else str(side) for side in shape)})"


def _preparation(
    release: Release, graph: Graph, described: Preparation | None, own: Preparation | None
) -> tuple[Preparation, str]:
    """Return ``(preparation, what tells it)``: preprocess.json first, then the project's own program."""
    layout: Any = graph.layout
    if described is not None:
        return dataclasses.replace(described, layout=layout), stages.FILE
    if own is None and layout == "NCHW":
        raise UserError(
            f"{release.model}: channels come first here, and nothing tells their order and range, which WD's "
            f"channels-last models leave to convention; {_SHAPE_HINT}"
        )
    if own is None:
        own = Preparation(graph.image_size or 0)
    size = graph.image_size or own.image_size
    if not size:
        raise UserError(
            f"{release.model} takes pictures of any size: a model with a known S is needed, or a "
            f'{stages.FILE} with "image_size"'
        )
    convention = f"the convention of {release.reader.project}"
    return dataclasses.replace(own, layout=layout, image_size=size), convention


def _output(release: Release, graph: Graph, num_tags: int, preferred: tuple[str, ...]) -> str:
    """Return the name of the output that has a number for every tag; UserError where none has."""
    fitting = [name for name, shape in graph.outputs.items() if shape[-1:] in ((num_tags,), (None,))]
    if not fitting:
        shapes = graph.outputs.values()
        widths = join_names(shape[-1] if shape else "a number" for shape in shapes) if shapes else "no"
        raise UserError(
            f"{release.model.parent}: {release.names_file.name} has {counted(num_tags, 'row')}, but "
            f"{release.model.name} gives {widths} probabilities"
        )
    for word in (*preferred, "prediction", "output", "probabilities"):
        for name in fitting:
            if word == name.split(":")[0]:
                return name
    refined = [name for name in fitting if any(word in name for word in preferred)]
    if release.reader.project == "camie" and len(fitting) > 1:  # initial first, refined second
        return refined[0] if refined else fitting[1]
    return fitting[0]


def _is_logits(output: str, graph: Graph, stated: str | None, reader: Reader) -> tuple[bool, str]:
    """Return ``(whether an output is logits, what tells it)``."""
    if stated is not None:
        return stated == "logits", stages.FILE
    if graph.sigmoids.get(output):
        return False, "the graph, which ends in a sigmoid"
    if "logit" in output.lower():
        return True, "its name"
    if reader.logits:
        return True, f"the convention of {reader.project}"
    return False, "the convention of WD's taggers" if reader is READERS[
        0
    ] else f"the convention of {reader.project}"
