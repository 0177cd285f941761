"""TFRecord shards in tf.data: which there are, the schema of a record, reading from any file system, parsing.

One post is one ``tf.train.Example``: ``image_id`` int64 (the post id), ``image_bytes`` (a JPEG),
``label_indexes`` (int64 list, possibly empty: rows of selected_tags.csv). Shards of the original project have
the same fields and are read as they are.
"""

import collections.abc
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from Generators.tar_samples import TarSamples
from Utils.command.cli import UserError
from Utils.command.text import join_names
from Utils.files import atomic, tfrecord

Records = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]  # a glob, or a list of shards
_TENSORFLOW_SCHEMES = frozenset(tf.io.gfile.get_registered_schemes())
_FEATURES = {
    "image_id": tf.io.FixedLenFeature([], tf.int64, default_value=0),
    "image_bytes": tf.io.FixedLenFeature([], tf.string),
    "label_indexes": tf.io.RaggedFeature(tf.int64),  # no padding: a padded 0 would be tag 0
}


def encode(image_id: int, image_bytes: bytes, label_indexes: Iterable[int] | np.ndarray) -> bytes:
    """Return one serialized record; arguments as in `Utils.files.tfrecord.encode_example`."""
    return b"".join(tfrecord.encode_example(image_id, image_bytes, label_indexes))


def read_shards(shards: Sequence[str]) -> tf.data.Dataset:
    """Return a dataset of the serialized records of shards, one shard after another."""
    if isinstance(shards, TarSamples):
        return tf.data.Dataset.from_tensor_slices(list(shards)).flat_map(shards.dataset)
    if not any(map(needs_fsspec, shards)):
        return tf.data.TFRecordDataset(shards)
    return tf.data.Dataset.from_tensor_slices(list(shards)).flat_map(_fsspec_dataset)


Selection = Callable[[tf.data.Dataset], tf.data.Dataset]  # leaves out serialized records, or repeats some


def shard_reader(shards: Sequence[str], select: Selection | None = None) -> Callable[..., tf.data.Dataset]:
    """Return ``read(path, skip, take)``: a dataset of the serialized records of one of ``shards``.

    The arguments of ``read`` are scalar tensors. Of the records that ``select`` gives (see ``filter_by_id``,
    ``repeat_by_id``; None: of all) it leaves out the first ``skip``, then gives ``take``, -1 for all.
    TensorFlow reads local files and ``gs://``, fsspec the other file systems; tars know their samples.
    """
    through_fsspec = any(map(needs_fsspec, shards))
    # These two pass over the skipped records without fetching them.
    parts = shards.dataset if isinstance(shards, TarSamples) else _fsspec_dataset if through_fsspec else None

    def read(path: Any, skip: Any, take: Any) -> tf.data.Dataset:
        if parts is not None and select is None:
            return parts(path, skip, take)
        dataset = tf.data.TFRecordDataset(path) if parts is None else parts(path)
        return (select(dataset) if select else dataset).skip(skip).take(take)

    return read


def filter_by_id(dataset: tf.data.Dataset, keep: Callable[[np.ndarray], Any] | None) -> tf.data.Dataset:
    """Leave out the serialized records whose id ``keep(id) -> bool`` refuses; None keeps all.

    Only the id of a record is parsed.
    """
    if keep is None:
        return dataset

    def is_kept(serialized: Any) -> Any:
        answer = tf.numpy_function(keep, [_parse_id(serialized)], tf.bool, stateful=False)
        return tf.ensure_shape(answer, ())

    return dataset.filter(is_kept)


def repeat_by_id(
    dataset: tf.data.Dataset, copies: Callable[[Any, Any], np.ndarray], pass_number: Any
) -> tf.data.Dataset:
    """Give each serialized record ``copies(id, pass_number) -> int64`` times, one after another."""

    def repeated(serialized: Any) -> tf.data.Dataset:
        words = [_parse_id(serialized), pass_number]
        count = tf.numpy_function(copies, words, tf.int64, stateful=False)
        return tf.data.Dataset.from_tensors(serialized).repeat(tf.ensure_shape(count, ()))

    return dataset.flat_map(repeated)


