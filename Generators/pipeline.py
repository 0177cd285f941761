"""From shards to batches: an endless training stream, and an evaluation of exactly one pass.

Training passes follow one another in one stream. Pass e reads the shards in an order drawn from (seed, e),
interleaves them and shuffles encoded records in a buffer; batches are always whole and may straddle passes,
so no record is dropped. What a batch holds is a function of (seed, step), not of parallelism, hosts or start:
see ``Generators.host_sharding`` for how hosts share a stream.
Decoding and augmentation run in numpy, a batch a call: OpenCV and Pillow let go of the interpreter lock and
are several times faster than TensorFlow's image ops (`tools/bench.py input`).
"""

import collections.abc
import dataclasses
import os

import cv2
import numpy as np
import tensorflow as tf

from Generators.batches import EvalBatch, Form, TrainBatch, check_positive
from Generators.host_sharding import Lanes, pieces, stream
from Generators.records import is_foreign, kept, parse_batch, reader, record_ids, stored
from Utils.command.cli import UserError
from Utils.command.text import join_names
from Utils.files import atomic, tfrecord
from Utils.images import codec
from Utils.images.augmentation import Augmentation


def train_dataset(
    records,
    *,
    num_labels,
    image_size,
    batch_size,
    seed=0,
    start_step=0,
    augmentation=None,
    channel_order="bgr",
    shuffle_buffer=4096,
    num_records=None,
    host=(0, 1),
    workers=None,
    reduced_decoding=True,
    keep=None,
    unknown=None,
    **changes,
):
    """Return an endless dataset of ``(images (B, S, S, 3) uint8, labels (B, num_labels) float32)``.

    Args:
        records: a glob or a list of shards.
        seed: the same seed gives the same batches on any machine and at any parallelism.
        start_step: the batch to begin with, as if that many had been taken; they are not decoded, and whole
            passes among them not read.
        augmentation: an ``Utils.images.augmentation.Augmentation``; None has the original zoo's settings.
        channel_order: "bgr", as all models of the zoo have it, or "rgb".
        shuffle_buffer: records (encoded; at 512 px about 90 kB each) held for shuffling.
        num_records: how many there are (that ``keep`` keeps), in all or of every shard; None counts them
            where that is needed. Of every shard: the stream has as many lanes as
            ``Generators.host_sharding`` says,
            and MixUp partners are of one lane. Else it has one, and every host reads all shards.
        host: (index, count): give only this host's rows of every batch of ``batch_size``, which are the same
            for any number of hosts; it reads the lanes of these rows, and decodes them and their partners.
        workers: batches made at the same time; by default one a core.
        reduced_decoding: decode JPEGs much larger than needed at 1/2, 1/4 or 1/8 of their size.
        keep: ``keep(id) -> bool`` leaves out the other records, undecoded; None keeps all.
        unknown: ``unknown(ids) -> (B, num_labels) bool`` of labels that become -1; see
        ``Utils.data.unknown_labels``.
        changes: single fields of the augmentation, for example ``mixup_alpha=0`` or ``crop=None`` (no crop).
            With ``augment_on="device"`` flip, rotation and MixUp of the images are left to
            ``Models.with_augmentation``, and elements are ``((images, draws (B, 4) float32), labels)``.

    Raises UserError where no shard is found or a value is out of range. While iterating, broken image bytes
    and labels outside ``num_labels`` raise a tf.errors.OpError that names the record's image_id.
    """
    check_positive("batch_size", batch_size)
    _check_seed(seed)
    if start_step < 0:
        raise UserError(f"start_step must not be negative; got {start_step}")
    rows = _host_rows(host, batch_size)
    if changes.get("crop", ()) is None:
        changes["crop"] = (1.0, 1.0)
    augmentation = dataclasses.replace(augmentation or Augmentation(), **changes)
    paths = shard_paths(records)
    lanes = _lanes(paths, num_records, keep, batch_size, start_step)
    make = TrainBatch(
        form=Form(image_size, num_labels, channel_order),
        settings=augmentation,
        seed=seed,
        batch_size=batch_size,
        rows=rows,
        given=lanes.around(rows),
        lanes=lanes.number,
        reduced_decoding=reduced_decoding,
        unknown=unknown,
    )
    dataset = stream(
        paths, lanes, rows, seed=seed, start_step=start_step, shuffle_buffer=shuffle_buffer, keep=keep
    )
    dataset = dataset.batch(make.given.stop - make.given.start, drop_remainder=True)
    dataset = dataset.enumerate(start_step)
    dataset = dataset.map(lambda step, batch: _train_element(make, step, batch), workers or _cores())
    dataset = dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))
    return _finished(dataset)


