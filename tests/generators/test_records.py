"""Generators/records.py: what is encoded is parsed, as TensorFlow would write it."""

import functools

import fsspec
import helpers
import numpy as np
import pytest
import tensorflow as tf

from Generators import records


def parse(serialized):
    return {name: tensor.numpy() for name, tensor in records.parse(serialized).items()}


@pytest.mark.parametrize("labels", [[], [0], [0, 3], [3], list(range(2380))])
def test_an_encoded_record_is_parsed_back(labels):
    parsed = parse(records.encode(2**63 - 1, b"\xff\xd8\x00jpeg", np.array(labels, np.int32)))
    assert parsed["image_id"] == 2**63 - 1
    assert parsed["image_bytes"] == b"\xff\xd8\x00jpeg"
    assert parsed["label_indexes"].dtype == np.int64
    assert parsed["label_indexes"].tolist() == labels


def test_the_same_record_gives_the_same_bytes():
    assert records.encode(5, b"x", [1, 2]) == records.encode(5, b"x", [1, 2])
    others = [(6, b"x", [1, 2]), (5, b"y", [1, 2]), (5, b"x", [2, 1]), (5, b"x", [])]
    assert all(records.encode(*other) != records.encode(5, b"x", [1, 2]) for other in others)


@pytest.mark.parametrize("labels", [[], [0], [127, 128, 300, 2**31 - 1, 2**63 - 1], np.arange(5000)])
@pytest.mark.parametrize("size", [0, 1, 127, 128, 100_000])
def test_the_bytes_are_those_of_tensorflows_example(labels, size):
    data, number = np.random.default_rng(size).bytes(size), 2**size % 2**63 if size < 200 else 5
    example = tf.train.Example()
    example.features.feature["label_indexes"].int64_list.value.extend(int(i) for i in labels)
    example.features.feature["image_id"].int64_list.value.append(number)
    example.features.feature["image_bytes"].bytes_list.value.append(data)
    assert records.encode(number, data, labels) == example.SerializeToString(deterministic=True)


def test_records_of_the_original_are_read_without_id_and_without_labels():
    """The original wrote the same fields; an image without tags may have no label_indexes at all."""
    image = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"x"]))
    bare = tf.train.Example(features=tf.train.Features(feature={"image_bytes": image})).SerializeToString()
    parsed = parse(bare)
    assert parsed["image_id"] == 0
    assert parsed["label_indexes"].shape == (0,)


def test_parsing_inside_tf_data_keeps_shapes_static():
    data = tf.data.Dataset.from_tensors(records.encode(1, b"x", [])).map(records.parse)
    assert data.element_spec["image_id"].shape == ()
    assert data.element_spec["label_indexes"].shape.rank == 1
    assert [item["label_indexes"].shape for item in data] == [(0,)]


def test_a_record_without_image_is_an_error():
    empty = tf.train.Example().SerializeToString()
    with pytest.raises(tf.errors.InvalidArgumentError, match="image_bytes"):
        records.parse(empty)


@pytest.fixture(params=["local", "fsspec"])
def shards(request, tmp_path):
    """Two shards with the posts 0 to 6 and 7 to 9, read by TensorFlow or through fsspec."""
    root = "memory://records" if request.param == "fsspec" else str(tmp_path)
    system = fsspec.filesystem("memory")
    paths = []
    for index, ids in enumerate([range(7), range(7, 10)]):
        shard = tmp_path / f"{index}.tfrecord"
        helpers.write_tfrecord(shard, [records.encode(number, b"x", []) for number in ids])
        paths.append(f"{root}/{index}.tfrecord")
        if request.param == "fsspec":
            system.put_file(str(shard), paths[-1])
    assert records.needs_fsspec(paths[0]) == (request.param == "fsspec")
    yield paths
    if request.param == "fsspec":
        system.rm("/records", recursive=True)


def ids_of(dataset):
    return [parse(serialized)["image_id"] for serialized in dataset]


def is_even(number):
    return number % 2 == 0


def test_shards_are_read_one_after_another(shards):
    assert ids_of(records.read_shards(shards)) == list(range(10))
    assert [batch.tolist() for batch in records.record_ids(shards, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


@pytest.mark.parametrize(
    ("keep", "skip", "take", "expected"),
    [
        (None, 0, -1, [0, 1, 2, 3, 4, 5, 6]),
        (None, 2, 3, [2, 3, 4]),
        (None, 6, 5, [6]),
        (is_even, 0, -1, [0, 2, 4, 6]),
        (is_even, 1, 2, [2, 4]),
    ],
)
def test_a_reader_skips_and_takes_among_the_records_that_are_kept(shards, keep, skip, take, expected):
    read = records.shard_reader(shards, functools.partial(records.filter_by_id, keep=keep) if keep else None)
    arguments = tf.constant(shards[0]), tf.constant(skip, tf.int64), tf.constant(take, tf.int64)
    assert ids_of(read(*arguments)) == expected
    ranges = tf.data.Dataset.from_tensors(arguments)
    assert ids_of(ranges.flat_map(read)) == expected, "inside tf.data, too"


def test_a_filter_parses_the_id_alone(tmp_path):
    """A record without an image, which `parse` refuses, may be left out."""
    number = tf.train.Feature(int64_list=tf.train.Int64List(value=[3]))
    bare = tf.train.Example(features=tf.train.Features(feature={"image_id": number})).SerializeToString()
    dataset = tf.data.Dataset.from_tensor_slices([records.encode(2, b"x", []), bare])
    assert ids_of(records.filter_by_id(dataset, is_even)) == [2]
    assert records.filter_by_id(dataset, None) is dataset
