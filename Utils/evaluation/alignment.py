"""Several models' predictions side by side: columns matched by tag name, rows by image id."""

import collections
import dataclasses
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.command.text import counted, join_names
from Utils.data.picture_contents import CHANGED_OR_OTHERS
from Utils.evaluation import chunked_matrix, same_pictures
from Utils.evaluation.chunked_matrix import Matrix
from Utils.evaluation.predictions import Dump
from Utils.tags import tag_categories, tag_matching
from Utils.tags.tag_list import COLUMNS


class MatrixView:
    """Rows and columns of a matrix (N, L), in any order, without a copy: to be read in slices of rows."""

    def __init__(self, matrix: Matrix, rows: Any, columns: Any):
        self.matrix, self.dtype, self.ndim = matrix, matrix.dtype, 2
        self.rows, self.columns = np.asarray(rows, np.int64), np.asarray(columns, np.int64)
        self.shape = len(self.rows), len(self.columns)
        self._has_all_columns = np.array_equal(self.columns, np.arange(matrix.shape[1]))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, part: slice) -> np.ndarray:
        """Return the rows of a slice of the view."""
        block = chunked_matrix.read_rows(self.matrix, self.rows[part])
        return block if self._has_all_columns else block[:, self.columns]

    def select_columns(self, columns: np.ndarray) -> "MatrixView":
        """Return a view of these columns of the view."""
        return MatrixView(self.matrix, self.rows, self.columns[columns])

    def select_rows(self, rows: np.ndarray) -> "MatrixView":
        """Return a view of these rows of the view."""
        return MatrixView(self.matrix, self.rows[rows], self.columns)


@dataclasses.dataclass(frozen=True)
class AlignedDumps:
    """What dumps have in common; row i is one image in all of them, column j one tag."""

    tags: pd.DataFrame  # of the first dump, without the columns that only its model has
    image_ids: np.ndarray | None  # rising; None where no dump has ids and rows go by position
    probabilities: list[MatrixView]
    labels: list[MatrixView | None]  # None for a dump without labels
    dropped: list[tuple[int, int]]  # (tags, images) of every dump that the others lack

    @property
    def truth(self) -> MatrixView | None:
        """The labels of the first dump that has any; None where no dump has."""
        return next((view for view in self.labels if view is not None), None)

    def require_truth(self) -> MatrixView:
        """Return `truth`; raise UserError if no dump has labels."""
        if self.truth is None:
            raise UserError("none of the dumps has labels, so there is nothing to score against")
        return self.truth

    def select_columns(self, columns: np.ndarray) -> "AlignedDumps":
        """Return the same with these columns only."""
        return dataclasses.replace(
            self,
            tags=self.tags.iloc[columns].reset_index(drop=True),
            probabilities=[view.select_columns(columns) for view in self.probabilities],
            labels=[None if view is None else view.select_columns(columns) for view in self.labels],
        )

    def label_disagreements(self) -> list[int]:
        """Count for every dump the labels in which it differs from `truth`."""
        truth = self.truth
        return [0 if view is None or truth is None else _count_differing(truth, view) for view in self.labels]


def align(dumps: Sequence[Dump]) -> AlignedDumps:
    """Return the `AlignedDumps`: common tags in the order of the first dump, common images by rising id.

    Dumps without image ids are matched row by row if no dump has ids and all have as many rows. Raises
    UserError if nothing is common, an id or a tag stands twice in one dump, or labels are of other pictures
    (`Utils.evaluation.same_pictures` has the rule).
    """
    columns = common_columns(dumps)
    rows, ids = _common_rows(dumps)
    matched = list(zip(dumps, rows, columns, strict=True))
    views = [MatrixView(dump.probabilities, *place) for dump, *place in matched]
    labels = [None if dump.labels is None else MatrixView(dump.labels, *place) for dump, *place in matched]
    _require_same_pictures(dumps, labels)
    dropped = [
        (dump.probabilities.shape[1] - view.shape[1], len(dump.probabilities) - len(view))
        for dump, view in zip(dumps, views, strict=True)
    ]
    tags = dumps[0].tags.iloc[columns[0]].reset_index(drop=True)[list(COLUMNS)]
    _report_other_sizes(dumps)
    for dump, places in zip(dumps[1:], columns[1:], strict=True):
        _report_other_categories(dump, dump.tags.iloc[places], tags)
    return AlignedDumps(tags, ids, views, labels, dropped)


def _require_same_pictures(dumps: Sequence[Dump], labels: Sequence[MatrixView | None]) -> None:
    """Raise UserError for the first dump whose labels are of other pictures than those of an earlier one."""
    labeled = [(dump.folder, view) for dump, view in zip(dumps, labels, strict=True) if view is not None]
    for folder, view in labeled[1:]:
        same_pictures.compare(labeled[0][1], view).require(labeled[0][0], folder)


