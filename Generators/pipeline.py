"""Input pipelines from shards to batches: endless for training, exactly one pass for evaluation.

Training passes follow one another in one stream. Pass e reads the shards in an order drawn from (seed, e),
interleaves them and shuffles encoded records in a buffer: 4096 JPEGs take a few hundred MB, as pixels they
would take several GB. Batches are always whole and may straddle passes, so no record is dropped. What a batch
holds is a function of (seed, step), whatever the parallelism, the number of hosts or the step a run began
with: see ``Generators.host_sharding``.

Decoding and augmentation run in numpy, one call a batch (``Generators.batches``): OpenCV and Pillow release
the interpreter lock and are several times faster than TensorFlow's image ops (`tools/bench.py input`).
"""

import collections.abc
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Literal

import cv2
import numpy as np
import tensorflow as tf

from Generators import tar_samples
from Generators.batches import BatchSpec, EvalBatcher, SoftLabels, TrainBatcher, UnknownMask
from Generators.host_sharding import Keep, RecordStreams, record_dataset, shard_ranges
from Generators.packed_labels import require_packable
from Generators.records import (
    Records,
    are_remote,
    filter_by_id,
    parse_batch,
    read_shards,
    record_ids,
    shard_paths,
    shard_reader,
)
from Generators.tar_samples import Tags, TarSamples
from Utils.command.cli import UserError, suggest
from Utils.command.machine import num_cores
from Utils.data.repeat_factors import RepeatFactors
from Utils.files import tfrecord
from Utils.images import codec
from Utils.images.augmentation import Augmentation

# Bytes of the batches that are being made: on a host of 224 cores 448 px would take 69 GB otherwise. 55 cores
# of such a host make that many batches at a time.
MOST_IN_FLIGHT = 16 * 2**30
READERS = 4  # threads beside those that make batches, where their number is limited


# No function here branches on a tensor; to rewrite them for that is most of the time to build a pipeline.
_as_written = tf.autograph.experimental.do_not_convert


@_as_written
def train_dataset(
    records: Records,
    *,
    num_labels: int,
    image_size: int,
    batch_size: int,
    seed: int = 0,
    start_step: int = 0,
    augmentation: Augmentation | None = None,
    channel_order: Literal["bgr", "rgb"] = "bgr",
    shuffle_buffer: int = 4096,
    num_records: int | Sequence[int] | np.ndarray | None = None,
    host: tuple[int, int] = (0, 1),
    workers: int | None = None,
    reduced_decoding: bool = True,
    keep: Keep | None = None,
    repeats: RepeatFactors | None = None,
    unknown: UnknownMask | None = None,
    teacher: SoftLabels | None = None,
    tags: Tags | None = None,
    packed_labels: int = 0,
    when_ready: collections.abc.Callable[[int], None] | None = None,
    **changes: Any,
) -> tf.data.Dataset:
    """Return an endless dataset of ``(images (B, S, S, 3) uint8, labels (B, num_labels) float32)``.

    Args:
        records: a glob or a list of shards, or of WebDataset tars: see ``Generators.tar_samples``.
        num_labels: labels of the dataset: rows of selected_tags.csv.
        image_size: side of the square images, in pixels.
        batch_size: images in a global batch, on all hosts.
        seed: the same seed gives the same batches on any machine and at any parallelism.
        start_step: the number of the first batch. Earlier ones are not decoded, whole passes not read.
        augmentation: an ``Utils.images.augmentation.Augmentation``; None has the original zoo's settings.
        channel_order: "bgr", as all models of the zoo have it, or "rgb".
        shuffle_buffer: records (encoded; at 512 px about 90 kB each) held for shuffling.
        num_records: number of records (that ``keep`` keeps), in total or for every shard; None counts them
            where needed. With one for every shard there are as many streams as ``host_sharding`` says, and
            MixUp partners are of one stream. Otherwise there is one, and every host reads all shards.
        host: (index, count): give only this host's rows of every batch of ``batch_size``, which are the same
            for any number of hosts; it reads the streams of these rows, and decodes them and their partners.
        workers: batches made at the same time; by default one a core, within `MOST_IN_FLIGHT` bytes.
        reduced_decoding: decode JPEGs much larger than needed at 1/2, 1/4 or 1/8 of their size.
        keep: ``keep(id) -> bool`` leaves out the other records, undecoded; None keeps all.
        repeats: how often each of the records that are kept comes in a pass; None: once.
        unknown: ``unknown(ids) -> (B, num_labels) bool`` of labels that become -1.
        teacher: ``teacher(ids, labels) -> labels`` adds to labels (B, num_labels) before MixUp.
        tags: for tars, which hold the names of tags: the path of a selected_tags.csv, or a list of the names.
        packed_labels: give labels packed, (B, 2 packed_labels), with room for so many an image; 0 gives all
            of them. The losses of ``Utils.training`` take both; see ``Generators.packed_labels``.
        when_ready: called with the step of every batch that is made, in the thread that has made it.
        changes: single fields of the augmentation, for example ``mixup_alpha=0`` or ``crop=None`` (no crop).
            With ``augment_on="device"`` flip, rotation and MixUp of the images are left to
            ``Models.with_augmentation``, and elements are ``((images, draws (B, 4) float32), labels)``.

    Raises UserError where no shard is found or a value is out of range. While iterating, broken image bytes
    and labels outside ``num_labels`` raise a tf.errors.OpError that names the record's image_id.
    """
    spec = BatchSpec(image_size, num_labels, batch_size, channel_order)
    _check_start(seed, start_step)
    require_packable(packed_labels, num_labels)
    rows = _host_rows(host, batch_size)
    augmentation = _changed(augmentation or Augmentation(), changes)
    paths, num_records = _records_of(records, num_records, tags, num_labels, keep)
    streams = _streams(paths, num_records, keep, batch_size, start_step)
    streams = streams if repeats is None else _with_repeats(streams, repeats)
    batcher = TrainBatcher(
        spec=spec, augmentation=augmentation, seed=seed, rows=rows, rows_read=streams.rows_read(rows),
        streams=streams.number, reduced_decoding=reduced_decoding, unknown=unknown, teacher=teacher,
        packed_labels=packed_labels, when_ready=when_ready,
    )  # fmt: skip
    dataset = record_dataset(
        paths, streams, rows, seed=seed, start_step=start_step, shuffle_buffer=shuffle_buffer, keep=keep
    )
    # It is endless, so nothing is dropped: `drop_remainder` makes the size of a batch static.
    dataset = dataset.batch(batcher.rows_read.stop - batcher.rows_read.start, drop_remainder=True)
    dataset = dataset.enumerate(start_step)  # all random draws of a batch follow from its step
    workers = workers or workers_within(batcher.bytes_filled)
    dataset = dataset.map(lambda step, batch: _train_element(batcher, step, batch), workers)
    return with_options(_endless(dataset), workers)


