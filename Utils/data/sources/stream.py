"""The stream of posts that every source gives: blocks in the order of the post ids, in bounded memory."""

import dataclasses
from collections.abc import Callable

import numpy as np
import pandas as pd

BLOCK = 8192  # posts; 30 tags each are 2 MB
LARGEST_ID = 2**63 - 1


@dataclasses.dataclass(frozen=True)
class Block:
    """Some posts in the order of their ids; P posts with T tags together."""

    ids: np.ndarray  # (P,) int64, rising
    ratings: np.ndarray  # (P,) the code point of g, s, q, e; 0 where there is no rating
    status: np.ndarray  # (P,) bit i: the post has STATUSES[i]
    offsets: np.ndarray  # (P + 1,) post i has tag_ids[offsets[i]:offsets[i + 1]], rising
    tag_ids: np.ndarray  # (T,) int64
    paths: list | None = None  # relative to the image folder, where the source itself found the files
    keys: np.ndarray | None = None  # (P,) folders.stem_key of the file's other name (its MD5), 0 for none


@dataclasses.dataclass(frozen=True)
class Source:
    """Posts and tags of a booru, a folder, an export."""

    kind: str
    path: str
    tags: pd.DataFrame  # tag_id, name, category, count; every id once
    num_posts: int
    blocks: Callable  # () -> iterator of Block, rising ids over all blocks
    rating_counts: Callable  # () -> {letter: posts}
    keep_unrated: bool = False  # whether a post without a rating passes the rating rule
    rejected: tuple = ()  # (post id, path, reason) of what never became a post


def rising(sizes, values):
    """Sort the values of every post and drop repeated ones, where that is not so already.

    Args:
        sizes: (P,) number of values of each post; ``values``: (T,) post after post.

    Returns ``(offsets (P + 1,), values)``.
    """
    post = np.repeat(np.arange(len(sizes)), sizes)
    inside = post[1:] == post[:-1]
    if (inside & (values[1:] <= values[:-1])).any():
        order = np.lexsort((values, post))
        values, post = values[order], post[order]
        fresh = np.concatenate([[True], (post[1:] != post[:-1]) | (values[1:] != values[:-1])])
        values, post = values[fresh], post[fresh]
        sizes = np.bincount(post, minlength=len(sizes))
    return np.concatenate([[0], np.cumsum(sizes)]), values
