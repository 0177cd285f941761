"""Which split a post is in: by ranges of the id modulo 1000, or as a file lists it, post by post."""

import dataclasses
from collections.abc import Callable

import numpy as np

from Utils.command.cli import UserError, suggest
from Utils.data.definition import SPLIT_MODULUS, SPLITS, Definition
from Utils.files import csv_tables
from Utils.files.atomic import AnyPath
from Utils.images import image_folder

SplitRule = Callable[[np.ndarray], np.ndarray]  # post ids (P,) -> rows of SPLITS, int8 (P,), -1 for no split


@dataclasses.dataclass(frozen=True)
class SplitList:
    """The splits of N listed posts; ``SplitList(...)(ids)`` is a `SplitRule`."""

    ids: np.ndarray  # (N,) int64, ascending
    rows: np.ndarray  # (N,) int8, rows of SPLITS

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        """Return the row of SPLITS of every post, -1 for one that is not listed."""
        places = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[places] == ids, self.rows[places], np.int8(-1)).astype(np.int8)


def split_rule(definition: Definition) -> SplitRule:
    """Return the rule of a definition; UserError where its ``split_file`` cannot be used.

    Of splits that are shares all posts are in the first: they are drawn when the posts are known.
    """
    if definition.split_file is not None:
        return read(definition.split_file)
    if definition.shares:
        return lambda ids: np.zeros(len(ids), np.int8)
    table = np.full(SPLIT_MODULUS, -1, np.int8)
    for name, (low, high) in definition.ranges.items():
        table[low : high + 1] = SPLITS.index(name)
    return lambda ids: table[ids % SPLIT_MODULUS]


def read(path: AnyPath) -> SplitList:
    """Read a CSV of posts and their splits; columns beside ``post_id`` and ``split`` are not read.

    Raises UserError for an id that is no whole number, an unknown split, a post in two splits, and no posts.
    """
    texts = csv_tables.read_texts(path, "a list of splits (post_id,split)", ("post_id", "split"))
    rows: dict[int, int] = {}
    for line, text in enumerate(texts, 2):
        number, name = text["post_id"], text["split"]
        post = image_folder.decimal(number)
        if post < 0:
            raise UserError(f"{path}, row {line}: post_id must be a whole number; got {number[:80]!r}")
        if name not in SPLITS:
            similar = suggest(name, SPLITS)
            raise UserError(f"{path}, row {line}: split is {', '.join(SPLITS)}; got {name[:80]!r}{similar}")
        row = SPLITS.index(name)
        if rows.setdefault(post, row) != row:
            raise UserError(f"{path}: post {number} is in {SPLITS[rows[post]]} and in {name}")
    if not rows:
        raise UserError(f"{path} lists no posts")
    ids = np.array(sorted(rows), np.int64)
    return SplitList(ids, np.array([rows[number] for number in ids.tolist()], np.int8))
