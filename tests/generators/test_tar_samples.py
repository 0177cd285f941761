"""Generators/tar_samples.py: batches from WebDataset tars are those from shards of the same pictures."""

import json

import numpy as np
import pytest
import tensorflow as tf
from helpers import jpeg
from helpers.archives import write_tar

from Generators import eval_dataset, records, tar_samples, train_dataset
from Utils.command.cli import UserError
from Utils.files import tfrecord

TAGS = ["1girl", "solo", "saber_(fate)", "smile", "rating:general"]
NUM = 30


def labels_of(number):
    return [row for row in range(4) if number >> row & 1]


def files_of(numbers):
    """Members of a tar: pictures with a JSON or a text, in turns."""
    files = {}
    for number in numbers:
        names = [TAGS[row] for row in labels_of(number)] + ["unknown_tag"]
        files[f"{number}.jpg"] = jpeg(number, 24)
        if number % 2:
            fields = {"id": 5, "tag_string_general": " ".join(names), "rating": "q"}
            files[f"{number}.json"] = json.dumps(fields).encode()
        else:
            spelled = [name.replace("_", " ").replace("(", "\\(").replace(")", "\\)") for name in names]
            files[f"{number}.txt"] = ", ".join(spelled).encode()
    return files


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """Paths of three tars and of three shards with the same records."""
    folder, tars, shards = tmp_path_factory.mktemp("both"), [], []
    for part in range(3):
        numbers = range(part * 10 + 1, part * 10 + 11)
        tars.append(str(write_tar(folder / f"{part}.tar", files_of(numbers))))
        shards.append(str(folder / f"{part}.tfrecord"))
        with tfrecord.Writer(shards[-1]) as writer:
            for number in numbers:
                writer.write_record(tfrecord.encode_example(number, jpeg(number, 24), labels_of(number)))
    return tars, shards


def options(**changes):
    return {"num_labels": 5, "image_size": 16, "batch_size": 8, **changes}


