"""Host sharding: which records fill which rows of the global batch, so that each host reads only its part.

Usually host i of n reads every n-th shard. Then the batches depend on n, and a run cannot continue on another
number of hosts. Here the records are split into *streams* whose number follows from the dataset and
the global batch alone (MosaicML's StreamingDataset calls them canonical nodes; as there, any number of hosts
makes the same batches). Stream k fills the k-th block of rows of every batch, and a host reads the streams of
its rows; two hosts that share a stream both read it. A small dataset has one stream.

In a pass the shards lie on a circle, in an order drawn for that pass. The circle is cut, from a drawn record
on, into as many equal arcs as there are streams. A stream gives each record of its arc once, shuffled in its
own buffer, then starts its next pass. Arcs differ by at most one record, so one stream may get ahead of
another by one record a pass; no stream waits, no record is dropped, and no batch is short. A record that is
repeated (``Utils.data.repeat_factors``) counts as often as it comes in that pass.

Everything drawn here is a function of (seed, pass, stream). Where a run stopped at step s, it continues by
arithmetic: step s is in a known pass of each stream, and whole passes before it are never read.
"""

import dataclasses
import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from Generators.records import filter_by_id, repeat_by_id, shard_reader
from Utils.command.cli import UserError
from Utils.data.repeat_factors import RepeatFactors

MAX_STREAMS = 64
MIN_RECORDS = 2048  # of a stream: two shards of the usual size, for records of neighboring arcs to mix
MIN_ROWS = 32  # of a stream in a batch: MixUp draws partners within a stream
OPEN_SHARDS = 16  # shards that are read in turns, by all streams together
PARALLEL_READS = 2  # shards read at the same time: more gain nothing, decoding is the limit
ALL_RECORDS = -1  # what tf.data's `take` calls "to the end"

Keep = Callable[[np.ndarray], Any]  # post ids -> bool of the same shape: which records are used


