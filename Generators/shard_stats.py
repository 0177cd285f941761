"""Counts over the shards of a split: label frequencies, post ids, records.

``Utils.data.dataset_folder`` knows these of datasets made here; others have nothing but their shards.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from Generators.pipeline import Records, shard_paths
from Generators.records import parse_batch, read_shards, record_ids
from Utils.data.dataset_folder import Dataset


def label_frequencies(records: Records, num_labels: int, max_records: int = 50_000) -> np.ndarray:
    """Return the share of the first records that has each label, (num_labels,), above 0 and below 1.

    Half a record is added that has all labels and half a one that has none: the logit of a share of 0 or 1,
    with which a new classifier begins, would be infinite. ``records`` is a glob or a list of shards.
    """
    total, counts = 0, np.full(num_labels, 0.5)
    for serialized in read_shards(shard_paths(records)).take(max_records).batch(256):
        labels = parse_batch(serialized)["label_indexes"]
        total += int(labels.nrows())
        counts += np.bincount(labels.values.numpy(), minlength=num_labels)[:num_labels]
    return counts / (total + 1)


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