def same(first, second, batches=None):
    first = list(first if batches is None else first.take(batches))
    second = list(second if batches is None else second.take(batches))
    assert len(first) == len(second) > 0
    for ours, theirs in zip(first, second, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_batches_are_those_of_shards_with_the_same_records(both):
    tars, shards = both
    counts = [10, 10, 10]
    same(
        train_dataset(tars, tags=TAGS, seed=3, **options()),
        train_dataset(shards, num_records=counts, seed=3, **options()),
        batches=9,  # more than two passes
    )
    same(
        eval_dataset(tars, tags=TAGS, with_ids=True, pad_batches=True, **options()),
        eval_dataset(shards, with_ids=True, pad_batches=True, **options()),
    )


def test_a_run_continues_and_hosts_share_a_batch(both):
    tars, _ = both
    whole = list(train_dataset(tars, tags=TAGS, seed=1, **options()).take(6))
    later = list(train_dataset(tars, tags=TAGS, seed=1, start_step=4, **options()).take(2))
    for a, b in zip(whole[4:], later, strict=True):
        np.testing.assert_array_equal(a[0].numpy(), b[0].numpy())
    hosts = [
        list(train_dataset(tars, tags=TAGS, seed=1, host=(host, 2), **options()).take(2)) for host in (0, 1)
    ]
    for step in range(2):
        images = np.concatenate([hosts[host][step][0].numpy() for host in (0, 1)])
        np.testing.assert_array_equal(images, whole[step][0].numpy())
    kept = eval_dataset(tars, tags=TAGS, with_ids=True, keep=lambda ids: ids % 3 == 0, **options())
    assert np.concatenate([batch[-1].numpy() for batch in kept]).tolist() == list(range(3, 31, 3))


def test_many_streams_give_every_record_once_a_pass(both, monkeypatch):
    from Generators import host_sharding

    monkeypatch.setattr(host_sharding, "MIN_RECORDS", 4)
    monkeypatch.setattr(host_sharding, "MIN_ROWS", 2)
    tars, shards = both
    same(
        train_dataset(tars, tags=TAGS, **options()),
        train_dataset(shards, num_records=[10, 10, 10], **options()),
        batches=5,
    )


def test_a_tag_list_with_ratings_labels_them(both, tmp_path):
    lines = ["tag_id,name,category,count", "9999999,general,9,0", "9999997,questionable,9,0", "1,solo,0,5"]
    (tmp_path / "selected_tags.csv").write_text("\n".join(lines))
    dataset = eval_dataset(both[0], tags=tmp_path / "selected_tags.csv", **options(num_labels=3))
    labels = np.concatenate([batch[1].numpy() for batch in dataset])
    odd = np.arange(1, NUM + 1) % 2 == 1  # the JSONs, whose rating is q
    assert (labels[:, 1] == odd).all()
    assert labels[:, 0].sum() == 0
    assert labels[:, 2].tolist() == [float(number >> 1 & 1) for number in range(1, NUM + 1)]


@pytest.mark.reliability("Tars to train on: pictures without tags, JSON that is none", "left out, counted")
def test_pictures_without_readable_tags_are_left_out_and_counted(tmp_path, capsys):
    files = {f"{number}.jpg": jpeg(number, 8) for number in (1, 2, 3)} | {"1.txt": b"solo", "3.json": b"[1]"}
    path = write_tar(tmp_path / "x.tar", files)
    samples = tar_samples.from_paths([str(path)], TAGS, 5)
    assert isinstance(samples, tar_samples.TarSamples)
    assert samples.ids[0].tolist() == [1]
    said = capsys.readouterr().err
    assert "left out: 1 of 3 pictures: no .json or .txt" in said
    assert "left out: 1 of 3 pictures: its .json: no JSON object" in said
    (record,) = records.read_shards(samples)
    assert records.parse(record)["label_indexes"].numpy().tolist() == [1]


def test_ids_of_names_that_are_no_numbers_come_from_the_json(tmp_path):
    files = {"a.b.jpg": jpeg(1, 8), "c.jpg": jpeg(2, 8)}
    files |= {"a.json": b'{"tags": "solo"}', "c.json": b'{"id": 9, "tags": ""}'}
    samples = tar_samples.from_paths([str(write_tar(tmp_path / "d" / "x.tar", files))], TAGS, 5)
    assert isinstance(samples, tar_samples.TarSamples)
    assert samples.ids[0][1] == 9
    assert samples.counts(lambda ids: ids == 9).tolist() == [1]


def test_wrong_use_is_explained(both, tmp_path):
    tars, shards = both
    for records_, tags, fault in (
        (tars, None, "tags= must say which label each is"),
        (tars, TAGS[:3], "tags has 3 names, but num_labels is 5"),
        ([*tars, *shards], TAGS, "shards or tars, not both"),
        (shards, TAGS, "tags belong to tars"),
        (
            [str(write_tar(tmp_path / "y.tar", {"1.jpg": b"x"}))],
            TAGS,
            "no picture of 1 tars has a .json",
        ),
    ):
        with pytest.raises(UserError, match=fault):
            train_dataset(records_, tags=tags, **options())


def test_label_indexes_need_no_tags(tmp_path):
    files = {"1.jpg": jpeg(1, 8), "1.json": b'{"label_indexes": [3, 0]}', "2.jpg": jpeg(2, 8)}
    path = str(write_tar(tmp_path / "x.tar", {**files, "2.json": b'{"label_indexes": []}'}))
    ((_, labels),) = eval_dataset([path], **options())
    assert labels.numpy().tolist() == [[1, 0, 0, 1, 0], [0] * 5]


def test_a_broken_picture_names_its_record(tmp_path):
    path = write_tar(tmp_path / "x.tar", {"7.jpg": b"no image", "7.txt": b"solo"})
    with pytest.raises(tf.errors.OpError, match="record with image_id 7: not an image"):
        next(iter(eval_dataset([str(path)], tags=TAGS, **options())))


def test_blanks_separate_tags_where_the_words_together_are_no_known_tag(tmp_path):
    texts = {1: "1girl solo long_hair", 2: "solo hat", 3: "red hat", 4: "a girl with a red hat walks her dog"}
    files = {f"{number}.jpg": jpeg(number, 8) for number in texts}
    files |= {f"{number}.txt": text.encode() for number, text in texts.items()}
    names = ["1girl", "hat", "long_hair", "red_hat", "solo"]
    samples = tar_samples.from_paths([str(write_tar(tmp_path / "x.tar", files))], names, 5)
    rows = [records.parse(record)["label_indexes"] for record in records.read_shards(samples)]
    assert [row.numpy().tolist() for row in rows] == [[0, 2, 4], [1, 4], [3], []]