@dataclasses.dataclass(frozen=True)
class RecordStreams:
    """The streams that an endless sequence of batches is read from.

    Args:
        counts: (S,) records of every shard; None where they are not known, then there is one stream.
        total: records of a pass; None where it is not known.
        batch_size: rows of the global batch.
        repeats: how often each of these records comes in a pass; None: once.
    """

    counts: np.ndarray | None
    total: int | None
    batch_size: int
    repeats: RepeatFactors | None = None

    @property
    def number(self) -> int:
        """How many streams there are."""
        if self.counts is None or self.total is None:
            return 1
        return number_of_streams(self.total, self.batch_size)

    @property
    def rows_each(self) -> int:
        """How many rows of a batch a stream fills."""
        return self.batch_size // self.number

    def filling(self, rows: slice) -> slice:
        """Return which streams fill some rows of the batch."""
        return slice(rows.start // self.rows_each, -(-rows.stop // self.rows_each))  # the end rounds up

    def rows_read(self, rows: slice) -> slice:
        """Return the rows that a host with ``rows`` reads: all that the streams of its rows fill."""
        # Whole streams, since a stream is shuffled as a whole: where two hosts share one, each reads it all
        # and drops the other's rows after shuffling.
        streams = self.filling(rows)
        return slice(streams.start * self.rows_each, streams.stop * self.rows_each)

    def position(self, step: int) -> np.ndarray:
        """Return (whole passes, records of the next one) that every stream gave before ``step``: (2, number).

        Raises UserError where the records of a pass are not known.
        """
        if step == 0:
            return np.zeros((2, self.number), np.int64)
        rows = np.int64(step) * self.rows_each
        if self.repeats is None:
            return np.stack(np.divmod(rows, np.diff(self._arc_ends(0))))
        passes, rest = np.zeros(self.number, np.int64), np.full(self.number, rows)
        for pass_number in itertools.count():  # passes differ in length, so they are counted off one by one
            lengths = np.diff(self._arc_ends(pass_number))
            is_over = (passes == pass_number) & (rest >= lengths)
            if not is_over.any():
                return np.stack([passes, rest])
            passes[is_over] += 1
            rest[is_over] -= lengths[is_over]
        raise AssertionError("passes never end")

    def arc(
        self, order: np.ndarray, first_cut: int, stream: int, pass_number: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return where the records of a stream lie in one pass, as ``shard_ranges`` does.

        ``order`` (S,) is that of the shards; ``first_cut`` any number, taken modulo the records.
        """
        if self.counts is None or self.total is None or self.number == 1:
            # One stream has the whole circle, so it needs no counts: it reads every shard to its end.
            return order, np.zeros_like(order), np.full_like(order, ALL_RECORDS)
        counts = self.counts
        if self.repeats is not None:
            counts = self.repeats.shard_counts(counts, pass_number)
        ends = first_cut % counts.sum() + self._arc_ends(pass_number)
        return shard_ranges(counts[order], order, ends[stream], ends[stream + 1])

    def _arc_ends(self, pass_number: int) -> np.ndarray:
        """Return where the arcs begin, from the first cut on, and where the last one ends: (number + 1,)."""
        total = self.total if self.repeats is None else self.repeats.of_pass(pass_number).sum()
        if total is None:
            raise UserError("start_step needs num_records where the shards are not local files")
        # Each end is rounded by itself, so that lengths differ by at most one and the last end is the total.
        return np.arange(self.number + 1) * total // self.number


def number_of_streams(records: int, batch_size: int) -> int:
    """Return the largest power of two that divides the batch and leaves a stream enough records and rows.

    A power of two, because numbers of hosts mostly are: then no two hosts share a stream.
    """
    number = MAX_STREAMS
    while number > 1 and (
        batch_size % number or batch_size // number < MIN_ROWS or records // number < MIN_RECORDS
    ):
        number //= 2
    return number


def shard_ranges(
    counts: np.ndarray, shards: np.ndarray, begin: int, end: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return (shards, skips, takes), int64 (n,) each: where the records from ``begin`` to ``end`` lie.

    Args:
        counts: (S,) records of ``shards`` (S,), which lie one after another on a circle.
        begin, end: positions from the first record on; ``end`` may be up to a round after the last one.
    """
    counts, shards = np.tile(counts, 2), np.tile(shards, 2)  # twice around: an arc may cross the start
    shard_ends = np.cumsum(counts)
    shard_begins = shard_ends - counts
    first, last = np.maximum(shard_begins, begin), np.minimum(shard_ends, end)
    overlaps = last > first
    return shards[overlaps], (first - shard_begins)[overlaps], (last - first)[overlaps]


def record_dataset(
    paths: Sequence[str],
    streams: RecordStreams,
    rows: slice,
    *,
    seed: int,
    start_step: int,
    shuffle_buffer: int,
    keep: Keep | None,
) -> tf.data.Dataset:
    """Return an endless dataset of serialized records: those of ``streams.rows_read(rows)``, batch by batch.

    Args:
        paths: the shards.
        rows: the host's rows of the global batch.
        seed: of the order.
        start_step: the first batch.
        shuffle_buffer: records held for shuffling, by all streams of the global batch together.
        keep: ``keep(id) -> bool`` leaves out the other records; None keeps all.
    """
    passes, skips = (tf.constant(part, tf.int64) for part in streams.position(start_step))

    def endless(stream: Any) -> tf.data.Dataset:
        one_pass = functools.partial(
            _one_pass, paths, streams, stream, seed=seed, buffer=shuffle_buffer, keep=keep
        )
        # `skip` reads the present pass up to the starting step again, but nothing before it is decoded.
        return tf.data.Dataset.range(passes[stream], tf.int64.max).flat_map(one_pass).skip(skips[stream])

    if streams.number == 1:
        return endless(0)
    numbers = streams.filling(rows)
    side_by_side = numbers.stop - numbers.start
    # A batch is a block of rows from each stream in turn, whichever stream is faster.
    return tf.data.Dataset.range(numbers.start, numbers.stop).interleave(
        endless, side_by_side, streams.rows_each, min(PARALLEL_READS, side_by_side), deterministic=True
    )


def _one_pass(
    paths: Sequence[str],
    streams: RecordStreams,
    stream: Any,
    pass_number: Any,
    *,
    seed: int,
    buffer: int,
    keep: Keep | None,
) -> tf.data.Dataset:
    """Return the kept records of a stream in one pass, serialized, in an order of (seed, pass, stream).

    ``stream`` and ``pass_number`` are scalar tensors: this is traced once, inside tf.data.
    """
    # Fix the seed of this graph, or tf.random.set_seed of the process would decide the order. Not 0: then
    # TensorFlow would test whether the other seed is 0 as well, and that one is a tensor here.
    tf.compat.v1.set_random_seed(1)
    random: Any = tf.random  # whose stubs lack `experimental` and integers without bounds
    words = [tf.constant(seed, tf.int64), pass_number]
    order = random.experimental.stateless_shuffle(tf.range(len(paths), dtype=tf.int64), words)
    # A seed for the buffer of each stream, and the first cut of the circle; all streams draw the same.
    numbers = random.stateless_uniform([streams.number + 1], words, None, None, tf.int64)
    words = [order, numbers[-1], stream, pass_number]
    ranges = tf.numpy_function(streams.arc, words, [tf.int64] * 3, stateful=False)
    shards, skips, takes = (tf.ensure_shape(part, [None]) for part in ranges)
    dataset = tf.data.Dataset.from_tensor_slices((tf.gather(tf.constant(paths), shards), skips, takes))
    is_single = streams.number == 1
    open_shards = min(max(2, OPEN_SHARDS // streams.number), len(paths))

    def select(dataset: tf.data.Dataset) -> tf.data.Dataset:
        dataset = filter_by_id(dataset, keep)
        return repeat_by_id(dataset, streams.repeats.copies, pass_number) if streams.repeats else dataset

    # With several streams, counts are of kept records and their repeats, so the reader skips and takes among
    # those. One stream uses no counts, so one selection after all readers is enough.
    selects = keep is not None or streams.repeats is not None
    read = shard_reader(paths, select if selects and not is_single else None)
    parallel: dict[str, Any] = {
        "num_parallel_calls": min(PARALLEL_READS, open_shards), "deterministic": True
    }  # fmt: skip
    # Several streams already run in parallel, so each reads its shards in one thread.
    dataset = dataset.interleave(read, open_shards, **(parallel if is_single else {}))
    dataset = select(dataset) if is_single else dataset
    # Every pass has a new seed. Reshuffling would make the order depend on how often it was iterated.
    return dataset.shuffle(max(1, buffer // streams.number), numbers[stream], reshuffle_each_iteration=False)
