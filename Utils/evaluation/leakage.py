"""Leakage: the score with and without the images whose near-duplicates were trained on."""

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from Utils.evaluation import bootstrap, scores
from Utils.evaluation.chunked_matrix import Matrix

SUBSETS = ("all", "clean", "leaked")  # of the images
COLUMNS = ("images", "count", "F1", "low", "high", "inflation", "inflation_low", "inflation_high")


@dataclasses.dataclass(frozen=True)
class Leakage:
    """Micro F1 of predictions at one threshold, of all images and of two subsets, with 95% intervals.

    The field names are those of the report's JSON.
    """

    counts: dict[str, int]  # by SUBSETS: images
    values: dict[str, float]  # by SUBSETS: F1, NaN if there is none
    intervals: dict[str, tuple[float, float]]  # by SUBSETS: (low, high)
    inflation: float  # F1 of all images less F1 of the clean ones
    interval: tuple[float, float]  # of that, both on the same resamples of the images

    def rows(self) -> list[tuple]:
        """Return a row of COLUMNS for every subset; the row of all images has the inflation."""
        nothing = (None,) * 3
        return [
            (name, self.counts[name], self.values[name], *self.intervals[name],
             *((self.inflation, *self.interval) if name == "all" else nothing))
            for name in SUBSETS
        ]  # fmt: skip


def find_leaked(groups: pd.DataFrame, image_ids: np.ndarray, trained: Any) -> np.ndarray:
    """Return which images share a group with a training image, or are one: bool (N,).

    Args:
        groups: with columns group and post_id.
        image_ids: (N,) of the images that are scored.
        trained: ids of the training images.
    """
    trained_groups = groups.loc[groups["post_id"].isin(trained), "group"]
    members = groups.loc[groups["group"].isin(trained_groups), "post_id"]
    return np.isin(image_ids, members) | np.isin(image_ids, trained)


def score(
    probabilities: Matrix, labels: Matrix, threshold: Any, leaked: np.ndarray, resamples: int = 1000
) -> Leakage:
    """Return the `Leakage` of predictions (N, L) at a threshold; leaked: bool (N,), from `find_leaked`."""
    per_image = scores.count_per_image(probabilities, labels, threshold)
    counts = bootstrap.resample_counts(len(per_image), resamples)
    masks = dict(zip(SUBSETS, (np.ones_like(leaked), ~leaked, leaked), strict=True))
    values = {name: float(_f1(per_image[mask].sum(axis=0))) for name, mask in masks.items()}
    resampled = {
        name: _f1(counts[mask].T.astype(np.float64) @ per_image[mask]) for name, mask in masks.items()
    }
    return Leakage(
        {name: int(mask.sum()) for name, mask in masks.items()},
        values,
        {name: bootstrap.interval(f1) for name, f1 in resampled.items()},
        values["all"] - values["clean"],
        bootstrap.interval(resampled["all"] - resampled["clean"]),
    )


def _f1(counts: np.ndarray) -> np.ndarray:
    """Return F1 of (..., 3) TP, FP, FN."""
    tp, fp, fn = np.moveaxis(np.asarray(counts), -1, 0)
    return scores.f_beta(scores.Counts(tp, fp, fn, 0))
