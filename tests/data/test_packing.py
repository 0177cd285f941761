"""How posts are divided into shards: by posts and seed alone, each post once."""

import concurrent.futures

import numpy as np
import pytest
from helpers.dataset_posts import posts_of

from Utils.command.cli import UserError, WorkError
from Utils.data import packing
from Utils.files import locking
from Utils.files.atomic import write_json

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


def test_of_two_that_begin_at_once_the_second_sees_the_plan_of_the_first(tmp_path, posts, monkeypatch):
    path = tmp_path / packing.PROGRESS / "plan.json"
    with concurrent.futures.ThreadPoolExecutor() as pool, locking.sole_writer(path):
        second = pool.submit(packing.divide, tmp_path, "small", posts, SETTINGS)
        with pytest.raises(concurrent.futures.TimeoutError):
            second.result(0.05)
        write_json(path, {"seed": 4})
    with pytest.raises(UserError, match="started with shard_size = None"):
        second.result(60)
    assert [item.name for item in path.parent.iterdir()] == ["plan.json"]


def test_shards_of_other_posts_are_not_taken_for_these(tmp_path, posts):
    """Another machine may pack what was selected before while the dataset is selected again."""
    (shard, *_) = packing.divide(tmp_path, "small", posts, {**SETTINGS, "shard_size": 50})
    facts = {"split": "train", "file": "train/s", "records": 1, "bytes": 1, "sha256": "", "ids": [1]}
    for plan in ({"plan": "another"}, {}):
        write_json(shard.note(tmp_path), {**facts, "rejected": [], **plan})
        with pytest.raises(WorkError, match="train/s has other posts or labels.*--overwrite starts afresh"):
            packing.finish(tmp_path, {"made": {}}, [shard], {})
    write_json(shard.note(tmp_path), {**facts, "rejected": [], "plan": shard.plan})
    manifest = packing.finish(tmp_path, {"made": {}}, [shard], {})
    assert manifest["records"]["train"]["records"] == 1
