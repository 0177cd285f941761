"""Opens a run folder, a .keras file or a release as a tagger: model, tags and preprocessing in one object."""

import dataclasses
import pathlib
from typing import Any, cast

import keras
import numpy as np
import pandas as pd

from Models.layers.model_ends import with_probabilities
from Models.porting import timm_folder
from Utils.command.cli import UserError
from Utils.command.text import counted
from Utils.files import damage, hub, zip_files
from Utils.files.atomic import local, require_file
from Utils.files.model_files import RELEASED_MODEL, RUN_MODELS, import_hint, require_choice
from Utils.images import codec
from Utils.tags import tag_list


@dataclasses.dataclass(frozen=True)
class KerasTagger:
    """A Keras model that gives probabilities, with its tag list and image size."""

    model: keras.Model
    tags: pd.DataFrame | None  # tag_id, name, category, count; row i is output i. None: no list beside it
    image_size: int
    evidence: tuple[str, ...] = ()  # what its files left open and how it was decided, for the user
    file: pathlib.Path | None = None  # that it was read from, or a timm folder

    def preprocess(self, images: Any) -> np.ndarray:
        """Return (B, S, S, 3) float32, 0..255 BGR, of one image, a list or a batch; padded white.

        An image is a path, the bytes of a file, or an (H, W, 3) uint8 BGR array. Raises UserError that
        names what cannot be read.
        """
        is_batch = isinstance(images, (list, tuple)) or getattr(images, "ndim", 3) == 4
        batch = [_prepare(image, self.image_size) for image in (images if is_batch else [images])]
        if not batch:
            return np.zeros((0, self.image_size, self.image_size, 3), "float32")
        return np.stack(batch).astype("float32")

    def probabilities(self, images: Any) -> np.ndarray:
        """Return (B, num_labels) float32 probabilities; takes what ``preprocess`` takes."""
        return np.asarray(keras.ops.convert_to_numpy(self.model(self.preprocess(images), training=False)))

    def tag(self, image: Any, threshold: float = 0.35) -> dict[str, float]:
        """Return ``{tag: probability}`` of one image for tags above the threshold, most probable first.

        Raises UserError if the model came without a tag list.
        """
        if self.tags is None:
            raise UserError("this model has no tag list: put its selected_tags.csv beside the .keras file")
        probabilities = self.probabilities(image)[0]
        names = self.tags["name"].to_list()
        order = np.argsort(-probabilities, kind="stable")
        return {names[i]: float(probabilities[i]) for i in order if probabilities[i] > threshold}


def _prepare(image: Any, image_size: int) -> np.ndarray:
    """Return one image as (S, S, 3) uint8 BGR."""
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise UserError(
                f"an image array is (H, W, 3) uint8 in BGR order; got {image.shape} {image.dtype}"
            )
        return codec.fit(image, image_size)
    data = image
    if not isinstance(image, (bytes, bytearray, memoryview)):
        data = require_file(image, "an image").read_bytes()
    try:
        return codec.prepare(data, image_size)
    except codec.ImageError as error:
        source = "the bytes given" if data is image else image
        raise UserError(f"{source} cannot be used as an image: {error}") from error


def load_tagger(path: Any, which: str = "best") -> KerasTagger:
    """Return the KerasTagger of a run folder (its best or last model), a ``.keras`` file or a release.

    ``path`` may also be a timm folder or name a model on the hub (`Utils.files.hub`). Its tags come from
    ``selected_tags.csv`` beside the model. Raises UserError for a missing file and for a tag list that does
    not fit the model.
    """
    if which not in RUN_MODELS:
        raise UserError(f"which must be {' or '.join(RUN_MODELS)}; got {which!r}")
    file, evidence = _model_file(hub.local(path), which), ()
    if timm_folder.is_folder(file):
        described = describe_timm(file)
        require_classifier(file, described)
        evidence = (
            f"a timm folder, {described.name}: channels {described.order.upper()}, {described.order_from}",
        )
    model = with_probabilities(load_model(file))
    tags_file = (file if file.is_dir() else file.parent) / tag_list.FILE
    frame = tag_list.read_beside_model(tags_file) if tags_file.is_file() else None
    if frame is not None and len(frame) != model.output_shape[-1]:
        raise UserError(
            f"{tags_file} has {counted(len(frame), 'tag')}, but {file.name} gives {model.output_shape[-1]}"
        )
    return KerasTagger(model, frame, model.input_shape[1], evidence, file)


def _model_file(path: pathlib.Path, which: str) -> pathlib.Path:
    require_choice(path, which)
    if not path.is_dir():
        return require_file(path, "a run folder, a .keras file or a release")
    file = path / RUN_MODELS[which]
    released = path / RELEASED_MODEL
    if file.is_file():
        return file
    if released.is_file():  # a release keeps one model
        return released
    if timm_folder.is_folder(path):
        return path
    content = ", ".join(sorted(item.name for item in path.iterdir())) or "nothing"
    raise UserError(
        f"no {RUN_MODELS[which]} in {path}; a run folder has one, this folder has {content}"
        f"{import_hint(path)}"
    )


def load_model(file: pathlib.Path, order: str | None = None) -> keras.Model:
    """Return the model of a ``.keras`` file or timm folder, not compiled; UserError if it cannot be loaded.

    A ``.h5`` file is one that Keras 2 wrote of a whole model of Keras' own layers, as DeepDanbooru's are.
    ``order``: the channels that the timm folder's model takes, "bgr" or "rgb", if its files do not tell.
    """
    if file.is_dir():
        return import_timm(file, order)[0]
    if file.suffix not in (".keras", ".h5"):
        raise UserError(f"a model is a .keras file, a run folder or a whole model in .h5; got {file}")
    if file.suffix == ".keras":
        zip_files.require_whole(file, "a Keras model")
    alone = (
        "" if file.suffix == ".keras" else " (weights without their model are for tools/import_weights.py)"
    )
    with damage.named(file, f"cannot be loaded as a Keras model{alone}"), local(file) as copy:
        return cast(keras.Model, keras.saving.load_model(copy, compile=False))


def describe_timm(folder: Any, order: str | None = None) -> timm_folder.Description:
    """Return which model of the zoo a timm folder holds; UserError where none, or of an unknown order."""
    import Models

    return timm_folder.described_by(folder, Models.timm_families(), Models.spec, order)


def require_classifier(folder: Any, described: timm_folder.Description) -> None:
    """Raise UserError for a timm folder whose model says no tags."""
    if not described.num_labels:
        raise UserError(
            f"{folder} is a pretrained body without a classifier (num_classes 0), which says no tags; "
            f"train.py RECIPE --init-from {folder} trains one on it"
        )


def import_timm(
    folder: Any, order: str | None = None, settings: dict[str, Any] | None = None
) -> tuple[keras.Model, timm_folder.Description, timm_folder.Source]:
    """Return the model of a timm folder, with probabilities, what it is, and what was read.

    ``settings`` replace fields of the model's Spec that the folder states. A body without a classifier gets
    one with a single output, which is to be replaced. Raises UserError where something is missing or left
    over.
    """
    import Models

    described = describe_timm(folder, order)
    described = dataclasses.replace(described, fields={**described.fields, **(settings or {})})
    source, rules = timm_folder.read(folder), Models.timm_families()[described.name.split("/")[0]]
    sizes = {"image_size": described.image_size, "num_labels": max(described.num_labels, 1)}
    model = Models.build(described.name, **sizes, **described.fields)
    spec = Models.spec(described.name, **described.fields)
    timm_folder.assign(model, spec, rules, source, described.order, described.num_labels > 0)
    return model, described, source
