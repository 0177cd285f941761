"""Predictions of a dump, looked up for pictures: tags without running a model again."""

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

import numpy as np

from Utils.command.cli import UserError
from Utils.evaluation import predictions
from Utils.images import image_folder
from Utils.images.census import warn_of_unreadable
from Utils.images.places import Place

_AT_ONCE = 256  # pictures

Item = TypeVar("Item")


class DumpPredictions:
    """The rows of a dump by the paths of pictures.

    Args:
        folder: of the dump.
        place: of the pictures, whose post ids the dump has.

    Attributes:
        tags: DataFrame of the tag list, L rows.
        folder: of the dump, where thresholds may lie.
        published, evidence: empty; a dump has no thresholds of a tagger, and nothing was recognized.

    Raises UserError where the dump has no ids, no picture of the place is in it, or all are others now.
    """

    published, evidence = None, ()

    def __init__(self, folder: str | os.PathLike, place: Place) -> None:
        dump = predictions.load(folder)
        if dump.image_ids is None:
            raise UserError(f"{folder} has no {predictions.IDS}, so no row is a picture's")
        self.tags, self.folder, self.name = dump.tags, pathlib.Path(folder), dump.name
        self._probabilities = dump.probabilities
        paths = image_folder.image_paths(place)
        warn_of_unreadable(place)
        ids = image_folder.post_ids(paths, place)
        row_of = {int(post): row for row, post in enumerate(dump.image_ids)}
        self._rows = {path: row_of[post] for path, post in zip(paths, ids, strict=True) if post in row_of}
        id_of = dict(zip(paths, ids, strict=True))
        self._changed = changed(dump, place, id_of)
        if not self._rows:
            raise UserError(
                f"none of the {len(paths)} pictures in {place} is among the {len(row_of)} of {folder}: they "
                f"are posts {', '.join(map(str, ids[:3]))}, the first of the dump is "
                f"{next(iter(row_of), 'none')}. Is it the place that the dump was made from?"
            )
        if not set(self._rows) - self._changed:
            raise UserError(
                f"the {len(self._rows)} pictures in {place} whose ids are in {folder} have other sizes than "
                f"those that were predicted ({predictions.PICTURES}): they are other pictures, or were "
                "changed since; run predict.py again"
            )
        self._rows = {path: row for path, row in self._rows.items() if path not in self._changed}

    def why_without(self, path: str) -> str:
        """Return the reason why a picture of the place has no row."""
        return "another picture than was predicted" if path in self._changed else "not in the dump"

    def batches(
        self, pictures: Sequence[Item], path_of: Callable[[Item], str]
    ) -> Iterator[tuple[list[Item], np.ndarray, list[Item]]]:
        """Yield ``(pictures, their probabilities (B, L) float32, pictures without a row)``, in order.

        ``path_of`` gives the path of a picture, relative to the place.
        """
        for start in range(0, len(pictures), _AT_ONCE):
            rows = [(item, self._rows.get(path_of(item))) for item in pictures[start : start + _AT_ONCE]]
            known = [row for _, row in rows if row is not None]
            yield (
                [item for item, row in rows if row is not None],
                np.asarray(self._probabilities[known], np.float32),
                [item for item, row in rows if row is None],
            )


def changed(dump: predictions.Dump, place: Place, id_of: Mapping[str, int]) -> set[str]:
    """Return the pictures whose files have another size than those of the same ids in a dump's images.csv.

    Empty without that file, or where it has no sizes.
    """
    others = set()
    for path, number in id_of.items():
        if number in dump.picture_sizes:
            with contextlib.suppress(OSError):  # gone meanwhile
                if place.stamp(path)[0] != dump.picture_sizes[number]:
                    others.add(path)
    return others
