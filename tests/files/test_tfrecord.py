import hashlib
import os

import numpy as np
import pytest
import tensorflow as tf

from Utils.command.cli import UserError
from Utils.files import atomic, tfrecord

RECORDS = [(7, b"\xff\xd8image", [0, 5]), (2**63 - 1, b"", []), (0, bytes(100_000), range(300))]


def written(path):
    with tfrecord.Writer(path) as writer:
        for record in RECORDS:
            writer.write_record(tfrecord.encode_example(*record))
    return writer


def test_tensorflow_writes_the_same_file(tmp_path):
    writer = written(tmp_path / "ours")
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as other:
        for record in RECORDS:
            other.write(b"".join(tfrecord.encode_example(*record)))
    data = (tmp_path / "ours").read_bytes()
    assert data == (tmp_path / "theirs").read_bytes()
    assert (writer.size, writer.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_tensorflow_reads_it_and_checks_the_checksums(tmp_path):
    written(tmp_path / "x")
    assert len(list(tf.data.TFRecordDataset(str(tmp_path / "x")))) == 3
    data = bytearray((tmp_path / "x").read_bytes())
    data[40] ^= 1
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.TFRecordDataset(str(tmp_path / "x")))


def test_records_are_read_back_through_the_index_and_one_by_one(tmp_path):
    written(tmp_path / "x")
    data = (tmp_path / "x").read_bytes()
    expected = [b"".join(tfrecord.encode_example(*record)) for record in RECORDS]
    assert [data[at : at + size] for at, size in tfrecord.read_index(tmp_path / "x").tolist()] == expected
    assert list(tfrecord.read_records(tmp_path / "x")) == expected
    for skip, take in ((0, 0), (1, 1), (2, None), (1, 9), (5, 1)):
        end = None if take is None else skip + take
        assert list(tfrecord.read_records(tmp_path / "x", skip, take)) == expected[skip:end]
    assert tfrecord.count_records(tmp_path / "x") == 3
    (tmp_path / "x").write_bytes(data * 2)
    assert tfrecord.count_records(tmp_path / "x") == 6, "not what was counted before"


def test_readers_of_one_file_in_memory_do_not_disturb_each_other(tmp_path):
    written(tmp_path / "x")
    remote = atomic.to_path("memory://tfrecord/x")
    remote.parent.mkdir(exist_ok=True)
    remote.write_bytes((tmp_path / "x").read_bytes())
    pairs = zip(tfrecord.read_records(str(remote)), tfrecord.read_records(remote), strict=True)
    assert [a == b for a, b in pairs] == [True] * 3


@pytest.mark.parametrize("cut", [1, 5, 20, 100_100])
def test_a_cut_record_is_an_error_that_names_it(tmp_path, cut):
    written(tmp_path / "x")
    data = (tmp_path / "x").read_bytes()
    (tmp_path / "x").write_bytes(data[:-cut])
    for read in (tfrecord.read_index, lambda path: list(tfrecord.read_records(path))):
        with pytest.raises(UserError, match=r"x is no whole TFRecord file: record 2 is cut"):
            read(tmp_path / "x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names on Windows")
def test_a_shard_that_is_not_there_says_what_to_do(tmp_path):
    for read in (tfrecord.read_index, tfrecord.count_records, lambda path: next(tfrecord.read_records(path))):
        with pytest.raises(UserError, match=r"no shard of records is at .*a\.tfrecord; restore it, or write"):
            read(tmp_path / "a.tfrecord")


def test_a_pipe_is_no_shard_and_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "x")
    with pytest.raises(UserError, match="x is a pipe"):
        tfrecord.read_index(tmp_path / "x")


@pytest.mark.reliability(
    "shards on an object store without a dataset.json: to count their records is to download them",
    "they are counted once; the number is kept for as long as the store says that the file is the same",
)
def test_records_of_an_object_store_are_counted_once(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(tfrecord, "NOT_KEPT", ())
    there = atomic.to_path("memory://counted/a.tfrecord")
    there.parent.mkdir(parents=True, exist_ok=True)
    with tfrecord.Writer(tmp_path / "a") as writer:
        for data in (b"one", b"two"):
            writer.write_record([data])
    there.write_bytes((tmp_path / "a").read_bytes())
    read, reads = tfrecord.read_index, []
    monkeypatch.setattr(tfrecord, "read_index", lambda path: reads.append(path) or read(path))
    for _ in range(2):
        tfrecord._counted.cache_clear()  # another process
        assert tfrecord.count_records(str(there)) == 2
    assert len(reads) == 1
    with tfrecord.Writer(tmp_path / "b") as writer:
        writer.write_record([b"three"])
    there.write_bytes((tmp_path / "b").read_bytes())
    tfrecord._counted.cache_clear()
    assert (tfrecord.count_records(str(there)), len(reads)) == (1, 2), "the file has changed"
    tfrecord.count_records(str(tmp_path / "a"))
    assert len(list((tmp_path / "cache").rglob("*.json"))) == 2, "local files are counted anew"
    atomic.remove_tree(there.parent)


def test_an_empty_file_holds_no_record(tmp_path):
    (tmp_path / "x").write_bytes(b"")
    assert tfrecord.read_index(tmp_path / "x").shape == (0, 2)
    assert list(tfrecord.read_records(tmp_path / "x")) == []


def test_examples_of_other_writers_are_read():
    """Keys in any order, numbers unpacked, more features than needed."""
    example = tf.train.Example()
    example.features.feature["zzz"].float_list.value.extend([1.5, 2.5])
    example.features.feature["image_id"].int64_list.value.append(300)
    example.features.feature["image_bytes"].bytes_list.value.append(b"x" * 500)
    assert tfrecord.decode_example(example.SerializeToString()) == (300, b"x" * 500)
    unpacked = b"\x0a\x1a\x0a\x0d\x0a\x08image_id\x12\x01\x1a"  # cut short on purpose
    with pytest.raises(ValueError, match=r"ends after the data|without end|no image"):
        tfrecord.decode_example(unpacked)


def test_bytes_that_are_no_example_are_refused():
    random = np.random.default_rng(0)
    example = b"".join(tfrecord.encode_example(5, b"abc", [1, 2]))
    for data in (b"", b"\x0a", example[:-9], b"\xff" * 20, *(random.bytes(30) for _ in range(300))):
        with pytest.raises(ValueError):  # noqa: PT011  whatever is wrong with it
            tfrecord.decode_example(data)