def eval_dataset(
    records,
    *,
    num_labels,
    image_size,
    batch_size,
    with_ids=False,
    pad_batches=False,
    channel_order="bgr",
    padding=codec.WHITE,
    workers=None,
    keep=None,
    unknown=None,
    num_records=None,
    host=(0, 1),
):
    """Return a dataset of exactly one pass in stored order, each image as ``images.prepare`` gives it.

    Elements are ``(images (B, S, S, 3) uint8, labels (B, num_labels) float32)``, then with ``pad_batches``
    ``sample_weight (B,)`` float32, then with ``with_ids`` ``ids (B,)`` int64. The last batch is smaller,
    unless ``pad_batches`` fills it with black images without labels, of weight 0 and id -1. ``padding`` is
    the gray around images that are not square; ``keep``, ``unknown`` and ``num_records`` are as in
    ``train_dataset``. The cardinality is exact where ``num_records`` is told, or the shards are local and
    ``keep`` is None. With several hosts each reads a part of its own, the records one after another, and
    fills its rows of as many batches with them; ``pad_batches`` is needed. Raises as ``train_dataset``.
    """
    check_positive("batch_size", batch_size)
    form = Form(image_size, num_labels, channel_order)
    rows = _host_rows(host, batch_size)
    share = rows.stop - rows.start
    if host[1] > 1 and not pad_batches:
        raise UserError(f"hosts need pad_batches, so that all have as many batches; got host {host}")
    make = EvalBatch(form, padding, share if pad_batches else None, unknown)
    paths = shard_paths(records)
    counts, total = _eval_counts(paths, num_records, keep, host)
    batches = None if total is None else -(-total // batch_size)
    if host[1] == 1:
        dataset = kept(stored(paths), keep).batch(batch_size)
    else:
        dataset = _part(paths, counts, keep, host[0] * batches * share, batches * share)
        nothing = tf.data.Dataset.from_tensors(tf.constant([], tf.string)).repeat()
        dataset = dataset.batch(share).concatenate(nothing).take(batches)
    dataset = dataset.map(lambda batch: _eval_element(make, batch), workers or _cores())
    dataset = dataset.map(
        lambda image, label, weight, number: (
            image,
            label,
            *([weight] if pad_batches else []),
            *([number] if with_ids else []),
        )
    )
    if batches is not None:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(batches))
    return _finished(dataset)


def _eval_counts(paths, num_records, keep, host):
    """Return (records of every shard or None, records in all or None); several hosts need both."""
    enough = num_records is not None and (host[1] == 1 or np.ndim(num_records))
    if not enough and keep is None and not _remote(paths):
        num_records = [tfrecord.count_records(path) for path in paths]
    counts, total = (None, None) if num_records is None else _told(paths, num_records)
    if counts is None and host[1] > 1:
        raise UserError("hosts need num_records of every shard, unless the shards are local and all are kept")
    return counts, total


def _part(paths, counts, keep, begin, length):
    """Return ``length`` serialized records from position ``begin`` on, or as many as there are."""
    total = counts.sum()
    shards, skips, takes = pieces(
        counts, np.arange(len(paths)), min(begin, total), min(begin + length, total)
    )
    chosen = np.array(paths)[shards].tolist()
    dataset = tf.data.Dataset.from_tensor_slices((tf.constant(chosen, tf.string), skips, takes))
    return dataset.flat_map(reader(paths, keep))


def _train_element(make, step, serialized):
    """Parse the records of a batch and have numpy make it."""
    count = make.rows.stop - make.rows.start
    batch, labels, draws = tf.numpy_function(
        make, (step, *_parsed(serialized)), (tf.uint8, tf.float32, tf.float32), stateful=False
    )
    batch = _shaped(make.form, count, batch)
    labels = tf.ensure_shape(labels, (count, make.form.num_labels))
    return ((batch, tf.ensure_shape(draws, (count, 4))), labels) if make.on_device else (batch, labels)


