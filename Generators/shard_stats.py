"""Counts over the shards of a split: label frequencies, post ids, records.

``Utils.data.dataset_folder`` knows these of datasets made here; others have nothing but their shards.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from Generators.records import parse_batch, read_shards, record_ids
from Utils.command.cli import UserError
from Utils.data.dataset_folder import Dataset
from Utils.data.unknown_labels import UnknownLabels

LABELS_TO_PACK = 4096  # from which --packed-labels auto packs: 16 kB an image


def label_frequencies(
    dataset: Dataset,
    split: str,
    keep: Callable[[np.ndarray], Any] | None = None,
    unknown: UnknownLabels | None = None,
    max_records: int = 50_000,
) -> np.ndarray:
    """Return the share of a split's records that has each label, (num_labels,), above 0 and below 1.

    To the records of a label half a one is added that has it and half a one that has not (the Jeffreys prior
    of a share): the logit of a share of 0 or 1, with which a new classifier begins, would be infinite.

    Args:
        dataset: one without posts.parquet is counted over its first ``max_records`` records.
        split: train, validation or test.
        keep: ``keep(ids)`` of the records that count, None for all.
        unknown: labels of posts that count for neither.
        max_records: see ``dataset``.
    """
    positives, knowns = np.zeros(dataset.num_labels, np.int64), np.zeros(dataset.num_labels, np.int64)
    blocks = dataset.label_blocks(split)
    if blocks is None:
        blocks = _stored_labels(dataset, split, max_records)
    for ids, lengths, labels in blocks:
        if keep is not None:
            is_kept = np.asarray(keep(ids))
            ids, labels, lengths = ids[is_kept], labels[np.repeat(is_kept, lengths)], lengths[is_kept]
        positives += np.bincount(labels, minlength=dataset.num_labels)[: dataset.num_labels]
        knowns += len(ids)
        if unknown is not None:
            uncounted = _unknown_counts(ids, lengths, labels, unknown)
            positives -= uncounted[0]
            knowns -= uncounted[1]
    return (positives + 0.5) / (knowns + 1.0)


def counts(frequencies: np.ndarray, records: int) -> np.ndarray:
    """Return how many of so many records have each label, int64, from `label_frequencies` of them."""
    return np.maximum(np.rint(frequencies * (records + 1.0) - 0.5), 0).astype(np.int64)


def most_labels(dataset: Dataset, split: str) -> int:
    """Return how many labels a post of a split has at most; 0 without posts.parquet."""
    blocks = dataset.label_blocks(split)
    return max((int(lengths.max(initial=0)) for _, lengths, _ in blocks or ()), default=0)


def _stored_labels(dataset: Dataset, split: str, max_records: int) -> Iterator[tuple[np.ndarray, ...]]:
    """Yield (ids, numbers of labels, labels) of the first records of a split, as ``label_blocks`` does."""
    for serialized in read_shards(dataset.shards(split)).take(max_records).batch(256):
        batch = parse_batch(serialized)
        labels = batch["label_indexes"]
        yield batch["image_id"].numpy(), labels.row_lengths().numpy(), labels.values.numpy()


def _unknown_counts(
    ids: np.ndarray, lengths: np.ndarray, labels: np.ndarray, unknown: UnknownLabels
) -> tuple[np.ndarray, np.ndarray]:
    """Return how often each label is unknown where the records have it, and how often at all."""
    has_unknown = np.isin(ids, unknown.posts)
    listed_labels = np.split(labels[np.repeat(has_unknown, lengths)], np.cumsum(lengths[has_unknown])[:-1])
    counts = np.zeros((2, unknown.num_labels), np.int64)
    for post, post_labels in zip(ids[has_unknown], listed_labels, strict=False):
        mask = unknown.mask([post])[0]
        counts[0, post_labels] += mask[post_labels]
        counts[1] += mask
    return counts[0], counts[1]


def post_ids(dataset: Dataset, split: str) -> np.ndarray:
    """Return the post ids of a split in record order, int64 (N,).

    Reads all shards where the dataset has no list of them, for example one of the original project.
    """
    if dataset.has_post_ids(split):
        return dataset.post_ids(split)
    return np.concatenate([*record_ids(dataset.shards(split)), np.zeros(0, np.int64)])


def record_counts(
    dataset: Dataset, split: str, keep: Callable[[np.ndarray], Any] | None = None
) -> np.ndarray:
    """Return how many records of every shard of a split ``keep(ids)`` keeps, None for all: int64 (S,)."""
    counts = np.asarray(dataset.record_counts(split), np.int64)
    if keep is None:
        return counts
    ends = np.cumsum(counts)
    kept_before = np.concatenate([[0], np.cumsum(keep(post_ids(dataset, split)))])
    return kept_before[ends] - kept_before[ends - counts]


def room_for_packed_labels(dataset: Dataset, packed: str, has_unknown: bool, mixes: bool) -> int:
    """Return the room for labels of an image that travels to the device, 0 where all of them do.

    Args:
        dataset: the dataset.
        packed: ``--packed-labels``: auto, on or off.
        has_unknown: whether some labels are unknown, which have no place among packed ones.
        mixes: whether MixUp gives an image the labels of two.

    Raises UserError where --packed-labels on cannot be.
    """
    if packed == "off" or (packed == "auto" and dataset.num_labels < LABELS_TO_PACK):
        return 0
    most = (0 if has_unknown else most_labels(dataset, "train")) * (2 if mixes else 1)
    if 0 < 2 * most < dataset.num_labels:
        return most
    if packed == "on":
        raise UserError(
            "--packed-labels on needs a dataset with posts.parquet, no --unknown-labels, and images with far "
            f"fewer labels than tags; {dataset.folder} has {dataset.num_labels} tags, and an image has "
            f"{most or 'an unknown number of'} labels at most"
        )
    return 0