def _report_other_sizes(dumps: Sequence[Dump]) -> None:
    """Print how many pictures have other sizes in a dump than in the first one."""
    first = dumps[0].picture_sizes
    for dump in dumps[1:]:
        sizes = dump.picture_sizes
        both = first.keys() & sizes.keys()
        if count := sum(first[post] != sizes[post] for post in both):
            print(
                f"{dump.folder}: {count:,} of {counted(len(both), 'picture')} have other sizes than in "
                f"{dumps[0].folder}: {CHANGED_OR_OTHERS}",
                file=sys.stderr,
            )


def _report_other_categories(dump: Dump, tags: pd.DataFrame, first: pd.DataFrame) -> None:
    """Print the tags of one name that are of another category than in the first dump: perhaps other tags."""
    differing = np.flatnonzero(tags["category"].to_numpy() != first["category"].to_numpy())
    if len(differing):
        pairs = [
            [tag_categories.name_of(code, tag_categories.names_of(frame)) for code in frame["category"]]
            for frame in (first.iloc[differing], tags.iloc[differing])
        ]
        examples = [
            f"{name!r} ({' and '.join(categories)})"
            for name, *categories in zip(first["name"].iloc[differing], *pairs, strict=True)
        ]
        print(
            f"{dump.folder}: matched by name: {counted(len(differing), 'tag')} of another category than "
            f"in the first dump: {join_names(examples)}",
            file=sys.stderr,
        )


def _count_differing(first: MatrixView, second: MatrixView) -> int:
    blocks = chunked_matrix.row_blocks(first, second)
    return sum(int(np.count_nonzero((a != 0) != (b != 0))) for a, b in blocks)


def common_columns(dumps: Sequence[Dump]) -> list[np.ndarray]:
    """Return every dump's columns (K,) of the K tags that all dumps have, in the order of the first one.

    Tags are matched by name, in any spelling where no list has two tags that differ in spelling only.
    """
    names_of = [dump.tags["name"].to_list() for dump in dumps]
    if all(names == names_of[0] for names in names_of):
        return [np.arange(len(names)) for names in names_of]
    names_of = _in_one_spelling(names_of)
    column_of = []
    for dump, names in zip(dumps, names_of, strict=True):
        twice = [name for name, times in collections.Counter(names).items() if times > 1]
        if twice:
            raise UserError(f"{dump.folder}: tags are matched by name, but {twice[0]!r} occurs twice")
        column_of.append({name: column for column, name in enumerate(names)})
    common = [name for name in names_of[0] if all(name in columns for columns in column_of)]
    if not common:
        firsts = "; ".join(f"{dump.folder} has {join_names(dump.tags['name'])}" for dump in dumps)
        raise UserError(f"the dumps have no tag in common: {firsts}")
    return [np.array([columns[name] for name in common], np.int64) for columns in column_of]


def _in_one_spelling(lists: list[list[str]]) -> list[list[str]]:
    spelled = [[tag_matching.spelling(name) for name in names] for names in lists]
    twice = {key for keys in spelled for key, times in collections.Counter(keys).items() if times > 1}
    return [
        [name if key in twice else key for name, key in zip(*pair, strict=True)]
        for pair in zip(lists, spelled, strict=True)
    ]


def _common_rows(dumps: Sequence[Dump]) -> tuple[list[np.ndarray], np.ndarray | None]:
    """Return the rows of every dump and their image ids."""
    if all(dump.image_ids is None for dump in dumps):
        counts = [len(dump.probabilities) for dump in dumps]
        if len(set(counts)) > 1:
            raise UserError(f"dumps without image ids must have the same rows; got {counts} rows")
        return [np.arange(counts[0])] * len(dumps), None
    ids_of = [unique_ids(dump) for dump in dumps]
    common = ids_of[0]
    for ids in ids_of[1:]:
        common = np.intersect1d(common, ids, assume_unique=True)
    if not len(common):
        raise UserError(f"no image is in all of {', '.join(str(dump.folder) for dump in dumps)}")
    common = np.sort(common)
    return [rows_of(ids, common) for ids in ids_of], common


def rows_of(ids: np.ndarray, subset: np.ndarray) -> np.ndarray:
    """Return the positions (M,) in ``ids`` (N,), each once, of a subset (M,) of them."""
    order = np.argsort(ids, kind="stable")
    return order[np.searchsorted(ids, subset, sorter=order)]


def unique_ids(dump: Dump) -> np.ndarray:
    """Return a dump's image ids; UserError if it has none or one occurs twice."""
    if dump.image_ids is None:
        raise UserError(f"{dump.folder} has no image_ids.npy, by which rows are matched")
    ids = np.asarray(dump.image_ids)
    duplicate = first_duplicate(ids)
    if duplicate is not None:
        raise UserError(f"{dump.folder} has image {duplicate[0]} more than once")
    return ids


def first_duplicate(ids: Iterable[int]) -> tuple[int, int] | None:
    """Return ``(smallest repeated id, number of repeated ids)``; None if all ids are different."""
    values, times = np.unique(np.asarray(ids), return_counts=True)
    duplicates = values[times > 1]
    return (int(duplicates[0]), len(duplicates)) if len(duplicates) else None
