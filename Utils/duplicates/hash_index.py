"""Finds pairs of near hashes among millions with a faiss index, instead of comparing all pairs.

Up to MAX_EXACT hashes are compared exhaustively. More go into hash tables by runs of 20 bits: hashes that
agree in one run, or in all but one bit of it, are compared (Norouzi, Punjani and Fleet, Fast Exact Search in
Hamming Space with Multi-Index Hashing, 2014). If 19 of 192 bits differ at random, 97 of 100 hashes have such
a run among seven.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from Utils.command.cli import progress

if TYPE_CHECKING:
    import faiss

RADIUS = 28  # bits of 192 that may differ
MAX_NEIGHBORS = 16  # of each hash
MAX_EXACT = 30_000

_RUN_BITS, _NUM_RUNS = 20, 7
_WINDOW = 8  # equal hashes: each is paired with this many before it
_QUERIES = 1 << 16  # at a time


def near_pairs(
    hashes: np.ndarray, radius: int = RADIUS, max_neighbors: int = MAX_NEIGHBORS, label: str = "neighbors"
) -> np.ndarray:
    """Return pairs of rows whose hashes are near: int64 (P, 2), ascending, first < second.

    Args:
        hashes: (N, B) uint8.
        radius: bits in which near hashes may differ.
        max_neighbors: of each hash, the nearest different hashes, so that what is alike in a thousand images
            does not make a million pairs.
        label: for the progress bar.
    """
    if not len(hashes):
        return np.zeros((0, 2), np.int64)
    hashes = np.ascontiguousarray(hashes)
    words = hashes.view(np.dtype((np.void, hashes.shape[1]))).ravel()  # one item a hash, for np.unique
    _, first_rows, unique_rows = np.unique(words, return_index=True, return_inverse=True)
    different = _near_pairs(hashes[first_rows], first_rows, radius, max_neighbors, label)
    return _unique_pairs(np.concatenate([_equal_pairs(unique_rows), *different]))


def _unique_pairs(pairs: np.ndarray) -> np.ndarray:
    """Return each pair (P, 2) once, ascending, the smaller row first; a row paired with itself is dropped."""
    low, high = pairs.min(axis=1, initial=2**62), pairs.max(axis=1, initial=-1)
    keys = np.unique(low[low != high] << 32 | high[low != high])
    return np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1)


def _equal_pairs(unique_rows: np.ndarray) -> np.ndarray:
    """Return pairs of rows with one hash, each with some before it."""
    order = np.argsort(unique_rows, kind="stable")
    pairs = [np.zeros((0, 2), np.int64)]
    for distance in range(1, _WINDOW + 1):
        is_equal = unique_rows[order[distance:]] == unique_rows[order[:-distance]]
        pairs.append(np.stack([order[:-distance][is_equal], order[distance:][is_equal]], axis=1))
    return np.concatenate(pairs)


def _near_pairs(
    hashes: np.ndarray, rows: np.ndarray, radius: int, max_neighbors: int, label: str
) -> Iterator[np.ndarray]:
    """Yield pairs of near hashes among different ones (M, B), as pairs of their ``rows``."""
    index = _build_index(hashes)
    starts = range(0, len(hashes), _QUERIES)
    for start in progress(starts, label=label, unit=f"x {_QUERIES} hashes"):
        queries = hashes[start : start + _QUERIES]
        # One neighbor more: the nearest is mostly the hash itself.
        distances, neighbors = index.search(queries, min(max_neighbors + 1, len(hashes)))  # pyright: ignore[reportCallIssue]  faiss' Python layer has other arguments
        query, rank = np.nonzero((neighbors >= 0) & (distances <= radius))
        yield np.stack([rows[query + start], rows[neighbors[query, rank]]], axis=1)


def _build_index(hashes: np.ndarray) -> "faiss.IndexBinary":
    import faiss  # 0.3 s that no other command should pay

    bits = 8 * hashes.shape[1]
    if len(hashes) <= MAX_EXACT:
        index = faiss.IndexBinaryFlat(bits)
    else:
        index = faiss.IndexBinaryMultiHash(bits, min(_NUM_RUNS, bits // _RUN_BITS), _RUN_BITS)
        index.nflip = 1
    index.add(hashes)  # pyright: ignore[reportCallIssue]
    return index
