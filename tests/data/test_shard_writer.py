"""Utils/data/shard_writer.py: shards and their notes, images of old shards, forbidden paths."""

import json
import pathlib

import numpy as np
import pytest
from helpers import jpeg, small_dataset

from Utils.command.cli import UserError, WorkError
from Utils.data import dataset_folder, shard_writer
from Utils.data.shard_writer import RecordIndex, ShardJob
from Utils.files import tfrecord
from Utils.images import codec, image_reader, places


def job(root, posts, **changes):
    """A job that writes ``root``/s.tfrecord from ``root``/images."""
    values = {
        "path": str(root / "s.tfrecord"), "file": "train/s.tfrecord", "split": "train",
        "note": str(root / "s.json"), "plan": "", "place": places.open_place(root / "images"),
        "image_size": 32, "quality": 95, "posts": posts,
    }  # fmt: skip
    return ShardJob(**(values | changes))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "1.jpg").write_bytes(jpeg(1, 32))
    (tmp_path / "images" / "2.jpg").write_bytes(b"no image")
    return tmp_path


def decoded(path):
    return [tfrecord.decode_example(data) for data in tfrecord.read_records(path)]


def test_broken_posts_are_left_out_and_the_note_says_why(folder):
    posts = [(1, "1.jpg", np.array([0, 3])), (2, "2.jpg", np.array([])), (3, "3.jpg", np.array([]))]
    note = shard_writer.write_shard(job(folder, posts))
    assert decoded(folder / "s.tfrecord") == [(1, jpeg(1, 32))]  # stored as it is: it fits already
    assert note["ids"] == [1]
    assert [row[:2] for row in note["rejected"]] == [(2, "2.jpg"), (3, "3.jpg")]
    assert note["rejected"][1][2] == "file missing"
    assert (note["records"], note["bytes"]) == (1, (folder / "s.tfrecord").stat().st_size)
    assert json.loads((folder / "s.json").read_text()) == json.loads(json.dumps(note))


def test_the_images_of_old_records_are_copied(folder):
    first = [(1, "1.jpg", np.array([0]))]
    shard_writer.write_shard(job(folder, first))
    ((offset, length),) = tfrecord.read_index(folder / "s.tfrecord").tolist()
    place = (str(folder / "s.tfrecord"), offset, length)
    posts = [(1, "gone.jpg", np.array([5])), (9, "9.jpg", np.array([]))]
    changes = {
        "path": str(folder / "t.tfrecord"),
        "place": None,
        "reused": [place, "not in the old dataset"],
    }
    note = shard_writer.write_shard(job(folder, posts, **changes))
    assert decoded(folder / "t.tfrecord") == [(1, jpeg(1, 32))]
    assert note["rejected"] == [(9, "9.jpg", "not in the old dataset")]
    with pytest.raises(UserError, match="the record at byte 1 has a wrong checksum"):
        shard_writer.write_shard(job(folder, posts, **changes | {"reused": [(place[0], offset + 1, 9), "x"]}))


@pytest.mark.parametrize("path", ["../secret.jpg", "/etc/x.jpg", "a/../../b.jpg", "", ".", "a\0.jpg"])
def test_a_path_out_of_the_image_folder_is_refused(tmp_path, path):
    (tmp_path / "secret.jpg").write_bytes(jpeg(1, 32))
    (tmp_path / "images" / "a").mkdir(parents=True)
    with pytest.raises(codec.ImageError, match="out of the image folder"):
        shard_writer.image_content(places.open_place(tmp_path / "images"), path)


def test_a_disk_error_does_not_reject_an_image(folder, monkeypatch):
    def fail(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(image_reader, "read_bytes", fail)
    with pytest.raises(WorkError, match="1.jpg cannot be read: .*run the command again"):
        shard_writer.image_content(places.open_place(folder / "images"), "1.jpg")


def test_every_record_of_a_dataset_is_found_with_and_without_a_list_of_ids(tmp_path):
    dataset = dataset_folder.load(small_dataset(tmp_path, num_posts=30, size=16, shard_size=8))
    ids = [post_id for split in dataset.splits for post_id in dataset.post_ids(split).tolist()]
    index = RecordIndex(dataset)
    for post_id, (shard, offset, length) in zip(ids, index.find(ids), strict=True):
        with pathlib.Path(shard).open("rb") as file:
            file.seek(offset)
            assert tfrecord.decode_example(file.read(length))[0] == post_id
    assert index.find([-1, 10**9]) == [None, None]
    (dataset.folder / "train" / "ids.npy").unlink()
    assert RecordIndex(dataset).find(ids) == index.find(ids)
    np.save(dataset.folder / "train" / "ids.npy", np.arange(3))
    with pytest.raises(UserError, match=r"must name 27 posts, .* it names 3"):
        RecordIndex(dataset)
