"""Shards that are written slowly, so that a test can kill the worker that writes one."""

import os
import pathlib
import time

from Utils.data import shard_writer

write_quickly = shard_writer.write_shard


def write_shard(job):
    """Leave the number of this process beside the dataset, wait, then write the shard."""
    place = pathlib.Path(job.path).parents[2] / "workers" / str(os.getpid())
    place.parent.mkdir(exist_ok=True)
    place.touch()
    time.sleep(0.4)
    note = write_quickly(job)
    place.unlink()
    return note