def _eval_element(make, serialized):
    types = (tf.uint8, tf.float32, tf.float32, tf.int64)
    batch, labels, weights, ids = tf.numpy_function(make, _parsed(serialized), types, stateful=False)
    count = make.batch_size
    labels = tf.ensure_shape(labels, (count, make.form.num_labels))
    return (
        _shaped(make.form, count, batch),
        labels,
        tf.ensure_shape(weights, (count,)),
        tf.ensure_shape(ids, (count,)),
    )


def _parsed(serialized):
    record = parse_batch(serialized)
    labels = record["label_indexes"]
    return record["image_id"], record["image_bytes"], labels.values, labels.row_lengths()


def _shaped(form, count, batch):
    return tf.ensure_shape(batch, (count, form.image_size, form.image_size, 3))


def _finished(dataset):
    """Read ahead, keep order, and leave OpenCV one thread: batches are made side by side."""
    cv2.setNumThreads(1)
    options = tf.data.Options()
    options.deterministic = True
    # Hosts pick their rows themselves (``host``).
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.prefetch(2).with_options(options)


def _cores():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _check_seed(seed):
    if not isinstance(seed, int) or not -(2**63) <= seed < 2**63:
        raise UserError(f"seed must be an integer of 64 bits; got {seed!r}")


def _host_rows(host, batch_size):
    """Return the rows of a global batch that belong to ``host`` = (index, count)."""
    index, count = host
    if not 0 <= index < count or batch_size % count:
        raise UserError(
            f"host must be (index, count) with 0 <= index < count and count dividing batch_size; got {host} "
            f"for batch_size {batch_size}"
        )
    share = batch_size // count
    return slice(index * share, (index + 1) * share)


def _lanes(paths, num_records, keep, batch_size, start_step):
    """Return the Lanes of a stream; told is nothing, the number of records, or that of every shard."""
    if num_records is None and keep is not None:
        num_records = sum(int(keep(ids).sum()) for ids in record_ids(paths))
    if num_records is None:
        if next(iter(stored(paths).take(1)), None) is None:
            raise UserError(f"the {len(paths)} shards hold no record; the first is {paths[0]}")
        return Lanes(None, _count(paths) if start_step else None, batch_size)
    counts, total = _told(paths, num_records)
    check_positive("num_records", total)
    return Lanes(counts, total, batch_size)


def _told(paths, num_records):
    """Return (records of every shard (S,) or None, records in all) of what is told."""
    if np.ndim(num_records) == 0:
        return None, num_records
    counts = np.asarray(num_records, np.int64)
    if counts.shape != (len(paths),):
        raise UserError(f"num_records must have a number for each of {len(paths)} shards; got {counts.size}")
    return counts, int(counts.sum())


def _count(paths):
    """Return the number of records of local shards; None where some are elsewhere, since counting fetches."""
    return None if _remote(paths) else sum(tfrecord.count_records(path) for path in paths)


def _remote(paths):
    return any("://" in path for path in paths)


def shard_paths(records):
    """Return the shards that a glob or a list of paths names; a UserError says what is there instead."""
    if isinstance(records, (str, os.PathLike)):
        pattern = os.fspath(records)
        found = atomic.glob(pattern) if is_foreign(pattern) else sorted(tf.io.gfile.glob(pattern))
        if not found:
            raise UserError(f"no shard matches {pattern}; {_content(pattern.rpartition('/')[0])}")
        return found
    if not isinstance(records, collections.abc.Iterable):
        raise UserError(f"records must be a glob or a list of paths; got {records!r}")
    paths = [os.fspath(path) for path in records]
    missing = [path for path in paths if not _exists(path)]
    if missing:
        raise UserError(f"shard {missing[0]} is missing; {_content(missing[0].rpartition('/')[0])}")
    if not paths:
        raise UserError("records must name at least one shard; got an empty list")
    return paths


def _exists(path):
    return atomic.to_path(path).exists() if is_foreign(path) else tf.io.gfile.exists(path)


def _content(folder):
    """Say what a folder holds, in words."""
    folder = folder or "."
    if is_foreign(folder):
        return f"look at {folder}"
    if not tf.io.gfile.isdir(folder):
        return f"there is no folder {folder}"
    return f"{folder} holds {join_names(sorted(tf.io.gfile.listdir(folder)))}"
