"""Releases of taggers as other projects make them: one row of `READERS` each, told by the files in a folder.

A row says which file holds the tags, how the project's own program prepares pictures (`preprocess.json` goes
before it) and whether its graphs end in logits. Facts are from the programs that load these releases.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.files.atomic import read_json
from Utils.taggers import geometry, tag_files
from Utils.taggers.preparation import Preparation
from Utils.tags import tag_categories, tag_list

IMAGENET: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
CLIP: dict[str, Any] = {
    "mean": (0.48145466, 0.4578275, 0.40821073),
    "std": (0.26862954, 0.26130258, 0.27577711),
}
_BICUBIC = {
    "fit": geometry.fit(geometry.pad_then_resize, method="bicubic"),
    "about": "white square, then bicubic",
}


@dataclasses.dataclass(frozen=True)
class Contents:
    """What the files of a release say.

    Args:
        tags: DataFrame like selected_tags.csv's, row i for output i.
        preparation: where the files say more than the reader's row does.
        published: ``(thresholds float64 (L,), their source)``, NaN where a tag has none.
        notes: sentences on what was guessed.
    """

    tags: pd.DataFrame
    preparation: Preparation | None = None
    published: tuple[np.ndarray, str] | None = None
    notes: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Reader:
    """How releases of one kind are read.

    Args:
        project: whose.
        files: patterns of the file that tells; ``{stem}`` is the model's.
        read: function (that file) -> Contents; raises UserError.
        preparation: of the project's own program; its image_size gives way to the graph's. None: only WD's
            NHWC graphs are known to take 0..255 BGR.
        logits: whether its graphs end in logits where nothing else tells.
        outputs: names of the output with the tags, the best first.
        models: names of the graph, the best first, where a folder has several.
    """

    project: str
    files: tuple[str, ...]
    read: Callable[[pathlib.Path], Contents]
    preparation: Preparation | None = None
    logits: bool = False
    outputs: tuple[str, ...] = ()
    models: tuple[str, ...] = ()


def _selected_tags(path: pathlib.Path) -> Contents:
    tags = tag_list.read_beside_model(path, other_names=True)
    published = None if "best_threshold" in tags else tag_files.category_thresholds(path.parent, tags)
    return Contents(tags, published=published, notes=_categories_note(path, tags))


def _categories_note(path: pathlib.Path, tags: pd.DataFrame) -> tuple[str, ...]:
    """e621's lists use 5 for species, which is meta at Danbooru: nothing in the file says which it is."""
    names = tag_categories.names_of(tags)
    codes = set(tags["category"].tolist())
    if 5 in codes and codes & {6, 7, 8} - set(names) and 5 not in names:
        return (
            f"{path.name} has categories of e621; category 5 is shown as meta, as at Danbooru. A "
            f'{tag_categories.FILE} beside it names it: [{{"category": 5, "name": "species"}}, ...]',
        )
    return ()


def _camie(path: pathlib.Path) -> Contents:
    """``idx_to_tag`` and ``tag_to_category`` at the top (v1), or under dataset_info.tag_mapping (v2)."""
    content = read_json(path, dict)
    mapping = content.get("dataset_info", {}).get("tag_mapping", content) if _is_v2(content) else content
    for key in ("idx_to_tag", "tag_to_category"):
        if not isinstance(mapping, dict) or not isinstance(mapping.get(key), dict):
            raise UserError(
                f"{path} lacks {key}, at the top or under dataset_info.tag_mapping; is it camie's?"
            )
    tags = tag_files.by_index(path, mapping["idx_to_tag"], mapping["tag_to_category"])
    return Contents(tags, _camie_preparation(content), tag_files.category_thresholds(path.parent, tags))


def _is_v2(content: dict[str, Any]) -> bool:
    return isinstance(content.get("dataset_info"), dict)


def _camie_preparation(content: dict[str, Any]) -> Preparation:
    """0..1 on black for v1; ImageNet's mean on a square of its color for v2, which describes its model."""
    model, spec = (
        value if isinstance(value := content.get(key), dict) else {} for key in ("model_info", "input_spec")
    )
    words = str(spec.get("normalization", "")).lower()
    normalizes = "imagenet" in words or "0.485" in words if words else bool(model)
    color = (104, 116, 124) if normalizes else geometry.BLACK
    size = model.get("img_size", 512)
    return Preparation(
        size if isinstance(size, int) and size > 0 else 512,
        "NCHW",
        "RGB",
        255.0,
        **(IMAGENET if normalizes else {}),
        fit=geometry.fit(geometry.resize_then_pad, method="lanczos", color=color),
        about=f"lanczos, then a square of {'the mean color' if normalizes else 'black'}",
    )


