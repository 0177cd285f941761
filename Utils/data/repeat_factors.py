"""Repeat factors: records with rare tags are trained on more than once in a pass (LVIS, arXiv:1908.03195).

A tag c that the share f(c) of the records has gets ``r(c) = max(1, sqrt(t / f(c)))``, a record the largest
factor of its tags, a record without tags 1. In a pass it comes ``floor(r)`` times, or once more with the
probability that is left over, drawn from (seed, pass, post id) alone: any machine and any number of hosts
draws the same, and a run continues at any step.

IRFS (arXiv:2305.08069) puts in the place of f(c) the geometric mean of the shares of images and of instances.
A tag is in an image or not, once, so its share of all instances is f(c) / m with m tags an image, and the
mean is f(c) / sqrt(m) for every tag: IRFS is here the rule above with the threshold ``t sqrt(m)``.
"""

import functools
import hashlib
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from Utils.data import id_hash


def default_threshold(frequencies: np.ndarray) -> float:
    """Return the median frequency of the tags that some record has: the rarer half is repeated.

    LVIS takes 0.001 for 100,000 pictures with 1,200 categories; in a dataset of 3,000 pictures no tag is as
    rare, in one of 5 million most are.
    """
    present = frequencies[frequencies > 0]
    return float(np.median(present)) if len(present) else 0.0


def of_tags(frequencies: np.ndarray, threshold: float) -> np.ndarray:
    """Return the repeat factor of every tag, float64 (num_labels,); 1 for a tag that no record has.

    Args:
        frequencies: (num_labels,) the share of the records that has each tag, 0 to 1.
        threshold: t, the share below which a tag is repeated.
    """
    shares = np.where(frequencies > 0, frequencies, np.inf)
    return np.maximum(1.0, np.sqrt(threshold / shares))


def of_records(label_factors: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the repeat factor of every record, float64 (N,): the largest of its labels, 1 without any.

    Args:
        label_factors: (sum of lengths,) of the labels of all records, one record after another.
        lengths: (N,) how many labels each record has.
    """
    factors, has_labels = np.ones(len(lengths)), lengths > 0
    starts = (np.cumsum(lengths) - lengths)[has_labels]
    if len(starts):
        factors[has_labels] = np.maximum.reduceat(label_factors, starts)
    return factors


class RepeatFactors:
    """How often each record of a split comes in a pass.

    Args:
        ids: (N,) post ids, int64, in the order of the records.
        factors: (N,) at least 1.
        seed: of the draws.
        threshold: by which the factors were made; only told.
    """

    def __init__(self, ids: np.ndarray, factors: np.ndarray, seed: int, threshold: float = 0.0) -> None:
        self.ids, self.factors = np.asarray(ids, np.int64), np.asarray(factors, np.float32)
        self.seed, self.threshold = seed, threshold
        self._order = np.argsort(self.ids, kind="stable")
        self.factors = self.of(self.ids)  # records of one id have one factor: they are looked up by it
        # The streams of a pass ask one after another, and two passes may overlap.
        self._of_pass: Callable[[int], np.ndarray] = functools.lru_cache(3)(self._drawn_for_pass)

    def _drawn_for_pass(self, pass_number: int) -> np.ndarray:
        return self._drawn(self.ids, self.factors, pass_number)

    def _drawn(self, ids: np.ndarray, factors: np.ndarray, pass_number: int) -> np.ndarray:
        smaller = np.floor(factors)
        draws = id_hash.uniform(ids, self.seed, pass_number)
        return smaller.astype(np.int64) + (draws < factors - smaller)

    def of(self, ids: ArrayLike) -> np.ndarray:
        """Return the factors of posts, float32 of the shape of ``ids``; 1 for a post that is not known."""
        ids = np.asarray(ids, np.int64)
        places = np.searchsorted(self.ids, ids, sorter=self._order)
        rows = self._order[np.minimum(places, len(self.ids) - 1)]
        return np.where(self.ids[rows] == ids, self.factors[rows], np.float32(1))

    def copies(self, ids: ArrayLike, pass_number: int) -> np.ndarray:
        """Return how often posts come in a pass, int64 of the shape of ``ids``."""
        ids = np.asarray(ids, np.int64)
        return self._drawn(ids, self.of(ids), int(pass_number))

    def of_pass(self, pass_number: int) -> np.ndarray:
        """Return how often every record comes in a pass, int64 (N,)."""
        return self._of_pass(int(pass_number))

    def shard_counts(self, counts: np.ndarray, pass_number: int) -> np.ndarray:
        """Return how many records of every shard a pass has, repeats counted, for shards of ``counts``."""
        ends = np.cumsum(counts)
        sums = np.concatenate([[0], np.cumsum(self.of_pass(pass_number))])
        return sums[ends] - sums[ends - counts]

    @property
    def images(self) -> int:
        """Images of a pass, repeats counted, on average."""
        return round(float(self.factors.sum(dtype=np.float64)))

    @property
    def digest(self) -> str:
        """SHA-256 of ids and factors: whether a run may continue with them."""
        return hashlib.sha256(self.ids.tobytes() + self.factors.tobytes()).hexdigest()

    @property
    def text(self) -> str:
        """What is repeated, in words."""
        repeated = int((self.factors > 1).sum())
        if not repeated:
            return f"no record is repeated: none has a tag rarer than {self.threshold:.3g} of the records"
        return (
            f"{repeated:,} of {len(self.ids):,} records, those with a tag rarer than {self.threshold:.3g} of "
            f"them, are repeated, up to {self.factors.max():.1f} times: {self.images:,} images a pass"
        )
