"""How posts are divided into shards: by posts and seed alone, each post once."""

import numpy as np
import pytest
from helpers.dataset_posts import posts_of

from Utils.command.cli import UserError
from Utils.data import packing

SETTINGS = {"shard_size": 8, "seed": 3}


@pytest.fixture
def posts(tmp_path):
    return posts_of(tmp_path, range(50), ["train"] * 30 + ["validation"] * 20)


def test_every_post_is_in_one_shard_of_its_split(tmp_path, posts):
    shards = packing.divide(tmp_path, "small", posts, SETTINGS)
    assert [(shard.number, shard.split, len(shard.rows)) for shard in shards] == [
        (0, "train", 8), (1, "train", 8), (2, "train", 8), (3, "train", 6),
        (4, "validation", 8), (5, "validation", 8), (6, "validation", 4),
    ]  # fmt: skip
    assert shards[4].file == "validation/small-00000-of-00003.tfrecord"
    assert sorted(np.concatenate([shard.rows for shard in shards])) == list(range(50))
    assert np.concatenate([shard.rows for shard in shards[4:]]).tolist() == list(range(30, 50)), "by post id"


def test_work_continues_with_the_same_posts_and_settings_only(tmp_path, posts):
    packing.divide(tmp_path, "small", posts, SETTINGS)
    packing.divide(tmp_path, "small", posts, SETTINGS)
    with pytest.raises(UserError, match="started with seed = 3, now it is 4"):
        packing.divide(tmp_path, "small", posts, {**SETTINGS, "seed": 4})
    changed = posts_of(tmp_path, range(51), ["train"] * 51)
    with pytest.raises(UserError, match=r"started with posts\.parquet"):
        packing.divide(tmp_path, "small", changed, SETTINGS)
