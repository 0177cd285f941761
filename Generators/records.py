"""The record schema, defined once: one post is one ``tf.train.Example``.

``image_id`` int64 (the post id), ``image_bytes`` (a JPEG), ``label_indexes`` int64 list, possibly empty: rows
of selected_tags.csv. Shards of the original project have the same fields and are read as they are.
"""

import tensorflow as tf

from Utils import files, tfrecords
from Utils.commands import UserError

NATIVE = frozenset(tf.io.gfile.get_registered_schemes())  # file systems that tensorflow reads by itself
FEATURES = {
    "image_id": tf.io.FixedLenFeature([], tf.int64, default_value=0),
    "image_bytes": tf.io.FixedLenFeature([], tf.string),
    "label_indexes": tf.io.RaggedFeature(tf.int64),  # no padding: a padded 0 would be tag 0
}


def encode(image_id, image_bytes, label_indexes):
    """Return one serialized record; arguments as in `Utils.tfrecords.example`."""
    return b"".join(tfrecords.example(image_id, image_bytes, label_indexes))


def reader(shards):
    """Return what makes a dataset of the serialized records of one of ``shards``, given as a string tensor.

    Local files and ``gs://`` are read by tensorflow, other file systems through fsspec.
    """
    return _foreign if any(map(is_foreign, shards)) else tf.data.TFRecordDataset


def stored(shards):
    """Return a dataset of the serialized records of shards, one shard after another."""
    if not any(map(is_foreign, shards)):
        return tf.data.TFRecordDataset(shards)
    return tf.data.Dataset.from_tensor_slices(list(shards)).flat_map(_foreign)


def is_foreign(path):
    """Whether a path names a file system that tensorflow cannot read."""
    scheme, separator, _ = str(path).partition("://")
    return bool(separator) and scheme not in NATIVE


def _foreign(path):
    """Return the records of a shard (a scalar string tensor) that is read through fsspec."""
    return tf.data.Dataset.from_generator(_read, output_signature=tf.TensorSpec((), tf.string), args=(path,))


def _read(path):
    """Yield the records of a TFRecord file: length (8 bytes), its checksum (4), the data, its checksum (4).

    The checksums are those of transport, which the file system has its own for.
    """
    path = path.decode()
    with files.to_path(path).open("rb") as file:
        while head := file.read(12):
            length = int.from_bytes(head[:8], "little")
            data = file.read(length)
            if len(head) < 12 or len(data) < length or len(file.read(4)) < 4:
                raise UserError(f"{path} is no whole TFRecord file: its last record is cut")
            yield data


def parse(serialized):
    """Parse one record, a string scalar, eagerly or inside tf.data.

    Returns a dict: ``image_id`` int64 (), ``image_bytes`` string (), ``label_indexes`` int64 (n,).
    A record without image_id gets 0, one without label_indexes none; one without image_bytes is an error.
    """
    return tf.io.parse_single_example(serialized, FEATURES)


def parse_batch(serialized):
    """Parse a vector (B,) of records at once, as ``parse``; ``label_indexes`` is then ragged (B, n)."""
    return tf.io.parse_example(serialized, FEATURES)
