"""What a training takes of a dataset: which records, how often each, and which of their labels are known."""

import dataclasses
import sys
from collections.abc import Callable
from typing import Any, Literal

import numpy as np

from Generators import shard_stats
from Generators.batches import SoftLabels, UnknownMask
from Generators.host_sharding import Keep
from Utils.command.cli import UserError
from Utils.command.text import counted
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
        teacher: adds labels that records lack, before MixUp; None: nobody does.
    """

    keep: Keep | None = None
    unknown: UnknownLabels | None = None
    repeats: RepeatFactors | None = None
    teacher: SoftLabels | None = None

    @property
    def train_options(self) -> dict[str, Any]:
        """What ``Generators.train_dataset`` takes of them, beside the unknown labels."""
        return {"keep": self.keep, "repeats": self.repeats, "teacher": self.teacher}

    def batch_options(self, dataset: Dataset, image_size: int | None, batch_size: int) -> dict[str, Any]:
        """Return what ``Generators.train_dataset`` and ``eval_dataset`` both take."""
        sizes = {"num_labels": dataset.num_labels, "image_size": image_size, "batch_size": batch_size}
        return {**sizes, "unknown": self.unknown_mask}

    @property
    def unknown_mask(self) -> UnknownMask | None:
        """The unknown labels as the pipelines take them."""
        return self.unknown.mask if self.unknown else None


def choose(
    dataset: Dataset,
    read_teacher: Callable[..., SoftLabels] | None = None,
    *,
    fold: str,
    unknown_labels: str,
    sampling: Literal["uniform", "repeat_factor"],
    sampling_threshold: float | None,
    teacher: str,
    teacher_thresholds: str,
    teacher_weight: float,
    seed: int,
) -> TrainingRecords:
    """Return the records that a training takes; the arguments are fields of a recipe.

    ``read_teacher(tags, teacher, thresholds, weight, post_ids, labels)`` reads a teacher for the training
    posts, as ``Utils.evaluation.soft_labels.read``.

    Raises UserError for a malformed fold, and for unknown labels of other tags or of all posts and tags or,
    where the dataset has a list of its posts, of other posts.
    """
    left_out = folds.parse(fold)
    keep = left_out.excludes if left_out else None
    unknown = read_unknown_labels(unknown_labels, dataset.tags) if unknown_labels else None
    if unknown:
        _require_known(dataset, unknown, keep, f"--unknown-labels {unknown_labels}")
        _report_others(dataset, unknown, keep, f"--unknown-labels {unknown_labels}")
    repeats = None
    if sampling == "repeat_factor":
        repeats = shard_stats.repeat_factors(dataset, "train", sampling_threshold, seed, keep, unknown)
    if not (teacher and read_teacher):
        return TrainingRecords(keep, unknown, repeats)
    ids = shard_stats.post_ids(dataset, "train")
    ids = ids if keep is None else ids[keep(ids)]
    labels = shard_stats.label_blocks(dataset, "train", keep)
    soft_labels = read_teacher(dataset.tags, teacher, teacher_thresholds, teacher_weight, ids, labels)
    return TrainingRecords(keep, unknown, repeats, soft_labels)


def _require_known(dataset: Dataset, unknown: UnknownLabels, keep: Keep | None, what: str) -> None:
    """Raise UserError where unknown labels are of none of the training posts, or are all of theirs."""
    if dataset.has_post_ids("train") and not np.isin(unknown.posts, dataset.post_ids("train")).any():
        raise UserError(f"{what} names none of the training posts")
    if keep is None and len(unknown.posts) < dataset.num_records("train") * unknown.num_labels:
        return
    ids = np.unique(shard_stats.post_ids(dataset, "train"))
    ids = ids if keep is None else ids[keep(ids)]
    pairs = np.stack([unknown.posts, unknown.labels])[:, np.isin(unknown.posts, ids)]
    if len(ids) and np.unique(pairs, axis=1).shape[1] == len(ids) * unknown.num_labels:
        raise UserError(
            f"{what} names all {len(ids) * unknown.num_labels:,} labels that the {len(ids):,} training posts "
            f"have ({unknown.num_labels:,} tags each): there is nothing to train on; leave some out"
        )


def _report_others(dataset: Dataset, unknown: UnknownLabels, keep: Keep | None, what: str) -> None:
    """Say how many labels the list has otherwise: corrected since, or of other pictures with the same ids."""
    if unknown.listed is None:
        return
    differing, total = shard_stats.other_labels(shard_stats.label_blocks(dataset, "train", keep), unknown)
    if differing:
        print(
            f"{what}: {differing:,} of {counted(total, 'label')} were others when they were listed (column "
            "label): they were corrected since, or the list is of other pictures, whose ids are the same",
            file=sys.stderr,
        )
