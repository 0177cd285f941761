"""Whether two sides that name posts by id mean the same pictures.

Folders of pictures are often numbered alike (1.jpg, 2.jpg, ...), so that a file about one applies to another
without a word. The rule, wherever both sides know labels of the posts:

- Labels of the posts and of the tags (by name) that both have are compared.
- Where they have no more in common than by chance (`Overlap.share` below LEAST), the file is refused: it is
  of other pictures.
- Labels that were corrected, completed or lost on one side leave the share near 1, and are at most counted.
- Few labels, or tags that all posts have, tell nothing, and neither does a file without labels.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from Utils.command.cli import UserError
from Utils.command.text import counted
from Utils.data.dataset_folder import Dataset, LabelBlock
from Utils.data.definition import SPLITS
from Utils.evaluation.chunked_matrix import BLOCK_ROWS, Matrix, row_blocks
from Utils.tags import tag_matching

LEAST = 0.2  # the share of common labels below which two sides mean other pictures
FEWEST = 10  # labels in common, beyond those of chance, that must be possible for a share
MOST_POSTS = 65_536  # are compared


class Overlap:
    """What labels of two sides have in common, added up block by block.

    Attributes:
        posts: how many were compared.
        differing: of how many a label differs.
    """

    def __init__(self) -> None:
        self.posts = self.differing = self._both = 0
        self._trues: np.ndarray | None = None  # (2, K) labels of either side by tag

    def add(self, first: np.ndarray, second: np.ndarray) -> None:
        """Add labels of the same posts and tags, two arrays (B, K); anything but 0 is true."""
        first, second = first != 0, second != 0
        trues = np.stack([np.count_nonzero(side, axis=0) for side in (first, second)])
        self._trues = trues if self._trues is None else self._trues + trues
        self.posts += len(first)
        self.differing += int((first != second).any(axis=1).sum())
        self._both += int(np.count_nonzero(first & second))

    @property
    def share(self) -> float:
        """Labels in common, from 0 (as by chance) to 1 (all that can be); NaN where too few tell.

        Cohen's kappa of all labels together, but that the side with fewer labels of a tag may lack some:
        ``(both - chance) / (most - chance)`` with ``chance = sum a_j b_j / N``, ``most = sum min(a_j, b_j)``.
        """
        if self._trues is None or not self.posts:
            return math.nan
        chance = float((self._trues[0] * self._trues[1].astype(np.float64)).sum()) / self.posts
        possible = float(self._trues.min(axis=0).sum()) - chance
        return (self._both - chance) / possible if possible >= FEWEST else math.nan

    @property
    def is_of_others(self) -> bool:
        """Whether the sides mean other pictures."""
        return self.share < LEAST

    def require(self, first: object, second: object) -> None:
        """Raise UserError, which names both sides, where they mean other pictures."""
        if self.is_of_others:
            share = round(self.share, 2) + 0.0  # not -0
            raise UserError(
                f"{first} and {second} have the same post ids (or rows), but not the same pictures: of "
                f"{counted(self.posts, 'post')} compared, {self.differing:,} have other labels, and the "
                f"labels have no more in common than by chance ({share:.2f}; 1 is all). Pictures numbered "
                "1, 2, 3 in two folders share their ids: give the files of one folder"
            )


def compare(first: Matrix, second: Matrix) -> Overlap:
    """Return the `Overlap` of the first rows of two matrices of labels (N, K) of the same posts and tags."""
    overlap = Overlap()
    for blocks in row_blocks(first, second):
        overlap.add(*blocks)
        if overlap.posts >= MOST_POSTS:
            break
    return overlap


class Rows:
    """Finds posts among ids (N,), each of which is there once."""

    def __init__(self, ids: np.ndarray) -> None:
        self._ids, self._order = np.asarray(ids, np.int64), np.argsort(ids, kind="stable")

    def __call__(self, posts: np.ndarray) -> np.ndarray:
        """Return the row of each post, int64 (B,), -1 for one that is not there."""
        if not len(self._ids):
            return np.full(len(posts), -1, np.int64)
        places = np.searchsorted(self._ids, posts, sorter=self._order)
        rows = self._order[np.minimum(places, len(self._ids) - 1)]
        return np.where(self._ids[rows] == posts, rows, -1)


def compare_posts(
    blocks: Iterable[LabelBlock],
    columns: np.ndarray,
    rows_of: Callable[[np.ndarray], np.ndarray],
    labels_of: Callable[[np.ndarray], np.ndarray],
) -> Overlap:
    """Return the `Overlap` of a dataset's labels with others of the same posts.

    Args:
        blocks: labels of the dataset's posts.
        columns: (K,) the dataset's labels that are compared.
        rows_of: gives the other side's rows of post ids (B,), -1 for posts that it lacks.
        labels_of: gives the labels (B, K) of its rows (B,).
    """
    overlap, place_of = Overlap(), np.full(int(columns.max(initial=-1)) + 1, -1, np.int64)
    place_of[columns] = np.arange(len(columns))
    for ids, lengths, labels in blocks:
        posts = np.repeat(np.arange(len(ids)), lengths)
        is_compared = labels < len(place_of)
        is_compared[is_compared] = place_of[labels[is_compared]] >= 0
        posts, labels, rows = posts[is_compared], place_of[labels[is_compared]], rows_of(ids)
        for start in range(0, len(ids), BLOCK_ROWS):
            part = slice(*np.searchsorted(posts, [start, start + BLOCK_ROWS]))
            block = np.zeros((min(BLOCK_ROWS, len(ids) - start), len(columns)), bool)
            block[posts[part] - start, labels[part]] = True
            other = rows[start : start + BLOCK_ROWS]
            overlap.add(labels_of(other[other >= 0]), block[other >= 0])
            if overlap.posts >= MOST_POSTS:
                return overlap
    return overlap


def compare_datasets(dataset: Dataset, other: Dataset) -> Overlap:
    """Return the `Overlap` of the labels of two datasets, by post id and by the names of tags.

    No post is compared where one of them has no list of its posts.
    """
    of_other = tag_matching.matching_rows(dataset.tags, other.tags, by_id=False)
    columns = np.flatnonzero(of_other >= 0)
    blocks, ids = [], np.empty(0, np.int64)
    for block in label_blocks(dataset):
        blocks.append(block)
        ids = np.concatenate([ids, block[0]])
        if len(ids) >= MOST_POSTS:
            break
    parts = [(ids[:0], ids[:0], ids[:0])]
    for posts, lengths, labels in label_blocks(other):
        is_asked = np.isin(posts, ids)
        parts.append((posts[is_asked], lengths[is_asked], labels[np.repeat(is_asked, lengths)]))
    posts, lengths, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    ends = np.cumsum(lengths)

    def labels_of(rows: np.ndarray) -> np.ndarray:
        dense = np.zeros((len(rows), other.num_labels), bool)
        for place, row in enumerate(rows.tolist()):
            dense[place, labels[ends[row] - lengths[row] : ends[row]]] = True
        return dense[:, of_other[columns]]

    return compare_posts(blocks, columns, Rows(posts), labels_of)


def label_blocks(dataset: Dataset) -> Iterator[LabelBlock]:
    """Yield the labels of all posts of a dataset, block by block; none without a list of its posts."""
    return itertools.chain.from_iterable(dataset.label_blocks(split) or () for split in SPLITS)
