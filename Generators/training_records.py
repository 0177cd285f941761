"""What a training takes of a dataset: which records, how often each, and which of their labels are known."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from Generators import shard_stats
from Generators.batches import UnknownMask
from Generators.host_sharding import Keep
from Utils.data import folds
from Utils.data.dataset_folder import Dataset
from Utils.data.repeat_factors import RepeatFactors
from Utils.data.unknown_labels import UnknownLabels
from Utils.data.unknown_labels import read as read_unknown_labels


@dataclasses.dataclass(frozen=True)
class TrainingRecords:
    """The records of the training split; made by `choose`.

    Attributes:
        keep: which are trained on, by post id; None: all.
        unknown: labels of posts that count nothing; None: all are known.
        repeats: how often each comes in a pass; None: once.
        teacher: adds labels that records lack, a ``batches.SoftLabels``; None: nobody does.
    """

    keep: Keep | None = None
    unknown: UnknownLabels | None = None
    repeats: RepeatFactors | None = None
    teacher: Any = None

    @property
    def unknown_mask(self) -> UnknownMask | None:
        """The unknown labels as the pipelines take them."""
        return self.unknown.mask if self.unknown else None


def choose(
    dataset: Dataset,
    *,
    fold: str,
    unknown_labels: str,
    sampling: Literal["uniform", "repeat_factor"],
    sampling_threshold: float | None,
    seed: int,
    read_teacher: Callable[[np.ndarray], Any] | None = None,
) -> TrainingRecords:
    """Return the records that a training takes; the arguments are fields of a recipe.

    ``read_teacher(post_ids)`` gives the teacher of the training posts.

    Raises UserError for a malformed fold or a file of unknown labels that does not fit.
    """
    left_out = folds.parse(fold)
    keep = left_out.excludes if left_out else None
    unknown = read_unknown_labels(unknown_labels, dataset.tags) if unknown_labels else None
    repeats = None
    if sampling == "repeat_factor":
        repeats = shard_stats.repeat_factors(dataset, "train", sampling_threshold, seed, keep, unknown)
    teacher = None
    if read_teacher is not None:
        ids = shard_stats.post_ids(dataset, "train")
        teacher = read_teacher(ids if keep is None else ids[keep(ids)])
    return TrainingRecords(keep, unknown, repeats, teacher)
