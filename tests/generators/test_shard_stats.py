"""Generators/shard_stats.py: what shards hold, where the dataset folder does not say it."""

import functools

import helpers
import numpy as np
import pandas as pd
import pytest

from Generators import records, shard_stats
from Utils.data import dataset_folder, unknown_labels


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """One of the original project, which has nothing but shards: posts 0 to 11 in two of 6 each."""
    return dataset_folder.load(helpers.dotted_shards(tmp_path_factory.mktemp("data"), train=12))


def test_post_ids_and_counts(dataset):
    assert shard_stats.post_ids(dataset, "train").tolist() == list(range(12))
    assert shard_stats.record_counts(dataset, "train").tolist() == [6, 6]
    assert shard_stats.record_counts(dataset, "train", lambda ids: ids % 5 == 0).tolist() == [2, 1]
    assert shard_stats.record_counts(dataset, "train", lambda ids: ids > 5).tolist() == [0, 6]


LISTS = [[0], [0, 2], [0], [0, 2]]  # of posts 0 to 3


@pytest.fixture(params=["posts.parquet", "shards"])
def four_posts(request, tmp_path):
    """A dataset of ``LISTS``, with a list of its posts or with nothing but shards."""
    (tmp_path / "train").mkdir()
    encoded = [records.encode(i, b"", labels) for i, labels in enumerate(LISTS)]
    helpers.write_tfrecord(tmp_path / "train" / "x.tfrecord", encoded)
    (tmp_path / "selected_tags.csv").write_text("tag_id,name,category,count\n1,a,0,9\n2,b,0,5\n3,c,0,4\n")
    if request.param == "posts.parquet":
        frame = pd.DataFrame({"post_id": [9, 0, 1, 2, 3], "split": ["test"] + ["train"] * 4, "path": "x"})
        frame.assign(label_indexes=[[1], *LISTS]).to_parquet(tmp_path / "posts.parquet")
    return dataset_folder.load(tmp_path)


def test_label_frequencies_are_never_0_or_1(four_posts):
    frequencies = shard_stats.label_frequencies(four_posts, "train")
    np.testing.assert_allclose(frequencies, np.array([4.5, 0.5, 2.5]) / 5)


def test_label_frequencies_leave_out_a_fold_and_unknown_labels(four_posts):
    kept = shard_stats.label_frequencies(four_posts, "train", lambda ids: ids > 0)
    np.testing.assert_allclose(kept, np.array([3.5, 0.5, 2.5]) / 4)
    # Label 2 is unknown of post 0, which lacks it, and of post 3, which has it; post 8 is in no split.
    posts, labels = np.array([0, 3, 8]), np.array([2, 2, 0])
    unknown = unknown_labels.UnknownLabels(posts, labels, 3)
    frequencies = shard_stats.label_frequencies(four_posts, "train", None, unknown)
    np.testing.assert_allclose(frequencies, [4.5 / 5, 0.5 / 5, 1.5 / 3])
    both = shard_stats.label_frequencies(four_posts, "train", lambda ids: ids > 0, unknown)
    np.testing.assert_allclose(both, [3.5 / 4, 0.5 / 4, 1.5 / 3])


def test_without_smoothing_the_shares_add_up_to_the_mean_number_of_labels(four_posts):
    plain = functools.partial(shard_stats.label_frequencies, four_posts, "train", smoothing=0)
    assert plain().sum() == 6 / 4
    assert plain(lambda ids: ids > 0).sum() == pytest.approx(5 / 3)
    unknown = unknown_labels.UnknownLabels(np.array([0, 3]), np.array([2, 2]), 3)
    assert plain(None, unknown).sum() == 4 / 4 + 1 / 2
    assert plain(lambda ids: ids > 9).sum() == 0


def test_label_frequencies_of_shards_need_not_read_them_all(dataset):
    first = shard_stats.label_frequencies(dataset, "train", max_records=1)
    assert set(first) <= {0.25, 0.75}


def test_the_most_labels_of_a_post_are_known_from_posts_alone(four_posts):
    has_posts = (four_posts.folder / "posts.parquet").exists()
    assert shard_stats.most_labels(four_posts, "train") == (2 if has_posts else 0)


def test_repeat_factors_are_counted_from_the_posts(four_posts):
    """Labels 0, 1 and 2 are in 4, 0 and 2 of 4 posts."""
    repeats = shard_stats.repeat_factors(four_posts, "train", 2.0, seed=3)
    assert repeats.ids.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(repeats.factors, np.sqrt([2, 4, 2, 4]), rtol=1e-6)
    median = shard_stats.repeat_factors(four_posts, "train", None, seed=3)
    assert median.threshold == 0.75
    np.testing.assert_allclose(median.factors, np.sqrt([1, 1.5, 1, 1.5]), rtol=1e-6)
    # In posts 1 to 3, where label 2 is unknown of post 3: it is in 1 of 2.
    unknown = unknown_labels.UnknownLabels(np.array([3]), np.array([2]), 3)
    some = shard_stats.repeat_factors(four_posts, "train", 2.0, 3, lambda ids: ids > 0, unknown)
    assert some.ids.tolist() == [1, 2, 3]
    np.testing.assert_allclose(some.factors, np.sqrt([4, 2, 2]), rtol=1e-6)


def test_label_frequencies_count_a_record_as_often_as_it_comes(four_posts):
    repeats = shard_stats.RepeatFactors(np.arange(4), np.array([1.0, 3.0, 1.0, 1.0]), 0)
    frequencies = shard_stats.label_frequencies(four_posts, "train", repeats=repeats)
    np.testing.assert_allclose(frequencies, np.array([6.5, 0.5, 4.5]) / 7)
    unknown = unknown_labels.UnknownLabels(np.array([1]), np.array([2]), 3)
    frequencies = shard_stats.label_frequencies(four_posts, "train", None, unknown, repeats)
    np.testing.assert_allclose(frequencies, [6.5 / 7, 0.5 / 7, 1.5 / 4])
