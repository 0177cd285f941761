"""Folds of a split by post id: ``1/5`` is fold 1 of 5. The same post is in the same fold of every dataset."""

import dataclasses
import re

import numpy as np
from numpy.typing import ArrayLike

from Utils.command.cli import UserError
from Utils.data import id_hash


@dataclasses.dataclass(frozen=True)
class Fold:
    """Fold ``index`` (from 0) of ``count``."""

    index: int
    count: int

    def contains(self, ids: ArrayLike) -> np.ndarray:
        """Return whether each post id, int64 of any shape, is in this fold."""
        return fold_of(ids, self.count) == self.index

    def excludes(self, ids: ArrayLike) -> np.ndarray:
        """Return whether each post id, int64 of any shape, is in one of the other folds."""
        return ~self.contains(ids)

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def parse(text: str) -> Fold | None:
    """Return the Fold of ``I/K``, None for an empty text; UserError unless 0 <= I < K and K > 1."""
    if not text:
        return None
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", str(text))
    index, count = map(int, match.groups()) if match else (0, 0)
    if not (index < count and count > 1):
        raise UserError(f"--fold takes I/K, fold I of K, with I from 0 to K - 1, such as 0/5; got {text!r}")
    return Fold(index, count)


def fold_of(ids: ArrayLike, count: int) -> np.ndarray:
    """Return the fold, 0 to ``count`` - 1, of each post id, from a hash of it, so that folds are about equal.

    Not the id modulo ``count``: splits are ranges of the id modulo 1000, so a split would not have all folds
    alike.
    """
    return (id_hash.splitmix64(ids) % np.uint64(count)).astype(np.int64)
