"""How posts are divided into shards: by posts and seed alone, each post once."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from Utils.command.cli import UserError
from Utils.data import dataset_folder, packing

SETTINGS = {"shard_size": 8, "seed": 3}


def posts_of(folder, ids, splits):
    folder.mkdir(exist_ok=True)
    columns = {
        "post_id": ids,
        "split": splits,
        "path": [f"{i}.jpg" for i in ids],
        "label_indexes": [[0]] * len(ids),
    }
    pq.write_table(pa.table(columns), folder / "posts.parquet")
    return packing.Posts(folder)


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


def test_posts_are_the_same_however_many_are_read_together(tmp_path, monkeypatch):
    ids, splits = list(range(0, 100, 3)), ["train", "validation"] * 17
    whole = posts_of(tmp_path, ids, splits)
    monkeypatch.setattr(dataset_folder, "POSTS_AT_ONCE", 4)
    blocks = packing.Posts(tmp_path)
    assert blocks.ids.tolist() == ids
    for split in ("train", "validation"):
        rows = whole.rows(split, 1)
        assert blocks.rows(split, 1).tolist() == rows.tolist()
        assert list(blocks.at(rows)) == list(whole.at(rows))
        assert [post for post, _, _ in blocks.at(rows)] == [ids[row] for row in rows]
        assert all(path == f"{post}.jpg" and labels == [0] for post, path, labels in blocks.at(rows))


def test_the_order_of_two_posts_does_not_depend_on_others(tmp_path, posts):
    train = posts.ids[posts.rows("train", 3)]
    fewer = posts_of(tmp_path / "fewer", range(0, 30, 2), ["train"] * 15)
    assert fewer.ids[fewer.rows("train", 3)].tolist() == [i for i in train.tolist() if i % 2 == 0]
    assert posts.ids[posts.rows("train", 4)].tolist() != train.tolist(), "another seed, another order"


def test_work_continues_with_the_same_posts_and_settings_only(tmp_path, posts):
    packing.divide(tmp_path, "small", posts, SETTINGS)
    packing.divide(tmp_path, "small", posts, SETTINGS)
    with pytest.raises(UserError, match="started with seed = 3, now it is 4"):
        packing.divide(tmp_path, "small", posts, {**SETTINGS, "seed": 4})
    changed = posts_of(tmp_path, range(51), ["train"] * 51)
    with pytest.raises(UserError, match=r"started with posts\.parquet"):
        packing.divide(tmp_path, "small", changed, SETTINGS)
