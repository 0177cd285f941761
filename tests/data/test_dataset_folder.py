"""Utils/data/dataset_folder.py: folders of this project and of the original one."""

import json

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
from helpers import jpeg, small_dataset

from Generators import records
from Utils.command.cli import UserError
from Utils.data import dataset_folder
from Utils.tags import tag_list


def original(folder, per_shard=(3, 0, 2), size=32):
    """A folder as the original project left it: shards and a tag list, nothing else."""
    number = 0
    for split in ("train", "validation"):
        (folder / split).mkdir(parents=True)
        for index, count in enumerate(per_shard):
            with tf.io.TFRecordWriter(str(folder / split / f"2021_{index:04d}.tfrecord")) as writer:
                for _ in range(count):
                    writer.write(records.encode(number, jpeg(number, size), [number % 2]))
                    number += 1
    (folder / "selected_tags.csv").write_text("tag_id,name,category,count\n1,a,0,9\n2,b,0,5\n")
    return folder


def test_a_dataset_knows_its_parts(tmp_path):
    dataset = dataset_folder.load(small_dataset(tmp_path))
    assert dataset.splits == ("train", "validation", "test")
    assert (dataset.name, dataset.image_size, dataset.num_labels) == ("small", 32, len(dataset.tags))
    for split in dataset.splits:
        records_read = list(tf.data.TFRecordDataset(dataset.shards(split)))
        ids = [int(records.parse(record)["image_id"]) for record in records_read]
        assert dataset.num_records(split) == len(ids)
        assert dataset.post_ids(split).tolist() == ids
        assert dataset.post_ids(split).dtype == np.int64


def test_shards_of_the_original_are_served(tmp_path):
    dataset = dataset_folder.load(original(tmp_path / "2021"))
    assert dataset.splits == ("train", "validation")
    assert [dataset.num_records(split) for split in dataset.splits] == [5, 5]
    assert [path[-22:] for path in dataset.shards("train")] == [
        f"/train/2021_{i:04d}.tfrecord"[-22:] for i in range(3)
    ]
    assert (dataset.name, dataset.image_size, dataset.num_labels) == ("2021", 32, 2)
    with pytest.raises(UserError, match="ids.npy"):
        dataset.post_ids("train")


def test_shards_that_are_not_square_have_no_size(tmp_path):
    assert dataset_folder.load(original(tmp_path / "x", size=(20, 30))).image_size is None
    assert dataset_folder.load(original(tmp_path / "y", per_shard=(0,))).image_size is None


@pytest.mark.parametrize("cut", [1, 5, 17])
def test_a_cut_shard_is_named(tmp_path, cut):
    path = original(tmp_path) / "train" / "2021_0000.tfrecord"
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(UserError, match="2021_0000.tfrecord is no whole TFRecord file: record 2 is cut"):
        dataset_folder.load(tmp_path).num_records("train")


def test_errors_say_what_is_there(tmp_path):
    with pytest.raises(UserError, match="found nothing"):
        dataset_folder.load(tmp_path / "no")
    (tmp_path / "pictures").mkdir()
    (tmp_path / "notes.txt").touch()
    with pytest.raises(UserError, match=r"it holds notes.txt, pictures/"):
        dataset_folder.load(tmp_path)
    with pytest.raises(UserError, match="found a file"):
        dataset_folder.load(tmp_path / "notes.txt")


def test_a_wrong_split_is_named_with_the_right_ones(tmp_path):
    dataset = dataset_folder.load(small_dataset(tmp_path))
    with pytest.raises(
        UserError, match="no split 'valid'; it has train, validation, test; did you mean validation"
    ):
        dataset.shards("valid")


def test_a_dataset_without_records_says_how_to_get_them(tmp_path):
    dataset = dataset_folder.load(small_dataset(tmp_path, records=False))
    assert dataset.splits == ()
    assert dataset.num_labels > 0
    with pytest.raises(UserError, match="run tools/write_records.py"):
        dataset.num_records("train")


def test_another_tag_list_than_the_records_is_refused(tmp_path):
    folder = small_dataset(tmp_path)
    frame = tag_list.read(folder / "selected_tags.csv")
    tag_list.write(frame.assign(count=frame["count"] + 1), folder / "selected_tags.csv")
    dataset_folder.load(folder)  # newer counts are the same list
    tag_list.write(frame.iloc[::-1], folder / "selected_tags.csv")
    with pytest.raises(UserError, match="is not the tag list"):
        dataset_folder.load(folder)


def test_a_foreign_manifest_is_refused(tmp_path):
    folder = small_dataset(tmp_path, records=False)
    (folder / "dataset.json").write_text(json.dumps({"title": "x"}))
    with pytest.raises(UserError, match="lacks name and image_size; it has title"):
        dataset_folder.load(folder)


def test_frequencies_of_tags_are_those_of_the_posts(tmp_path):
    folder = original(tmp_path / "d")
    dataset = dataset_folder.load(folder)
    assert dataset.tag_frequencies("train") is None
    ids = dataset.tags["tag_id"].tolist()
    counts = [5, *[0] * (len(ids) - 1)]
    lines = ["tag_id,name,category,count,train"]
    lines += [f"{tag},t,0,9,{count}" for tag, count in zip(ids, counts, strict=True)]
    (folder / "tag_splits.csv").write_text("\n".join(lines) + "\n")
    expected = (np.array(counts) + 0.5) / (dataset.num_records("train") + 1)
    assert dataset.tag_frequencies("train").tolist() == expected.tolist()
    (folder / "tag_splits.csv").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(UserError, match="a count for each tag"):
        dataset.tag_frequencies("train")


def test_labels_are_those_of_the_posts_that_have_a_record(tmp_path, monkeypatch):
    dataset = dataset_folder.load(small_dataset(tmp_path))
    posts = pd.read_parquet(tmp_path / "dataset" / "posts.parquet")
    posts = posts[posts["split"] == "train"]
    monkeypatch.setattr(dataset_folder, "POSTS_AT_ONCE", 3)

    def read():
        parts = list(dataset.label_blocks("train"))
        assert max(len(ids) for ids, _, _ in parts) <= 3
        return (np.concatenate(part) for part in zip(*parts, strict=True))

    ids, lengths, labels = read()
    assert ids.tolist() == posts["post_id"].tolist()
    assert [row.tolist() for row in np.split(labels, np.cumsum(lengths)[:-1])] == [
        row.tolist() for row in posts["label_indexes"]
    ]
    path = tmp_path / "dataset" / "train" / "ids.npy"
    missing = np.load(path)[0]
    np.save(path, np.where(np.load(path) == missing, -1, np.load(path)))
    ids, lengths, rest = read()
    assert ids.tolist() == [post for post in posts["post_id"] if post != missing]
    assert lengths.sum() == len(rest) == len(labels) - len(posts.set_index("post_id").label_indexes[missing])
    (tmp_path / "dataset" / "posts.parquet").unlink()
    assert dataset.label_blocks("train") is None