def _cl_tagger(path: pathlib.Path) -> Contents:
    """``{"0": {"tag", "category"}}``, or ``idx_to_tag`` and ``tag_to_category``."""
    content = read_json(path, dict)
    if isinstance(content.get("idx_to_tag"), dict) and isinstance(content.get("tag_to_category"), dict):
        return Contents(tag_files.by_index(path, content["idx_to_tag"], content["tag_to_category"]))
    rows = [content.get(str(place)) for place in range(len(content))]
    wrong = next((place for place, row in enumerate(rows) if not _is_tag_row(row)), None)
    if wrong is not None or not rows:
        raise UserError(
            f'{path} must be {{"0": {{"tag": name, "category": name}}, "1": ...}}; tag {wrong or 0} is '
            f"{rows[wrong] if wrong is not None else 'missing'}"
        )
    tag_files.require_texts(path, (row[key] for row in rows for key in ("tag", "category")))
    return Contents(tag_files.frame([row["tag"] for row in rows], [row["category"] for row in rows]))


def _is_tag_row(row: Any) -> bool:
    return isinstance(row, dict) and {"tag", "category"} <= row.keys()


def _joytag(path: pathlib.Path) -> Contents:
    """A tag a line; JoyTag names no categories, and its program's threshold is 0.4."""
    names = tag_files.lines(path)
    tags = tag_files.frame(names, tag_files.with_ratings(names, ["general"] * len(names)))
    return Contents(tags, published=(np.full(len(tags), 0.4), "JoyTag's own 0.4"), notes=_no_categories(path))


def _no_categories(path: pathlib.Path) -> tuple[str, ...]:
    return (f"{path.name} names no categories: all its tags are shown as general",)


def _deepdanbooru(path: pathlib.Path) -> Contents:
    """A tag a line in tags.txt, the size in project.json.

    Characters are those of tags-character.txt, or from where categories.json says that they start.
    """
    folder = path.parent
    names = tag_files.lines(folder / "tags.txt")
    categories, notes = _deepdanbooru_categories(folder, names)
    tags = tag_files.frame(names, tag_files.with_ratings(names, categories))
    project = {}
    if path.name == "project.json":
        project = read_json(path, {"image_width?": int, "image_height?": int})
    width, height = (project.get(f"image_{side}", 512) for side in ("width", "height"))
    if width != height:
        raise UserError(f"{path}: pictures of {width} x {height} pixels; squares are known only")
    preparation = dataclasses.replace(_DEEPDANBOORU, image_size=width)
    return Contents(tags, preparation, (np.full(len(tags), 0.5), "DeepDanbooru's own 0.5"), notes)


def _deepdanbooru_categories(folder: pathlib.Path, names: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Return the name of each tag's category, and notes. System tags are ratings, and else meta."""
    starts, characters = folder / tag_categories.FILE, folder / "tags-character.txt"
    if starts.is_file():
        rows = read_json(starts, [{"name": str, "start_index": int}])
        if wrong := [row["start_index"] for row in rows if row["start_index"] < 0]:
            raise UserError(f"{starts}: a start_index is 0 or more; got {wrong[0]}")
        categories = ["general"] * len(names)
        for row in sorted(rows, key=lambda row: row["start_index"]):
            word = row["name"].lower()
            count = max(0, len(names) - row["start_index"])
            categories[row["start_index"] :] = ["meta" if word == "system" else word] * count
        return categories, ()
    if characters.is_file():
        of_characters = set(tag_files.lines(characters))
        return ["character" if name in of_characters else "general" for name in names], ()
    return ["general"] * len(names), _no_categories(folder / "tags.txt")


_DEEPDANBOORU = Preparation(
    512,
    "NHWC",
    "RGB",
    255.0,
    fit=geometry.area_with_edges,
    about="averages of areas, edges repeated to a square",
)

READERS = (
    Reader(
        "WD",
        ("selected_tags.csv", "tags-selected.csv", "{stem}.csv", "{stem}_selected_tags.csv"),
        _selected_tags,
        outputs=("prediction", "predictions_sigmoid", "output"),
    ),
    Reader(
        "cl_tagger",
        ("tag_mapping.json", "{stem}_tag_mapping.json"),
        _cl_tagger,
        Preparation(448, "NCHW", "BGR", 255.0, (0.5,) * 3, (0.5,) * 3, **_BICUBIC),
        logits=True,
        outputs=("output", "logits"),
        models=("model_optimized.onnx",),
    ),
    Reader(
        "camie",
        ("metadata.json", "{stem}-metadata.json", "{stem}_metadata.json", "*metadata.json"),
        _camie,
        logits=True,
        outputs=("refined_predictions", "refined_logits", "refined"),
        models=("model_refined.onnx", "model_initial.onnx"),
    ),
    Reader(
        "JoyTag",
        ("top_tags.txt",),
        _joytag,
        Preparation(448, "NCHW", "RGB", 255.0, **CLIP, **_BICUBIC),
        logits=True,
        outputs=("tags", "output"),
    ),
    Reader("DeepDanbooru", ("project.json", "tags.txt"), _deepdanbooru, _DEEPDANBOORU),
    Reader("WD", ("*.csv",), _selected_tags, outputs=("prediction", "predictions_sigmoid", "output")),
)