def _endless(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Say that a dataset is endless: `flat_map` has lost that, and Keras looks at the cardinality."""
    return dataset.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY))


@_as_written
def eval_dataset(
    records: Records,
    *,
    num_labels: int,
    image_size: int,
    batch_size: int,
    with_ids: bool = False,
    pad_batches: bool = False,
    channel_order: Literal["bgr", "rgb"] = "bgr",
    padding: int = codec.WHITE,
    workers: int | None = None,
    keep: Keep | None = None,
    unknown: UnknownMask | None = None,
    num_records: int | Sequence[int] | np.ndarray | None = None,
    host: tuple[int, int] = (0, 1),
    tags: Tags | None = None,
    packed_labels: int = 0,
) -> tf.data.Dataset:
    """Return a dataset of exactly one pass in stored order, each image as ``codec.prepare`` gives it.

    Elements are ``(images (B, S, S, 3) uint8, labels (B, num_labels) float32)``, then with ``pad_batches``
    ``sample_weight (B,)`` float32, then with ``with_ids`` ``ids (B,)`` int64. The last batch is smaller,
    unless ``pad_batches`` fills it with black images without labels, of weight 0 and id -1. ``padding`` is
    the gray level around images that are not square; the other arguments are as in ``train_dataset``. The
    cardinality is exact where ``num_records`` is given, or the shards are local and ``keep`` is None.

    With several hosts, host i reads the i-th part of the records, one after another, and fills its rows of as
    many batches as the others; that takes ``pad_batches``. Raises as ``train_dataset``.
    """
    spec = BatchSpec(image_size, num_labels, batch_size, channel_order)
    require_packable(packed_labels, num_labels)
    rows = _host_rows(host, batch_size)
    num_rows = rows.stop - rows.start
    if host[1] > 1 and not pad_batches:
        raise UserError(f"hosts need pad_batches, so that all have as many batches; got host {host}")
    batcher = EvalBatcher(spec, padding, num_rows if pad_batches else None, unknown, packed_labels)
    paths, num_records = _records_of(records, num_records, tags, num_labels, keep)
    counts, total = _eval_counts(paths, num_records, keep, host)
    num_batches = None if total is None else -(-total // batch_size)
    if host[1] == 1:
        dataset = filter_by_id(read_shards(paths), keep).batch(batch_size)
    else:
        assert counts is not None and num_batches is not None  # _eval_counts has seen to it
        dataset = _record_range(paths, counts, keep, host[0] * num_batches * num_rows, num_batches * num_rows)
        # All hosts must take part in every batch: one whose records have ended gives padding alone.
        empty_batches = tf.data.Dataset.from_tensors(tf.constant([], tf.string)).repeat()
        dataset = dataset.batch(num_rows).concatenate(empty_batches).take(num_batches)
    workers = workers or workers_within(spec.image_bytes(num_rows))
    dataset = dataset.map(lambda batch: _eval_element(batcher, batch), workers)
    dataset = dataset.map(
        lambda image, label, weight, image_id: (
            image,
            label,
            *([weight] if pad_batches else []),
            *([image_id] if with_ids else []),
        )
    )
    if num_batches is not None:
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(num_batches))
    return with_options(dataset, workers)


def _records_of(
    records: Records,
    num_records: int | Sequence[int] | np.ndarray | None,
    tags: Tags | None,
    num_labels: int,
    keep: Keep | None,
) -> tuple[Sequence[str], int | Sequence[int] | np.ndarray | None]:
    """Return the paths of shards or tars, and how many records they have: of tars always for each."""
    paths = tar_samples.from_paths(shard_paths(records), tags, num_labels)
    return (paths, paths.counts(keep)) if isinstance(paths, TarSamples) else (paths, num_records)


def _changed(augmentation: Augmentation, changes: dict[str, Any]) -> Augmentation:
    """Return an augmentation with some fields changed; TypeError for a name that it does not have."""
    names = [field.name for field in dataclasses.fields(Augmentation)]
    for name in changes:
        if name not in names:
            hint = suggest(name, names)
            raise TypeError(f"train_dataset() got an unexpected keyword argument {name!r}{hint}")
    if changes.get("crop", ()) is None:
        changes = {**changes, "crop": (1.0, 1.0)}
    return dataclasses.replace(augmentation, **changes)


def _train_element(batcher: TrainBatcher, step: Any, serialized: Any) -> tuple[Any, Any]:
    """Parse the records of a batch and let numpy make its arrays; traced inside tf.data."""
    count = batcher.rows.stop - batcher.rows.start
    images, labels, draws = tf.numpy_function(
        batcher, (step, *_parse(serialized)), (tf.uint8, tf.float32, tf.float32), stateful=False
    )
    # What numpy returns has no static shape, and Keras builds its step from the static one.
    images = tf.ensure_shape(images, batcher.spec.images_shape(count))
    labels = tf.ensure_shape(labels, (count, batcher.labels_width))
    return ((images, tf.ensure_shape(draws, (count, 4))), labels) if batcher.on_device else (images, labels)


def _eval_element(batcher: EvalBatcher, serialized: Any) -> tuple[Any, ...]:
    types = (tf.uint8, tf.float32, tf.float32, tf.int64)
    images, labels, weights, ids = tf.numpy_function(batcher, _parse(serialized), types, stateful=False)
    count = batcher.rows  # None: the last batch is smaller
    size = batcher.spec.image_size
    return (
        tf.ensure_shape(images, (count, size, size, 3)),
        tf.ensure_shape(labels, (count, batcher.labels_width)),
        tf.ensure_shape(weights, (count,)),
        tf.ensure_shape(ids, (count,)),
    )


def _parse(serialized: Any) -> tuple[Any, Any, Any, Any]:
    """Return ids, image bytes, label indexes and how many each row has, as a batcher takes them."""
    record = parse_batch(serialized)
    labels = record["label_indexes"]
    return record["image_id"], record["image_bytes"], labels.values, labels.row_lengths()


def workers_within(batch_bytes: int) -> int:
    """Return how many batches are made at a time: one a core, as far as `MOST_IN_FLIGHT` bytes hold them."""
    return max(1, min(num_cores(), MOST_IN_FLIGHT // batch_bytes))


def with_options(dataset: tf.data.Dataset, workers: int | None = None) -> tf.data.Dataset:
    """Prefetch, keep the order, and limit OpenCV to one thread: ``workers`` batches are made in parallel."""
    cv2.setNumThreads(1)
    options = tf.data.Options()
    options.deterministic = True
    if workers is not None and workers < num_cores():
        # Every thread keeps the array that it once filled, so there must not be one for each core.
        options.threading.private_threadpool_size = workers + READERS
    # Hosts pick their rows themselves (``host``), so a tf.distribute strategy must not shard again.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return dataset.prefetch(2).with_options(options)


def _check_start(seed: int, start_step: int) -> None:
    if not isinstance(seed, int) or not -(2**63) <= seed < 2**63:
        raise UserError(f"seed must be an integer of 64 bits; got {seed!r}")
    if start_step < 0:
        raise UserError(f"start_step must not be negative; got {start_step}")


def _host_rows(host: tuple[int, int], batch_size: int) -> slice:
    """Return the rows of a global batch that belong to ``host`` = (index, count)."""
    index, count = host
    if not 0 <= index < count or batch_size % count:
        raise UserError(
            f"host must be (index, count) with 0 <= index < count and count dividing batch_size; got {host} "
            f"for batch_size {batch_size}"
        )
    share = batch_size // count
    return slice(index * share, (index + 1) * share)


def _streams(
    paths: Sequence[str],
    num_records: int | Sequence[int] | np.ndarray | None,
    keep: Keep | None,
    batch_size: int,
    start_step: int,
) -> RecordStreams:
    """Return the streams of a training dataset; without records of every shard there is one."""
    if num_records is None and keep is not None:
        num_records = sum(int(keep(ids).sum()) for ids in record_ids(paths))
    if num_records is None:
        # Repeating an empty dataset endlessly would hang instead of fail.
        if next(iter(read_shards(paths).take(1)), None) is None:
            raise UserError(f"the {len(paths)} shards hold no record; the first is {paths[0]}")
        # Counting remote shards means fetching them; only a start in the middle needs the counts.
        total = sum(map(tfrecord.count_records, paths)) if start_step and not are_remote(paths) else None
        return RecordStreams(None, total, batch_size)
    counts, total = _counts_and_total(paths, num_records)
    if total < 1:
        raise UserError(f"num_records must be an integer of at least 1; got {total}")
    return RecordStreams(counts, total, batch_size)


def _with_repeats(streams: RecordStreams, repeats: RepeatFactors) -> RecordStreams:
    if streams.total not in (None, len(repeats.ids)):
        raise UserError(
            f"repeats must have a factor for each of the {streams.total} records; got {len(repeats.ids)}"
        )
    return dataclasses.replace(streams, repeats=repeats)


def _eval_counts(
    paths: Sequence[str],
    num_records: int | Sequence[int] | np.ndarray | None,
    keep: Keep | None,
    host: tuple[int, int],
) -> tuple[np.ndarray | None, int | None]:
    """Return (records of every shard or None, records in all or None); several hosts need both."""
    suffices = num_records is not None and (host[1] == 1 or np.ndim(num_records))
    if not suffices and keep is None and not are_remote(paths):
        num_records = [tfrecord.count_records(path) for path in paths]
    counts, total = (None, None) if num_records is None else _counts_and_total(paths, num_records)
    if counts is None and host[1] > 1:
        raise UserError("hosts need num_records of every shard, unless the shards are local and all are kept")
    return counts, total


def _counts_and_total(
    paths: Sequence[str], num_records: int | Sequence[int] | np.ndarray
) -> tuple[np.ndarray | None, int]:
    """Return (records of every shard (S,), None where only their number is given; records in all)."""
    if isinstance(num_records, (int, np.integer)):
        return None, int(num_records)
    counts = np.asarray(num_records, np.int64)
    if counts.shape != (len(paths),):
        raise UserError(f"num_records must have a number for each of {len(paths)} shards; got {counts.size}")
    return counts, int(counts.sum())


def _record_range(
    paths: Sequence[str], counts: np.ndarray, keep: Keep | None, begin: int, length: int
) -> tf.data.Dataset:
    """Return ``length`` serialized records from position ``begin`` on, or as many as there are."""
    total = counts.sum()
    shards, skips, takes = shard_ranges(
        counts, np.arange(len(paths)), min(begin, total), min(begin + length, total)
    )
    names = tf.constant(np.array(paths)[shards].tolist(), tf.string)
    select = functools.partial(filter_by_id, keep=keep) if keep else None
    return tf.data.Dataset.from_tensor_slices((names, skips, takes)).flat_map(shard_reader(paths, select))
