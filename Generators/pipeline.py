"""From shards to batches: an endless training stream, and an evaluation of exactly one pass.

Training passes follow one another in one stream. Pass e reads the shards in an order drawn from (seed, e),
interleaves them and shuffles encoded records in a buffer; batches are always whole and may straddle passes,
so no record is dropped. What a batch holds is a function of (seed, step), not of parallelism, host or start.
Decoding and augmentation run in numpy, a batch a call: OpenCV and Pillow let go of the interpreter lock and
are several times faster than TensorFlow's image ops (`tools/bench.py input`).
"""

import collections.abc
import os

import cv2
import tensorflow as tf

from Generators import augment
from Generators.batches import EvalBatch, Form, TrainBatch, check_positive
from Generators.records import FEATURES, is_foreign, parse_batch, reader, stored
from Utils import datasets, files, images
from Utils.commands import UserError

INTERLEAVED = 16  # shards read side by side
PLACES = ("host", "device")


def train_dataset(
    records,
    *,
    num_labels,
    image_size,
    batch_size,
    seed=0,
    start_step=0,
    mixup_alpha=0.2,
    flip=True,
    crop=(0.87, 0.998),
    methods=images.METHODS,
    rotation=45.0,
    cutout=0.0,
    channel_order="bgr",
    shuffle_buffer=4096,
    num_records=None,
    host=(0, 1),
    workers=None,
    reduced_decoding=True,
    keep=None,
    unknown=None,
    augment_on="host",
    mixup_groups=1,
):
    """Return an endless dataset of ``(images (B, S, S, 3) uint8, labels (B, num_labels) float32)``.

    Args:
        records: a glob or a list of shards.
        seed: the same seed gives the same batches on any machine and at any parallelism.
        start_step: the batch to begin with, as if that many had been taken; they are not decoded, and whole
            passes among them not read.
        mixup_alpha, flip, crop, methods, rotation, cutout: see ``augment.Settings``.
        channel_order: "bgr", as all models of the zoo have it, or "rgb".
        shuffle_buffer: records (encoded; at 512 px about 90 kB each) held for shuffling.
        num_records: how many there are (that ``keep`` keeps); None counts them where that is needed.
        host: (index, count): give only this host's rows of every batch of ``batch_size``; MixUp partners then
            come from these rows.
        workers: batches made at the same time; by default one a core.
        reduced_decoding: decode JPEGs much larger than needed at 1/2, 1/4 or 1/8 of their size.
        keep: ``keep(id) -> bool`` leaves out the other records, undecoded; None keeps all.
        unknown: ``unknown(ids) -> (B, num_labels) bool`` of labels that become -1; see ``Utils.unknown``.
        augment_on: "host", or "device": flip, rotation and MixUp of the images are left to
            ``Models.augmenting``, and elements are ``((images, draws (B, 4) float32), labels)``.
        mixup_groups: partners come from the same of so many parts of the rows: one a device, where each
            device sees its own.

    Raises UserError where no shard is found or a value is out of range. While iterating, broken image bytes
    and labels outside ``num_labels`` raise a tf.errors.OpError that names the record's image_id.
    """
    check_positive("batch_size", batch_size)
    _check_seed(seed)
    rows = _host_rows(host, batch_size)
    if augment_on not in PLACES:
        raise UserError(f"augment_on must be one of {PLACES}; got {augment_on!r}")
    check_positive("mixup_groups", mixup_groups)
    if (rows.stop - rows.start) % mixup_groups:
        raise UserError(f"mixup_groups must divide {rows.stop - rows.start} rows; got {mixup_groups}")
    make = TrainBatch(
        form=Form(image_size, num_labels, channel_order),
        settings=augment.Settings(flip, crop and tuple(crop), tuple(methods), rotation, cutout, mixup_alpha),
        seed=seed,
        batch_size=batch_size,
        rows=rows,
        host=host[0],
        reduced_decoding=reduced_decoding,
        unknown=unknown,
        on_device=augment_on == "device",
        mixup_groups=mixup_groups,
    )
    paths = shard_paths(records)
    first_pass, skipped = _start(paths, start_step * batch_size, num_records, keep)
    dataset = tf.data.Dataset.range(first_pass, tf.int64.max)
    dataset = dataset.flat_map(lambda number: _one_pass(paths, seed, number, shuffle_buffer, keep))
    dataset = dataset.skip(skipped)
    dataset = dataset.batch(batch_size, drop_remainder=True)
    dataset = dataset.enumerate(start_step)
    dataset = dataset.map(lambda step, batch: _train_element(make, step, batch[rows]), workers or _cores())
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
    padding=images.WHITE,
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
    the gray around images that are not square; ``keep``, ``unknown`` and ``host``, which needs
    ``pad_batches``, are as in ``train_dataset``. The cardinality is exact where ``num_records`` is told, or
    the shards are local and ``keep`` is None. Raises as ``train_dataset``.
    """
    check_positive("batch_size", batch_size)
    form = Form(image_size, num_labels, channel_order)
    rows = _host_rows(host, batch_size)
    if host[1] > 1 and not pad_batches:
        raise UserError(f"hosts need pad_batches, so that all have as many batches; got host {host}")
    make = EvalBatch(form, padding, rows.stop - rows.start if pad_batches else None, unknown)
    paths = shard_paths(records)
    total = _count(paths) if num_records is None and keep is None else num_records
    dataset = _kept(stored(paths), keep)
    dataset = dataset.batch(batch_size)
    dataset = dataset.map(lambda batch: _eval_element(make, batch[rows]), workers or _cores())
    dataset = dataset.map(
        lambda image, label, weight, number: (
            image,
            label,
            *([weight] if pad_batches else []),
            *([number] if with_ids else []),
        )
    )
    if total is not None:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(-(-total // batch_size)))
    return _finished(dataset)


def _one_pass(paths, seed, number, shuffle_buffer, keep):
    """Return the kept records of pass ``number`` (a tensor) once, serialized, ordered by (seed, number)."""
    # This graph's seed, not the process's: else tf.random.set_seed would decide the order. Not 0, because
    # TensorFlow asks whether both seeds are 0, which it cannot of a tensor.
    tf.compat.v1.set_random_seed(1)
    words = [tf.constant(seed, tf.int64), number]
    order = tf.random.experimental.stateless_shuffle(tf.constant(paths), words)
    buffer_seed = tf.random.stateless_uniform([], words, None, None, tf.int64)
    together = min(INTERLEAVED, len(paths))
    dataset = tf.data.Dataset.from_tensor_slices(order)
    dataset = dataset.interleave(
        reader(paths), together, num_parallel_calls=min(2, together), deterministic=True
    )
    return _kept(dataset, keep).shuffle(shuffle_buffer, buffer_seed, reshuffle_each_iteration=False)


def _kept(dataset, keep):
    """Leave out the serialized records that ``keep`` does not want; of a record only the id is parsed."""
    if keep is None:
        return dataset

    def wanted(serialized):
        found = tf.numpy_function(keep, [_parsed_id(serialized)], tf.bool, stateful=False)
        return tf.ensure_shape(found, ())

    return dataset.filter(wanted)


def record_ids(paths, batch_size=1024):
    """Yield the post ids of shards, int64 (up to batch_size,), in stored order; the shards are read whole."""
    for ids in stored(paths).map(_parsed_id).batch(batch_size):
        yield ids.numpy()


def _parsed_id(serialized):
    return tf.io.parse_single_example(serialized, {"image_id": FEATURES["image_id"]})["image_id"]


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


def _start(paths, position, num_records, keep):
    """Return (pass, records to skip in it) of a position in the endless stream."""
    if position < 0:
        raise UserError(f"start_step must not be negative; got {position}")
    if keep is not None and num_records is None:
        num_records = sum(int(keep(ids).sum()) for ids in record_ids(paths))
    if num_records is not None:
        check_positive("num_records", num_records)
        return divmod(position, num_records)
    if next(iter(stored(paths).take(1)), None) is None:
        raise UserError(f"the {len(paths)} shards hold no record; the first is {paths[0]}")
    if position == 0:
        return 0, 0
    total = _count(paths)
    if total is None:
        raise UserError("start_step needs num_records where the shards are not local files")
    return divmod(position, total)


def _count(paths):
    """Return the number of records of local shards; None where some are elsewhere, since counting fetches."""
    if any("://" in path for path in paths):
        return None
    return sum(datasets.count_records(path) for path in paths)


def shard_paths(records):
    """Return the shards that a glob or a list of paths names; a UserError says what is there instead."""
    if isinstance(records, (str, os.PathLike)):
        pattern = os.fspath(records)
        found = files.glob(pattern) if is_foreign(pattern) else sorted(tf.io.gfile.glob(pattern))
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
    return files.to_path(path).exists() if is_foreign(path) else tf.io.gfile.exists(path)


def _content(folder):
    """Say what a folder holds, in words."""
    folder = folder or "."
    if is_foreign(folder):
        return f"look at {folder}"
    if not tf.io.gfile.isdir(folder):
        return f"there is no folder {folder}"
    names = sorted(tf.io.gfile.listdir(folder))
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{folder} holds {', '.join(names[:5]) + more if names else 'nothing'}"
