"""The record schema, defined once: one post is one ``tf.train.Example``.

``image_id`` int64 (the post id), ``image_bytes`` (a JPEG), ``label_indexes`` int64 list, possibly empty: rows
of selected_tags.csv. Shards of the original project have the same fields and are read as they are.
"""

import tensorflow as tf

from Utils.files import tfrecord

NATIVE = frozenset(tf.io.gfile.get_registered_schemes())  # file systems that tensorflow reads by itself
FEATURES = {
    "image_id": tf.io.FixedLenFeature([], tf.int64, default_value=0),
    "image_bytes": tf.io.FixedLenFeature([], tf.string),
    "label_indexes": tf.io.RaggedFeature(tf.int64),  # no padding: a padded 0 would be tag 0
}


def encode(image_id, image_bytes, label_indexes):
    """Return one serialized record; arguments as in `Utils.files.tfrecord.encode_example`."""
    return b"".join(tfrecord.encode_example(image_id, image_bytes, label_indexes))


def reader(shards, keep=None):
    """Return ``read(path, skip, take)``: a dataset of serialized records of one of ``shards``.

    Its arguments are scalar tensors; of the records that are kept (see ``kept``) it leaves out the first
    ``skip``, then gives ``take``, -1 for all. Local files and ``gs://`` are read by tensorflow, other file
    systems through fsspec.
    """
    foreign = any(map(is_foreign, shards))

    def read(path, skip, take):
        if foreign and keep is None:
            return _foreign(path, skip, take)
        dataset = _foreign(path) if foreign else tf.data.TFRecordDataset(path)
        return kept(dataset, keep).skip(skip).take(take)

    return read


def stored(shards):
    """Return a dataset of the serialized records of shards, one shard after another."""
    if not any(map(is_foreign, shards)):
        return tf.data.TFRecordDataset(shards)
    return tf.data.Dataset.from_tensor_slices(list(shards)).flat_map(_foreign)


def kept(dataset, keep):
    """Leave out the serialized records whose id ``keep(id) -> bool`` does not want; None keeps all.

    Of a record only the id is parsed.
    """
    if keep is None:
        return dataset

    def wanted(serialized):
        found = tf.numpy_function(keep, [_parsed_id(serialized)], tf.bool, stateful=False)
        return tf.ensure_shape(found, ())

    return dataset.filter(wanted)


def record_ids(shards, batch_size=1024):
    """Yield the post ids of shards, int64 (up to batch_size,), in stored order; the shards are read whole."""
    for ids in stored(shards).map(_parsed_id).batch(batch_size):
        yield ids.numpy()


def _parsed_id(serialized):
    return tf.io.parse_single_example(serialized, {"image_id": FEATURES["image_id"]})["image_id"]


def is_foreign(path):
    """Whether a path names a file system that tensorflow cannot read."""
    scheme, separator, _ = str(path).partition("://")
    return bool(separator) and scheme not in NATIVE


def _foreign(path, skip=0, take=-1):
    """Return the records of a shard (a scalar string tensor) that is read through fsspec."""
    signature = tf.TensorSpec((), tf.string)
    return tf.data.Dataset.from_generator(_read, output_signature=signature, args=(path, skip, take))


def _read(path, skip, take):
    """Yield the records of a shard, as `Utils.files.tfrecord.read_records`; a ``take`` of -1 means all."""
    return tfrecord.read_records(path.decode(), skip, None if take < 0 else take)


def parse(serialized):
    """Parse one record, a string scalar, eagerly or inside tf.data.

    Returns a dict: ``image_id`` int64 (), ``image_bytes`` string (), ``label_indexes`` int64 (n,).
    A record without image_id gets 0, one without label_indexes none; one without image_bytes is an error.
    """
    return tf.io.parse_single_example(serialized, FEATURES)


def parse_batch(serialized):
    """Parse a vector (B,) of records at once, as ``parse``; ``label_indexes`` is then ragged (B, n)."""
    return tf.io.parse_example(serialized, FEATURES)
