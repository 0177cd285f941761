"""Generators/labeled_sample.py: the first images of a split and their labels."""

import pathlib

import helpers
import numpy as np
import pytest

from Generators import records
from Generators.labeled_sample import read_sample
from Generators.pipeline import eval_dataset
from Utils.command.cli import UserError, WorkError
from Utils.data import dataset_folder
from Utils.tags import tag_list


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return helpers.dotted_shards(tmp_path_factory.mktemp("data"), validation=40)


def test_a_sample_is_the_first_records(folder):
    dataset = dataset_folder.load(folder)
    images, labels = read_sample(dataset, "validation", 16, 35)
    assert (images.shape, labels.shape, labels.dtype) == ((35, 16, 16, 3), (35, 6), np.uint8)
    shards = dataset.shards("validation")
    (whole,) = eval_dataset(shards, num_labels=6, image_size=16, batch_size=40)
    assert np.array_equal(images, whole[0][:35])
    assert np.array_equal(labels, whole[1][:35])
    assert len(read_sample(dataset, "validation", 16, 100)[0]) == 40


def test_a_record_that_cannot_be_read_is_named(tmp_path):
    (tmp_path / "validation").mkdir()
    record = records.encode(7, helpers.jpeg(0, 8)[:50], [0])
    helpers.write_tfrecord(tmp_path / "validation" / "x.tfrecord", [record])
    tags = helpers.dotted_shards(tmp_path / "other", train=2) / "selected_tags.csv"
    tag_list.write(tag_list.read(tags), tmp_path / "selected_tags.csv")
    with pytest.raises(WorkError, match="image_id 7"):
        read_sample(dataset_folder.load(tmp_path), "validation", 16, 1)


def test_a_damaged_shard_is_named(tmp_path):
    dataset = dataset_folder.load(helpers.dotted_shards(tmp_path, validation=3))
    shard = pathlib.Path(dataset.shards("validation")[0])
    content = bytearray(shard.read_bytes())
    content[50] ^= 1
    shard.write_bytes(content)
    with pytest.raises(UserError, match=f"{shard.name} is damaged"):
        read_sample(dataset, "validation", 16, 3)