def record_ids(shards: Sequence[str], batch_size: int = 1024) -> Iterator[np.ndarray]:
    """Yield the post ids of shards in stored order, int64 (up to batch_size,); reads the whole shards."""
    for ids in read_shards(shards).map(_parse_id).batch(batch_size):
        yield ids.numpy()


def parse(serialized: Any) -> dict[str, Any]:
    """Parse one record, a string scalar, eagerly or inside tf.data.

    Returns a dict: ``image_id`` int64 (), ``image_bytes`` string (), ``label_indexes`` int64 (n,). A record
    without image_id gets 0, one without label_indexes none; one without image_bytes is an error.
    """
    return tf.io.parse_single_example(serialized, _FEATURES)


def parse_batch(serialized: Any) -> dict[str, Any]:
    """Parse a vector (B,) of records at once, as ``parse``; ``label_indexes`` is then ragged (B, n)."""
    return tf.io.parse_example(serialized, _FEATURES)


def _parse_id(serialized: Any) -> Any:
    return tf.io.parse_single_example(serialized, {"image_id": _FEATURES["image_id"]})["image_id"]


def needs_fsspec(path: str) -> bool:
    """Whether a path names a file system that TensorFlow cannot read by itself."""
    scheme, separator, _ = str(path).partition("://")
    return bool(separator) and scheme not in _TENSORFLOW_SCHEMES


def _fsspec_dataset(path: Any, skip: Any = 0, take: Any = -1) -> tf.data.Dataset:
    """Return the records of a shard (a scalar string tensor) that is read through fsspec."""
    signature = tf.TensorSpec((), tf.string)
    return tf.data.Dataset.from_generator(_read, output_signature=signature, args=(path, skip, take))


def _read(path: bytes, skip: int, take: int) -> Iterator[bytes]:
    """Yield the records of a shard, as `Utils.files.tfrecord.read_records`; a ``take`` of -1 means all."""
    return tfrecord.read_records(path.decode(), skip, None if take < 0 else take)


def are_remote(paths: Sequence[str]) -> bool:
    """Tell whether any of these shards is named by an address, not by a path."""
    return any("://" in path for path in paths)


def shard_paths(records: Records) -> list[str]:
    """Return the shards that a glob or a list of paths names.

    Raises UserError if no shard matches or one is missing; it says what the folder holds instead.
    """
    if isinstance(records, (str, os.PathLike)):
        pattern = os.fspath(records)
        matches = atomic.glob(pattern) if needs_fsspec(pattern) else sorted(tf.io.gfile.glob(pattern))
        if not matches:
            raise UserError(f"no shard matches {pattern}; {_content(pattern.rpartition('/')[0])}")
        return matches
    if not isinstance(records, collections.abc.Iterable):
        raise UserError(f"records must be a glob or a list of paths; got {records!r}")
    paths = [os.fspath(path) for path in records]
    missing = [path for path in paths if not _exists(path)]
    if missing:
        raise UserError(f"shard {missing[0]} is missing; {_content(missing[0].rpartition('/')[0])}")
    if not paths:
        raise UserError("records must name at least one shard; got an empty list")
    return paths


def _exists(path: str) -> bool:
    return atomic.to_path(path).exists() if needs_fsspec(path) else tf.io.gfile.exists(path)


def _content(folder: str) -> str:
    """Say in words what a folder holds."""
    folder = folder or "."
    if needs_fsspec(folder):
        return f"look at {folder}"
    if not tf.io.gfile.isdir(folder):
        return f"there is no folder {folder}"
    return f"{folder} holds {join_names(sorted(tf.io.gfile.listdir(folder)))}"
