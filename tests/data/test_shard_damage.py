"""Utils/data/shard_damage.py: the damaged shard is named, other errors pass."""

import helpers
import pytest

from Utils.command.cli import UserError
from Utils.data import dataset_folder, shard_damage


class DataLossError(Exception):
    """As TensorFlow's."""


def test_the_damaged_shard_is_named(tmp_path):
    dataset = dataset_folder.load(helpers.dotted_shards(tmp_path, train=20, validation=6))
    with pytest.raises(DataLossError), shard_damage.named(dataset):
        raise DataLossError
    shard = tmp_path / "train" / "train_1.tfrecord"
    data = bytearray(shard.read_bytes())
    data[len(data) // 3] ^= 1
    shard.write_bytes(data)
    with pytest.raises(UserError, match="train_1.tfrecord is damaged"), shard_damage.named(dataset):
        raise DataLossError
    with pytest.raises(ZeroDivisionError), shard_damage.named(dataset):
        raise ZeroDivisionError
