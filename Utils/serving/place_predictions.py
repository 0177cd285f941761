"""Writes the dump of a model's predictions for the pictures of a place, with the list of these pictures."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from Utils.command.cli import UserError, WorkError, progress
from Utils.evaluation import predictions
from Utils.files import csv_tables
from Utils.files.atomic import AnyPath
from Utils.images import image_folder, image_reader
from Utils.images.places import Place

_READERS = 2  # threads that decode while the model works


def probabilities(model: Any, images: np.ndarray, ids: Any) -> np.ndarray:
    """Return what ``model.predict_on_batch`` gives for images (B, S, S, 3): (B, L) float32.

    Raises WorkError, with the id of the image, where one is no number.
    """
    values = np.asarray(model.predict_on_batch(images))
    broken = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(broken):
        raise WorkError(f"the model gives no number for image {ids[broken[0]]}: its weights are broken")
    return values


def write(
    output: AnyPath,
    place: Place,
    paths: Sequence[str],
    model: Any,
    tags: pd.DataFrame,
    info: dict[str, Any],
    *,
    batch_size: int,
    padding: int,
    dtype: str,
    overwrite: bool,
) -> None:
    """Write the dump; images.csv lists its pictures, rejected.csv those that cannot be read, also on stderr.

    Args:
        output: the folder to write, complete or absent.
        place: of the pictures.
        paths: of all of them, which give each its post id.
        model: with ``predict_on_batch``; its ``prepare``, if it has one, prepares the pictures.
        tags: of the model's L outputs.
        info: for dump.json; ``image_size`` is the side of the model's input.
        batch_size: pictures at a time, one shape for all, so that it is compiled once.
        padding: the gray around pictures that are not square, 0 to 255.
        dtype: of the probabilities in the dump.
        overwrite: whether an existing dump is replaced.

    Raises UserError where none can be read, WorkError where the model fails.
    """
    rejected, rows = [], []
    id_of = dict(zip(paths, image_folder.post_ids(paths, place), strict=True))
    with predictions.writing(
        output, tags, dtype=dtype, labels=False, info=info, overwrite=overwrite
    ) as writer:
        batches = image_reader.read_batches(
            paths,
            info["image_size"],
            batch_size,
            read_item=place.open,
            padding=padding,
            prepare=getattr(model, "prepare", None),
            readers=_READERS,
            remarks=(remarks := image_reader.Remarks()),
        )
        steps = -(-len(paths) // batch_size)
        for names, images, unreadable in progress(batches, total=steps, label="predict", unit="batches"):
            rejected += [(id_of[name], name, reason) for name, reason in unreadable]
            if not names:
                continue
            ids = [id_of[name] for name in names]
            filled = np.zeros((batch_size, *images.shape[1:]), images.dtype)
            filled[: len(images)] = images
            writer.add(probabilities(model, filled, [*ids, *[0] * batch_size])[: len(images)], ids)
            rows += [(post, name, _size_of(place, name)) for post, name in zip(ids, names, strict=True)]
        if not rows:
            raise UserError(
                f"none of the {len(paths)} images in {place} can be read; the first: {rejected[0][1:]}"
            )
        csv_tables.write_rows(writer.folder / predictions.PICTURES, predictions.PICTURE_COLUMNS, rows)
        listed = [*rejected, *image_folder.unreadable_rows(place)]
        csv_tables.write_rows(writer.folder / "rejected.csv", image_folder.REJECTED_COLUMNS, listed)
    for _, name, reason in rejected:
        print(f"left out: {name}: {reason}", file=sys.stderr)
    for sentence in remarks.sentences("predicted"):
        print(sentence, file=sys.stderr)


def _size_of(place: Place, name: str) -> int | str:
    """Return the bytes of a picture, empty where it is gone meanwhile."""
    try:
        return place.stamp(name)[0]
    except OSError:
        return ""
