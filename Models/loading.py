"""From a run folder or a .keras file to a tagger: model, tags and preprocessing in one object."""

import dataclasses

import keras
import numpy as np
import pandas as pd

from Models.layers.model_ends import with_probabilities
from Utils.command.cli import UserError
from Utils.files.atomic import local, require_file, to_path
from Utils.files.model_files import RELEASED_MODEL, RUN_MODELS
from Utils.images import codec
from Utils.tags import tag_list


@dataclasses.dataclass(frozen=True)
class KerasTagger:
    """A model that gives probabilities, the tag of each of its outputs, and how it wants its images."""

    model: keras.Model
    tags: pd.DataFrame | None  # tag_id, name, category, count; row i is output i
    image_size: int

    def preprocess(self, pictures):
        """Return (B, S, S, 3) float32, 0..255 BGR: one picture or a list or batch of them, padded white.

        A picture is a path, the bytes of a file, or an (H, W, 3) uint8 BGR array. Raises UserError that
        names what could not be read.
        """
        many = isinstance(pictures, (list, tuple)) or getattr(pictures, "ndim", 3) == 4
        batch = [_prepared(picture, self.image_size) for picture in (pictures if many else [pictures])]
        if not batch:
            return np.zeros((0, self.image_size, self.image_size, 3), "float32")
        return np.stack(batch).astype("float32")

    def probabilities(self, pictures):
        """Return (B, num_labels) float32 probabilities; takes what ``preprocess`` takes."""
        return keras.ops.convert_to_numpy(self.model(self.preprocess(pictures), training=False))

    def tag(self, picture, threshold=0.35):
        """Return ``{tag name: probability}`` above the threshold of one picture, most probable first.

        Raises UserError where the model came without a tag list.
        """
        if self.tags is None:
            raise UserError("this model has no tag list: put its selected_tags.csv beside the .keras file")
        found = self.probabilities(picture)[0]
        order = np.argsort(-found, kind="stable")
        names = self.tags["name"].to_list()
        return {names[i]: float(found[i]) for i in order if found[i] > threshold}


def _prepared(picture, image_size):
    if isinstance(picture, np.ndarray):
        if picture.ndim != 3 or picture.shape[2] != 3 or picture.dtype != np.uint8:
            raise UserError(
                f"an image array is (H, W, 3) uint8 in BGR order; got {picture.shape} {picture.dtype}"
            )
        return codec.fit(picture, image_size)
    data = picture
    if not isinstance(picture, (bytes, bytearray, memoryview)):
        data = require_file(picture, "an image").read_bytes()
    try:
        return codec.prepare(data, image_size)
    except codec.ImageError as error:
        what = "the bytes given" if data is picture else picture
        raise UserError(f"{what} cannot be used as an image: {error}") from error


def load_tagger(path, which="best"):
    """Return the KerasTagger of a run folder (its best or last model), a ``.keras`` file or a release.

    The tags are those of ``selected_tags.csv`` beside the model. Raises UserError for what is missing
    and for a tag list that does not fit the model.
    """
    if which not in RUN_MODELS:
        raise UserError(f"which must be {' or '.join(RUN_MODELS)}; got {which!r}")
    file = _model_file(to_path(path), which)
    model = with_probabilities(load_model(file))
    beside = file.parent / "selected_tags.csv"
    frame = tag_list.read(beside) if beside.is_file() else None
    if frame is not None and len(frame) != model.output_shape[-1]:
        raise UserError(f"{beside} has {len(frame)} tags, but {file.name} gives {model.output_shape[-1]}")
    return KerasTagger(model, frame, model.input_shape[1])


def _model_file(path, which):
    if not path.is_dir():
        return require_file(path, "a run folder, a .keras file or a release")
    file = path / RUN_MODELS[which]
    released = path / RELEASED_MODEL
    if not file.is_file() and released.is_file():
        return released
    if not file.is_file():
        found = ", ".join(sorted(item.name for item in path.iterdir())) or "nothing"
        raise UserError(f"no {RUN_MODELS[which]} in {path}; a run folder has one, this folder has {found}")
    return file


def load_model(file):
    """Return the model of a ``.keras`` file, not compiled; UserError where it cannot be loaded."""
    if file.suffix != ".keras":
        raise UserError(f"a model is a .keras file or a run folder; got {file}")
    try:
        with local(file) as copy:
            return keras.saving.load_model(copy, compile=False)
    except (ValueError, OSError, KeyError, TypeError) as error:
        raise UserError(f"{file} cannot be loaded as a Keras model: {error}") from error
