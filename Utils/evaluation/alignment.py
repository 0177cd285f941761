"""Several dumps of the same images and tags side by side: columns matched by tag name, rows by image id."""

import collections
import dataclasses
import os
import pathlib

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.command.text import join_names
from Utils.tags.tag_list import COLUMNS


class View:
    """Rows and columns of a matrix (N, L), in any order, without a copy: to be read in slices of rows.

    A mapped matrix is read through its file: pages of a mapping would count as resident memory.
    """

    def __init__(self, matrix, rows, columns):
        self.matrix, self.dtype, self.ndim = matrix, matrix.dtype, 2
        self.rows, self.columns = np.asarray(rows, np.int64), np.asarray(columns, np.int64)
        self.shape = len(self.rows), len(self.columns)
        self._whole = np.array_equal(self.columns, np.arange(matrix.shape[1]))

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, part):
        """Return the rows of a slice of the view."""
        return self.take(self.rows[part])

    def take(self, rows):
        """Return these rows of the matrix, in the view's columns."""
        block = _read_rows(self.matrix, rows)
        return block if self._whole else block[:, self.columns]

    def narrowed(self, columns):
        """Return a view of these columns of the view."""
        return View(self.matrix, self.rows, self.columns[columns])


def _read_rows(matrix, rows):
    if not isinstance(matrix, np.memmap) or not matrix.flags.c_contiguous:
        return np.asarray(matrix[rows])
    found = np.empty((len(rows), matrix.shape[1]), matrix.dtype)
    starts = np.flatnonzero(np.diff(rows, prepend=-2) != 1)  # of runs of successive rows
    with pathlib.Path(matrix.filename).open("rb", buffering=0) as file:
        for start, stop in zip(starts.tolist(), [*starts[1:].tolist(), len(rows)], strict=True):
            part = found[start:stop]
            if part.size:
                _fill(file, memoryview(part).cast("B"), matrix.offset + int(rows[start]) * matrix.strides[0])
    return found


def _fill(file, view, place):
    while view:
        got = os.preadv(file.fileno(), [view], place)
        if not got:
            raise UserError(f"{file.name} is shorter than its header says")
        view, place = view[got:], place + got


@dataclasses.dataclass(frozen=True)
class Aligned:
    """What dumps have in common; row i is one image in all of them, column j one tag."""

    tags: pd.DataFrame  # of the first dump, without what belongs to its model alone
    image_ids: np.ndarray | None  # rising; None where no dump has ids and rows go by position
    probabilities: list  # a View of every dump
    labels: list  # a View of every dump, None where it has none
    left_out: list  # (tags, images) of every dump that the others lack

    @property
    def truth(self):
        """The labels of the first dump that has any; None where none has."""
        return next((view for view in self.labels if view is not None), None)

    def selected(self, columns):
        """Return the same with these columns only."""
        views, labels = (
            [view if view is None else view.narrowed(columns) for view in part]
            for part in (self.probabilities, self.labels)
        )
        tags = self.tags.iloc[columns].reset_index(drop=True)
        return dataclasses.replace(self, tags=tags, probabilities=views, labels=labels)

    def disagreements(self):
        """Count the labels in which the dumps differ from `truth`, each dump's for itself."""
        return [0 if view is None else _differing(self.truth, view) for view in self.labels]


def align(dumps):
    """Return the `Aligned` part of dumps: common tags in the order of the first, common images by rising id.

    Dumps without image ids are taken row by row where none has ids and all have as many rows. Raises
    UserError where nothing is common, or where an id or a tag stands twice in one dump.
    """
    columns = common_columns(dumps)
    rows, ids = _common_rows(dumps)
    places = list(zip(dumps, rows, columns, strict=True))
    views = [View(dump.probabilities, *place) for dump, *place in places]
    labels = [None if dump.labels is None else View(dump.labels, *place) for dump, *place in places]
    left_out = [
        (dump.probabilities.shape[1] - view.shape[1], len(dump.probabilities) - len(view))
        for dump, view in zip(dumps, views, strict=True)
    ]
    kept = dumps[0].tags.iloc[columns[0]].reset_index(drop=True)[list(COLUMNS)]
    return Aligned(kept, ids, views, labels, left_out)


def _differing(labels, other, step=256):
    return sum(
        int(np.count_nonzero((labels[at : at + step] != 0) != (other[at : at + step] != 0)))
        for at in range(0, len(labels), step)
    )


def common_columns(dumps):
    """Return for every dump its columns of the tags that all have, in the order of the first dump's."""
    lists = [dump.tags["name"].to_list() for dump in dumps]
    if all(names == lists[0] for names in lists):
        return [np.arange(len(names)) for names in lists]
    places = []
    for dump, names in zip(dumps, lists, strict=True):
        twice = [name for name, times in collections.Counter(names).items() if times > 1]
        if twice:
            raise UserError(f"{dump.folder}: tags are matched by name, but {twice[0]!r} stands there twice")
        places.append({name: column for column, name in enumerate(names)})
    common = [name for name in lists[0] if all(name in place for place in places)]
    if not common:
        firsts = "; ".join(f"{dump.folder} has {join_names(dump.tags['name'])}" for dump in dumps)
        raise UserError(f"the dumps have no tag in common: {firsts}")
    return [np.array([place[name] for name in common], np.int64) for place in places]


def _common_rows(dumps):
    """Return the rows of every dump and their ids."""
    if all(dump.image_ids is None for dump in dumps):
        counts = [len(dump.probabilities) for dump in dumps]
        if len(set(counts)) > 1:
            raise UserError(f"dumps without image ids must have the same rows; got {counts} rows")
        return [np.arange(counts[0])] * len(dumps), None
    ids = [unique_ids(dump) for dump in dumps]
    common = ids[0]
    for more in ids[1:]:
        common = np.intersect1d(common, more, assume_unique=True)
    if not len(common):
        raise UserError(f"no image is in all of {', '.join(str(dump.folder) for dump in dumps)}")
    common = np.sort(common)
    return [rows_of(mine, common) for mine in ids], common


def rows_of(ids, wanted):
    """Return where the ``wanted`` ids, all there, stand among ``ids``."""
    order = np.argsort(ids, kind="stable")
    return order[np.searchsorted(ids, wanted, sorter=order)]


def unique_ids(dump):
    """Return a dump's image ids; UserError where it has none or one stands there twice."""
    if dump.image_ids is None:
        raise UserError(f"{dump.folder} has no image_ids.npy, by which rows are matched")
    ids = np.asarray(dump.image_ids)
    values, times = np.unique(ids, return_counts=True)
    if (times > 1).any():
        raise UserError(f"{dump.folder} has image {values[times > 1][0]} more than once")
    return ids
