"""Shards that several files of tests read."""

import pytest
from helpers.gray_shards import write


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    """22 records in 3 shards of 8, 5 and 9; the glob that finds them."""
    folder = tmp_path_factory.mktemp("shards")
    for index, ids in enumerate([range(8), range(8, 13), range(13, 22)]):
        write(folder / f"x-{index:05d}-of-00003.tfrecord", ids)
    return f"{folder}/*.tfrecord"
