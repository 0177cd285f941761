"""By how much a score is inflated by images whose near-duplicates were trained on: with, without them."""

import dataclasses

import numpy as np

from Utils.evaluation import bootstrap, scores

KINDS = ("all", "clean", "leaked")  # images scored
COLUMNS = ("images", "count", "F1", "low", "high", "inflation", "inflation_low", "inflation_high")


@dataclasses.dataclass(frozen=True)
class Leaks:
    """Micro F1 of a dump at one threshold, of all images and of two parts of them, with 95% intervals."""

    counts: dict  # by KINDS: images
    values: dict  # by KINDS: F1, NaN where there is none
    intervals: dict  # by KINDS: (low, high)
    inflation: float  # F1 of all images less F1 of the clean ones
    interval: tuple  # of that, both on the same resamples of the images

    def rows(self):
        """Return a row of COLUMNS for every kind; the inflation stands with all images."""
        nothing = (None,) * 3
        return [
            (kind, self.counts[kind], self.values[kind], *self.intervals[kind],
             *((self.inflation, *self.interval) if kind == "all" else nothing))
            for kind in KINDS
        ]  # fmt: skip


def leaked(groups, image_ids, trained):
    """Return which images are in a group with one that was trained on, or were themselves: bool (N,).

    Args:
        groups: DataFrame with columns group and post_id.
        image_ids: (N,) the images of a dump; trained: ids of the training images.
    """
    touched = groups.loc[groups["post_id"].isin(trained), "group"]
    members = groups.loc[groups["group"].isin(touched), "post_id"]
    return np.isin(image_ids, members) | np.isin(image_ids, trained)


def measure(dump, threshold, is_leaked, resamples=1000):
    """Return the `Leaks` of a dump; is_leaked: bool (N,)."""
    per_image = scores.count_per_image(dump.probabilities, dump.labels, threshold)
    drawn = bootstrap.weights(len(per_image), resamples)
    masks = dict(zip(KINDS, (np.ones_like(is_leaked), ~is_leaked, is_leaked), strict=True))
    values = {kind: float(_f1(per_image[mask].sum(axis=0))) for kind, mask in masks.items()}
    many = {kind: _f1(drawn[mask].T.astype(np.float64) @ per_image[mask]) for kind, mask in masks.items()}
    return Leaks(
        {kind: int(mask.sum()) for kind, mask in masks.items()},
        values,
        {kind: bootstrap.interval(found) for kind, found in many.items()},
        values["all"] - values["clean"],
        bootstrap.interval(many["all"] - many["clean"]),
    )


def _f1(counts):
    """Return F1 of (..., 3) TP, FP, FN."""
    return scores.f_beta(scores.Counts(*np.moveaxis(np.asarray(counts), -1, 0), 0))
