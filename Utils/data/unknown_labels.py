"""Labels that are not known: neither there nor absent, so that a loss must not count them.

A list of them is a CSV with ``post_id`` and ``tag_id`` (or ``tag``, the name); further columns do not matter,
so the ``audit.csv`` of suspicious labels is such a list as it stands.
"""

import dataclasses

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.files.atomic import local, require_file


@dataclasses.dataclass(frozen=True)
class UnknownLabels:
    """Pairs of post and label, sorted by post."""

    posts: np.ndarray  # (N,) int64
    labels: np.ndarray  # (N,) int64
    num_labels: int

    def mask(self, ids):
        """Return (B, num_labels) bool, True where the label of a post (B,) is not known."""
        ids = np.asarray(ids, np.int64)
        first, last = (np.searchsorted(self.posts, ids, side) for side in ("left", "right"))
        found = np.zeros((len(ids), self.num_labels), bool)
        for row in np.flatnonzero(last > first):
            found[row, self.labels[first[row] : last[row]]] = True
        return found


def read(path, tag_list):
    """Read the list at ``path`` for the labels of ``tag_list``; pairs of other tags are left out.

    Raises UserError where a column is missing, a number is none, or no tag is one of ``tag_list``.
    """
    path = require_file(path, "a list of unknown labels (CSV with post_id and tag_id or tag)")
    try:
        with local(path) as here:
            frame = pd.read_csv(here)
        key = "tag_id" if "tag_id" in frame else "tag"
        posts = frame["post_id"].to_numpy(np.int64)
        tags = frame[key].astype(str if key == "tag" else np.int64)
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{path} must have the columns post_id and tag_id (whole numbers) or tag: {error}"
        ) from error
    names = tag_list["tag_id" if key == "tag_id" else "name"]
    rows = tags.map(dict(zip(names, range(len(names)), strict=True)))
    known = rows.notna().to_numpy()
    if not known.any():
        raise UserError(f"none of the {len(frame)} lines of {path} names a tag of the dataset by its {key}")
    posts, labels = posts[known], rows[known].to_numpy(np.int64)
    order = np.lexsort((labels, posts))
    return UnknownLabels(posts[order], labels[order], len(tag_list))
