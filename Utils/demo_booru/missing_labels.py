"""Which true tags of a drawn booru nobody typed: at random, or more often those that people miss.

A study of incomplete labels starts from a booru whose labels are complete and drops some of them here, so
that the same posts exist with several shares of missing labels.
"""

import numpy as np

KINDS = ("random", "people")
# Odds of a missing label by what it names, beside those of a large thing with a frequent tag. Nobody has
# measured them for a booru; they are what the study assumes.
SMALL, BACKGROUND, RARE = 4.0, 3.0, 3.0
SMALLEST = 1 / 3  # share of the boxes that are small


def chances(share: float, areas: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return the chance of each label to be missing, float64 (N,), whose mean is ``share``.

    The odds are SMALL times as high where the thing is among the smallest third, BACKGROUND times where the
    tag has no box (a place, the weather, the style), RARE times where the tag's count is below the median of
    the counts that occur.

    Args:
        share: above 0 and below 1.
        areas: (N,) of the largest box of the tag in the picture, NaN where it has no box.
        counts: (N,) true images of the label's tag.
    """
    is_boxed = ~np.isnan(areas)
    is_small = is_boxed & (areas <= np.quantile(areas[is_boxed], SMALLEST)) if is_boxed.any() else is_boxed
    is_rare = counts < np.median(np.unique(counts))
    odds = np.where(is_small, SMALL, 1.0) * np.where(is_boxed, 1.0, BACKGROUND) * np.where(is_rare, RARE, 1.0)
    low, high = -30.0, 30.0  # of the logarithm of the odds of a large thing with a frequent tag
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _probabilities(odds, middle).mean() < share else (low, middle)
    return _probabilities(odds, low)


def _probabilities(odds: np.ndarray, log_scale: float) -> np.ndarray:
    scaled = odds * np.exp(log_scale)
    return scaled / (1 + scaled)


def is_missing(kind: str, share: float, areas: np.ndarray, counts: np.ndarray, seed: int) -> np.ndarray:
    """Return which labels are missing, bool (N,).

    Of one seed a label that is missing at one share is missing at any larger one.

    Args:
        kind: of KINDS; random takes each label with the same chance.
        share: 0 to 1.
        areas: as in `chances`.
        counts: as in `chances`.
        seed: of the draws.
    """
    draws = np.random.default_rng(seed).random(len(areas))
    if kind == "random" or not 0 < share < 1:
        return draws < share
    return draws < chances(share, areas, counts)
