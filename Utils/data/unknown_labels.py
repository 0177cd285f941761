"""Unknown labels: pairs of post and tag that the loss leaves out, because nobody knows whether they hold.

They are listed in a CSV with ``post_id`` and ``tag_id`` (or ``tag``, the name), as is the ``audit.csv`` of
suspicious labels (tools/audit_labels.py). Its ``label``, 0 or 1, tells whether it is about these pictures;
further columns do not matter.
"""

import dataclasses

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from Utils.command.cli import UserError
from Utils.command.text import composed
from Utils.files import csv_tables
from Utils.files.atomic import AnyPath


@dataclasses.dataclass(frozen=True)
class UnknownLabels:
    """Pairs of post and label, sorted by post."""

    posts: np.ndarray  # (N,) int64
    labels: np.ndarray  # (N,) int64
    num_labels: int
    listed: np.ndarray | None = None  # (N,) bool: the label when it was listed; None: nobody says

    def select(self, is_listed: bool) -> "UnknownLabels":
        """Return the pairs, each once, that were listed with the label 1 (or 0); none where nobody says."""
        rows = np.zeros(len(self.posts), bool) if self.listed is None else self.listed == is_listed
        posts, labels = np.unique(np.stack([self.posts, self.labels])[:, rows], axis=1)
        return UnknownLabels(posts, labels, self.num_labels)

    def mask(self, ids: ArrayLike) -> np.ndarray:
        """Return (B, num_labels) bool, true where the label of a post (B,) is unknown."""
        ids = np.asarray(ids, np.int64)
        first, last = (np.searchsorted(self.posts, ids, side) for side in ("left", "right"))
        mask = np.zeros((len(ids), self.num_labels), bool)
        for row in np.flatnonzero(last > first):
            mask[row, self.labels[first[row] : last[row]]] = True
        return mask


def read(path: AnyPath, tag_list: pd.DataFrame) -> UnknownLabels:
    """Read the CSV at ``path`` for the labels of ``tag_list``; pairs with other tags are left out.

    Raises UserError where a column is missing, a value is no number, or no tag is in ``tag_list``. Labels
    other than 0 and 1 are as if there were none.
    """
    frame = csv_tables.read(
        path, "a list of unknown labels (CSV with post_id and tag_id or tag)", ("post_id",), by_hand=True
    )
    try:
        key = "tag_id" if "tag_id" in frame else "tag"
        posts = _whole_numbers(frame["post_id"])
        tags = frame[key].astype(str).map(composed) if key == "tag" else _whole_numbers(frame[key])
    except (KeyError, ValueError, OverflowError) as error:
        raise UserError(
            f"{path} must have the columns post_id and tag_id (whole numbers) or tag: {error}"
        ) from error
    names = tag_list["tag_id" if key == "tag_id" else "name"]
    label_of = dict(zip(names, range(len(names)), strict=True))
    labels = np.array([label_of.get(tag, -1) for tag in tags], np.int64)
    is_listed = labels >= 0
    if not is_listed.any():
        raise UserError(f"none of the {len(frame)} lines of {path} names a tag of the dataset by its {key}")
    order = np.lexsort((labels, posts))
    order = order[is_listed[order]]
    values = frame["label"].astype(str).to_numpy()[order] if "label" in frame else np.array([""])
    listed = values == "1" if np.isin(values, ["0", "1"]).all() else None
    return UnknownLabels(posts[order], labels[order], len(tag_list), listed)


def _whole_numbers(column: pd.Series) -> np.ndarray:
    numbers = column.to_numpy(np.int64)  # cuts off what is behind the point
    if len(wrong := column[numbers != column]):
        raise ValueError(f"{wrong.iloc[0]} is no whole number")
    return numbers
