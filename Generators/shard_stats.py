"""What shards hold, counted: for datasets that have nothing but their shards."""

import numpy as np

from Generators.pipeline import shard_paths
from Generators.records import parse_batch, record_ids, stored


def frequencies(records, num_labels, most=50_000):
    """Return the share of the first ``most`` records that has each label, (num_labels,), above 0 and below 1.

    Half a record more has every label, half a one less. ``records`` is a glob or a list of shards.
    """
    total, counts = 0, np.full(num_labels, 0.5)
    for serialized in stored(shard_paths(records)).take(most).batch(256):
        labels = parse_batch(serialized)["label_indexes"]
        total += int(labels.nrows())
        counts += np.bincount(labels.values.numpy(), minlength=num_labels)[:num_labels]
    return counts / (total + 1)


def post_ids(dataset, split):
    """Return the post ids of a split of a ``Utils.data.dataset_folder.Dataset`` in record order, int64 (N,).

    Of a dataset that has no list of them, such as shards of the original project, all shards are read.
    """
    if dataset.has_post_ids(split):
        return dataset.post_ids(split)
    return np.concatenate([*record_ids(dataset.shards(split)), np.zeros(0, np.int64)])


def record_counts(dataset, split, keep=None):
    """Return how many records of every shard of a split ``keep(ids)`` keeps, None for all: int64 (S,).

    Arguments as of ``post_ids``.
    """
    counts = np.asarray(dataset.record_counts(split), np.int64)
    if keep is None:
        return counts
    ends = np.cumsum(counts)
    before = np.concatenate([[0], np.cumsum(keep(post_ids(dataset, split)))])
    return before[ends] - before[ends - counts]
