"""The shard of a record that TensorFlow cannot read, whose errors name no file."""

import contextlib
from collections.abc import Iterator

from Utils.command.cli import progress
from Utils.data.dataset_folder import Dataset
from Utils.files import tfrecord

# By name: this wing does not import TensorFlow.
_ERRORS = ("DataLossError", "InvalidArgumentError", "NotFoundError")


@contextlib.contextmanager
def named(dataset: Dataset) -> Iterator[None]:
    """Raise UserError that names the shard where the block ends because a record is damaged.

    The shards are read again for that, all before the damaged one. Other errors pass.
    """
    try:
        yield
    except Exception as error:
        if type(error).__name__ not in _ERRORS:
            raise
        paths = [path for split in dataset.splits for path in dataset.shards(split)]
        for path in progress(paths, label="looking for the damaged one", unit="shards"):
            for _ in tfrecord.read_records(path):  # raises where a record is damaged
                pass
        raise
