"""Which hashes are near one another, of millions: an index of faiss, so that no two by two are compared.

Up to EXACT hashes are searched through. More go into tables by runs of 20 bits: hashes that agree in one run,
but for one bit, are compared (Norouzi, Punjani and Fleet, Fast Exact Search in Hamming Space with Multi-Index
Hashing, 2014). Where 19 of 192 bits differ at random, 97 of 100 hashes have one such run of seven.
"""

import numpy as np

from Utils.command.cli import progress

RADIUS = 28  # bits of 192 that may differ
MOST = 16  # neighbors of each hash
EXACT = 30_000
_RUN, _RUNS = 20, 7
_WINDOW = 8  # of images with one hash, each is paired with so many before it
_BLOCK = 1 << 16


def pairs(hashes, radius=RADIUS, most=MOST, label="neighbors"):
    """Return pairs of rows whose hashes differ in up to ``radius`` bits: rising int64 (P, 2), first < second.

    Args:
        hashes: (N, B) uint8.
        most: the nearest so many different hashes of each are looked at, so that what is alike in a thousand
            images does not make a million pairs.
    """
    if not len(hashes):
        return np.zeros((0, 2), np.int64)
    hashes = np.ascontiguousarray(hashes)
    words = hashes.view(np.dtype((np.void, hashes.shape[1]))).ravel()
    _, first, same = np.unique(words, return_index=True, return_inverse=True)
    found = [_equal(same), *_near(hashes[first], first, radius, most, label)]
    return distinct(np.concatenate(found))


def distinct(pairs):
    """Return pairs (P, 2) once each, the smaller row first, rising."""
    low, high = pairs.min(axis=1, initial=2**62), pairs.max(axis=1, initial=-1)
    keys = np.unique(low[low != high] << 32 | high[low != high])
    return np.stack([keys >> 32, keys & 0xFFFFFFFF], axis=1)


def _equal(same):
    """Return pairs of rows with one hash, each with some before it."""
    order = np.argsort(same, kind="stable")
    found = [np.zeros((0, 2), np.int64)]
    for back in range(1, _WINDOW + 1):
        alike = same[order[back:]] == same[order[:-back]]
        found.append(np.stack([order[:-back][alike], order[back:][alike]], axis=1))
    return np.concatenate(found)


def _near(hashes, rows, radius, most, label):
    """Yield pairs of rows of different hashes (M, B), whose rows are given."""
    index = _index(hashes)
    starts = range(0, len(hashes), _BLOCK)
    for at in progress(starts, label=label, unit=f"{_BLOCK} hashes"):
        distances, found = index.search(hashes[at : at + _BLOCK], min(most + 1, len(hashes)))
        query, rank = np.nonzero((found >= 0) & (distances <= radius))  # itself too, which `distinct` drops
        yield np.stack([rows[query + at], rows[found[query, rank]]], axis=1)


def _index(hashes):
    import faiss

    bits = 8 * hashes.shape[1]
    if len(hashes) <= EXACT:
        index = faiss.IndexBinaryFlat(bits)
    else:
        index = faiss.IndexBinaryMultiHash(bits, min(_RUNS, bits // _RUN), _RUN)
        index.nflip = 1
    index.add(hashes)
    return index
