"""Lanes: which records come into which rows of the global batches, so that a host reads its own part only.

The records of a pass lie on a circle, shard after shard in the order drawn for that pass. It is cut, from a
drawn place on, into as many equal arcs as there are lanes. Every lane is a stream of its own, pass after
pass, shuffled by itself, and fills the same rows of every batch. A host reads the lanes of its rows; hosts
that share a lane all read it. How many lanes there are follows from the records and the global batch, never
from the hosts: any number of them makes the same batches. A small data set has one lane.

Every lane reads each record of its arc once, then goes on with its next pass. Arcs differ by one record at
most, so a lane may be ahead of another by one record a pass.
"""

import dataclasses
import functools

import numpy as np
import tensorflow as tf

from Generators.records import kept, reader
from Utils.command.cli import UserError

MOST = 64
LEAST_RECORDS = 2048  # of a lane: two shards of the usual size
LEAST_ROWS = 32  # of a lane in a batch: the partners of MixUp are of one lane
INTERLEAVED = 16  # shards read side by side, in all lanes
PARALLEL = 2  # of them at the same time
ALL = -1  # records, however many a shard has


@dataclasses.dataclass(frozen=True)
class Lanes:
    """The lanes of an endless stream of batches.

    counts: (S,) records of every shard, None where they are not known: then there is one lane. total: records
    of a pass; None where it is not known.
    """

    counts: np.ndarray | None
    total: int | None
    batch_size: int

    @property
    def number(self):
        """How many lanes."""
        return 1 if self.counts is None else number_of_lanes(self.total, self.batch_size)

    @property
    def rows(self):
        """How many rows of a batch a lane fills."""
        return self.batch_size // self.number

    @property
    def cuts(self):
        """The places on the circle at which the lanes begin, and where the last one ends: (number + 1,)."""
        return np.arange(self.number + 1) * self.total // self.number

    def of(self, rows):
        """Return the slice of the lanes that fill a slice of the batch."""
        return slice(rows.start // self.rows, -(-rows.stop // self.rows))

    def around(self, rows):
        """Return the slice of the batch that the lanes of ``rows`` fill."""
        lanes = self.of(rows)
        return slice(lanes.start * self.rows, lanes.stop * self.rows)

    def start(self, step):
        """Return (passes, records of the next one) that every lane gave before ``step``, (number,) each."""
        if step == 0:
            return np.zeros((2, self.number), np.int64)
        if self.total is None:
            raise UserError("start_step needs num_records where the shards are not local files")
        return np.stack(np.divmod(np.int64(step) * self.rows, np.diff(self.cuts)))

    def arc(self, order, turn, lane):
        """Return the ``pieces`` of a lane in a pass whose order and first cut, any number, are drawn."""
        if self.number == 1:
            return order, np.zeros_like(order), np.full_like(order, ALL)
        first = turn % self.total
        return pieces(self.counts[order], order, first + self.cuts[lane], first + self.cuts[lane + 1])


def number_of_lanes(records, batch_size):
    """Return the largest power of two that divides the batch and leaves a lane enough records and rows."""
    lanes = MOST
    while lanes > 1 and (
        batch_size % lanes or batch_size // lanes < LEAST_ROWS or records // lanes < LEAST_RECORDS
    ):
        lanes //= 2
    return lanes


def pieces(counts, shards, begin, end):
    """Return (shards, skips, takes), each int64 (n,): where the records from ``begin`` to ``end`` are.

    Args:
        counts: (S,) records of ``shards`` (S,), which lie one after another on a circle.
        begin, end: positions from the first record on; ``end`` may be up to a round after the last one.
    """
    counts, shards = np.tile(counts, 2), np.tile(shards, 2)
    ends = np.cumsum(counts)
    starts = ends - counts
    first, last = np.maximum(starts, begin), np.minimum(ends, end)
    read = last > first
    return shards[read], (first - starts)[read], (last - first)[read]


def stream(paths, lanes, rows, *, seed, start_step, shuffle_buffer, keep):
    """Return an endless dataset of the serialized records, one by one, of ``lanes.around(rows)`` of batches.

    ``keep(id) -> bool`` leaves out the other records, None keeps all; all lanes share ``shuffle_buffer``.
    """
    passes, skips = (tf.constant(part, tf.int64) for part in lanes.start(start_step))

    def lane_stream(lane):
        dataset = tf.data.Dataset.range(passes[lane], tf.int64.max)
        make = functools.partial(_one_pass, paths, lanes, lane, seed=seed, buffer=shuffle_buffer, keep=keep)
        return dataset.flat_map(make).skip(skips[lane])

    mine = lanes.of(rows)
    if lanes.number == 1:
        return lane_stream(0)
    side_by_side = mine.stop - mine.start
    return tf.data.Dataset.range(mine.start, mine.stop).interleave(
        lane_stream, side_by_side, lanes.rows, min(PARALLEL, side_by_side), deterministic=True
    )


def _one_pass(paths, lanes, lane, number, *, seed, buffer, keep):
    """Return the kept records of a lane (a tensor) in pass ``number`` (a tensor) once, serialized.

    Their order is drawn from (seed, number, lane).
    """
    # This graph's seed, not the process's: else tf.random.set_seed would decide the order. Not 0, because
    # TensorFlow asks whether both seeds are 0, which it cannot of a tensor.
    tf.compat.v1.set_random_seed(1)
    words = [tf.constant(seed, tf.int64), number]
    order = tf.random.experimental.stateless_shuffle(tf.range(len(paths), dtype=tf.int64), words)
    numbers = tf.random.stateless_uniform([lanes.number + 1], words, None, None, tf.int64)
    shards, skips, takes = tf.numpy_function(
        lanes.arc, [order, numbers[-1], lane], [tf.int64] * 3, stateful=False
    )
    shards, skips, takes = (tf.ensure_shape(part, [None]) for part in (shards, skips, takes))
    dataset = tf.data.Dataset.from_tensor_slices((tf.gather(tf.constant(paths), shards), skips, takes))
    one = lanes.number == 1
    together = min(max(2, INTERLEAVED // lanes.number), len(paths))
    read = reader(paths, None if one else keep)  # arcs are of kept records
    parallel = {"num_parallel_calls": min(PARALLEL, together), "deterministic": True}
    dataset = dataset.interleave(read, together, **(parallel if one else {}))  # else lanes are parallel
    dataset = kept(dataset, keep if one else None)
    return dataset.shuffle(max(1, buffer // lanes.number), numbers[lane], reshuffle_each_iteration=False)
