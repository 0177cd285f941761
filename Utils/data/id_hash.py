"""Pseudo-random numbers that are functions of post ids: for folds, the order of records, how often one comes.

SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014). A post has the
same number on every machine and in every dataset, whatever other posts there are.
"""

import numpy as np
from numpy.typing import ArrayLike

_STEP = 0x9E3779B97F4A7C15


def splitmix64(ids: ArrayLike, seed: int = 0) -> np.ndarray:
    """Return a number for every id, uint64 of the same shape, evenly from 0 to 2^64 - 1."""
    value = np.asarray(ids, np.int64).astype(np.uint64)
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is intended
        value = value + np.uint64((seed + 1) * _STEP % 2**64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
        return value ^ (value >> np.uint64(31))


def uniform(ids: ArrayLike, *seeds: int) -> np.ndarray:
    """Return a number for every id, float64 of the same shape, evenly from 0 to below 1; by any seeds."""
    seed = 0
    for number in seeds:  # each seed is mixed into a state, so that (0, 1) and (1, 0) differ
        seed = int(splitmix64(seed ^ number % 2**63, 1)) >> 1
    return (splitmix64(ids, seed) >> np.uint64(11)) * 2.0**-53
