"""Generators/shard_stats.py: what shards hold, where the dataset folder does not say it."""

import helpers
import numpy as np
import pytest

from Generators import records, shard_stats
from Utils.data import dataset_folder


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """One of the original project, which has nothing but shards: posts 0 to 11 in two of 6 each."""
    return dataset_folder.load(helpers.dotted_shards(tmp_path_factory.mktemp("data"), train=12))


def test_post_ids_and_counts(dataset):
    assert shard_stats.post_ids(dataset, "train").tolist() == list(range(12))
    assert shard_stats.record_counts(dataset, "train").tolist() == [6, 6]
    assert shard_stats.record_counts(dataset, "train", lambda ids: ids % 5 == 0).tolist() == [2, 1]
    assert shard_stats.record_counts(dataset, "train", lambda ids: ids > 5).tolist() == [0, 6]


def test_label_frequencies_are_never_0_or_1(tmp_path):
    shard = tmp_path / "x.tfrecord"
    lists = [[0], [0, 2], [0], [0, 2]]
    helpers.write_tfrecord(shard, [records.encode(i, b"", labels) for i, labels in enumerate(lists)])
    assert shard_stats.label_frequencies([shard], 3) == pytest.approx(np.array([4.5, 0.5, 2.5]) / 5)
    assert shard_stats.label_frequencies([shard], 3, max_records=1) == pytest.approx([0.75, 0.25, 0.25])
