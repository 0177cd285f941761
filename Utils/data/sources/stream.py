"""The interface of all sources: a stream of post blocks in the order of post ids, in bounded memory."""

import dataclasses
from collections.abc import Callable, Collection, Iterator

import numpy as np
import pandas as pd

BLOCK_SIZE = 8192  # posts; with 30 tags each the tag ids of a block are 2 MB


@dataclasses.dataclass(frozen=True)
class PostBlock:
    """Some posts in the order of their ids: P posts that have T tags together."""

    ids: np.ndarray  # (P,) int64, ascending
    ratings: np.ndarray  # (P,) the code point of g, s, q, e or SAFE; 0 for a post without a rating
    status: np.ndarray  # (P,) bit i is set where the post has STATUSES[i]
    offsets: np.ndarray  # (P + 1,) post i has tag_ids[offsets[i]:offsets[i + 1]], ascending
    tag_ids: np.ndarray  # (T,) int64
    paths: list[str] | None = (
        None  # relative to the image folder, from sources that find the files themselves
    )
    keys: np.ndarray | None = (
        None  # (P,) picture_index.stem_key of the file's MD5, or (P, 4) file_keys of its name; 0 without one
    )


@dataclasses.dataclass(frozen=True)
class Source:
    """Posts and tags of a booru, a folder or an export."""

    kind: str
    path: str
    tags: pd.DataFrame  # tag_id, name, category, count; every id once
    num_posts: int
    blocks: Callable[[], Iterator[PostBlock]]  # ids rise over all blocks; every call begins a new pass
    rating_counts: Callable[[], dict[str, int]]  # letter -> posts
    has_names: bool = False  # whether posts are found by a file's name or path, which keys stands for
    file_name: str = ""  # of a picture, as the first record that names one has it
    # Of some ids, the names of the files of those posts that have nothing but these.
    names_of: Callable[[Collection[int]], dict[int, str]] = lambda _: {}
    keep_unrated: bool = False  # whether a post without a rating passes the rating rule
    rejected: tuple[tuple[int, str, str], ...] = ()  # (post id, path, reason) of records that became no post
    notes: tuple[str, ...] = ()  # what was recognized and what was left out, each a sentence to print
    passed_by: str = ""  # what an image folder holds beside its pictures, as `image_folder.Census` says it


def sort_each_row(sizes: np.ndarray, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sort the values of every row and drop repeated ones.

    Args:
        sizes: (R,) number of values of each row.
        values: (V,) integers, row after row.

    Returns ``(offsets (R + 1,), values)``. Nothing is copied where the values are sorted already, as
    databases mostly give them.
    """
    rows = np.repeat(np.arange(len(sizes)), sizes)
    is_same_row = rows[1:] == rows[:-1]
    if (is_same_row & (values[1:] <= values[:-1])).any():
        order = np.lexsort((values, rows))
        values, rows = values[order], rows[order]
        is_new = np.concatenate([[True], (rows[1:] != rows[:-1]) | (values[1:] != values[:-1])])
        values, rows = values[is_new], rows[is_new]
        sizes = np.bincount(rows, minlength=len(sizes))
    return np.concatenate([[0], np.cumsum(sizes)]), values
