"""tools/write_records.py --labels-only: labels anew, images as they are in records that are there."""

import json
import shutil
import sqlite3

import numpy as np
import pyarrow.parquet as pq
import pytest
from helpers import jpeg, small_dataset
from helpers.packed_datasets import everything, odd_booru, rejections, stored, write

from tools import select_tags, write_records
from Utils.data import dataset_folder, packing
from Utils.files import tfrecord
from Utils.tags import tag_list

pytestmark = pytest.mark.usefixtures("same_commit")


def select(tmp_path, output):
    words = [
        str(tmp_path / "definition.toml"),
        "--source",
        "fire-eggs",
        "--from",
        str(tmp_path / "danbooru.db"),
    ]
    words += ["--images", str(tmp_path / "images"), "-o", str(tmp_path / output)]
    assert select_tags.main(words) == 0
    return tmp_path / output


def relabel(dataset, old, *words):
    words = ("--labels-only", "--reuse", str(old), "--shard-size", "16", "--workers", "2", *words)
    return write_records.main([str(dataset), *words])


@pytest.mark.reliability(
    "pictures are exchanged or numbered anew after select_tags, or between two datasets",
    "rejected: no picture gets another one's tags",
)
def test_pictures_that_were_exchanged_do_not_get_the_tags_of_others(tmp_path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(20):
        (pictures / f"{number}.jpg").write_bytes(jpeg(number, 32))
        (pictures / f"{number}.txt").write_text(f"solo, tag {number % 4}")

    def exchange(*numbers):
        for suffix in (".jpg", ".txt"):
            first, second = (pictures / f"{number}{suffix}" for number in numbers)
            content = first.read_bytes()
            first.write_bytes(second.read_bytes())
            second.write_bytes(content)

    def select_own(name):
        words = ["--from", str(pictures), "-o", str(tmp_path / name)]
        assert select_tags.main(words) == 0
        return tmp_path / name

    old = select_own("old")
    exchange(3, 6)
    assert write_records.main([str(old)]) == 0
    reason = "changed since select_tags read it"
    assert rejections(old) == {"3.jpg": reason, "6.jpg": reason}
    assert write_records.main([str(old), "--overwrite", "--images", str(pictures)]) == 0
    assert num_records(old) == 20, "another place may have smaller copies"
    old = select_own("newer")
    assert write_records.main([str(old)]) == 0
    assert num_records(old) == 20
    exchange(1, 2)
    new = select_own("exchanged")
    reason = "another picture than in the old dataset"
    assert relabel(new, old) == 0
    assert rejections(new) == {"1.jpg": reason, "2.jpg": reason}
    assert relabel(new, old, "--overwrite", "--images", str(pictures)) == 0
    assert num_records(new) == 20


@pytest.mark.reliability(
    "write_records --reuse of another folder, whose pictures have the same numbers", "refused by their labels"
)
def test_records_of_other_pictures_with_the_same_ids_are_not_reused(tmp_path, capsys):
    old = small_dataset(tmp_path, num_posts=60)
    new = select(tmp_path, "new")
    table = pq.read_table(new / "posts.parquet")
    labels = table["label_indexes"].to_pylist()
    for rolled, code in ((labels[1:] + labels[:1], 2), (labels, 0)):
        changed = table.set_column(table.schema.get_field_index("label_indexes"), "label_indexes", [rolled])
        pq.write_table(changed.cast(table.schema), new / "posts.parquet")
        assert relabel(new, old) == code
        assert ("but not the same pictures" in capsys.readouterr().err) == bool(code)
    assert num_records(new) == num_records(old)


def test_labels_only_gives_what_a_whole_run_gives(tmp_path, capsys):
    """A corrected database and a shorter tag list; the images may be gone by then."""
    old, _ = odd_booru(tmp_path)
    assert write(old, "--shard-size", "8") == 0
    database = sqlite3.connect(tmp_path / "danbooru.db")
    database.execute("DELETE FROM imageTags WHERE tag_id = 2 AND image_id % 2")
    database.execute("INSERT OR IGNORE INTO imageTags SELECT image_id, 5 FROM images")
    database.commit()
    database.close()
    definition = tmp_path / "definition.toml"
    definition.write_text(definition.read_text().replace("max_tags = 50", "max_tags = 6"))
    packed = select(tmp_path, "packed")
    assert write(packed, "--shard-size", "16") == 0
    fresh = select(tmp_path, "fresh")
    (tmp_path / "images").rename(tmp_path / "elsewhere")
    capsys.readouterr()
    assert relabel(fresh, old, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["complete"]
    assert sum(report["records"].values()) == num_records(old)
    assert report["rejected"] == {"empty file": 1, "truncated JPEG": 1, "not an image": 1}
    expected, files = everything(packed), everything(fresh)
    manifest, expected_manifest = (json.loads(part.pop("dataset.json")) for part in (files, expected))
    assert manifest["records"] == expected_manifest["records"]
    assert manifest["made"]["write_records"]["reuse"] == str(old)
    assert files == expected
    assert len(tag_list.read(fresh / "selected_tags.csv")) == 6
    assert dataset_folder.load(fresh).tags["name"].tolist() != dataset_folder.load(old).tags["name"].tolist()


@pytest.mark.reliability(
    "A bit flips in an old shard, --reuse", "refused before anything is written, shard named"
)
def test_a_damaged_shard_is_not_reused(tmp_path, capsys):
    old = small_dataset(tmp_path)
    new = select(tmp_path, "new")
    shard = sorted((old / "train").glob("*.tfrecord"))[1]
    start = int(tfrecord.read_index(shard)[3][0])  # of a record's data
    for place, what in ((start + 99, "wrong checksum"), (start - 3, "wrong checksum"), (start - 7, "is cut")):
        content = bytearray(shard.read_bytes())
        content[place] ^= 1
        shard.write_bytes(content)
        assert relabel(new, old) == 2
        error = capsys.readouterr().err
        assert str(shard) in error
        assert what in error
        content[place] ^= 1
        shard.write_bytes(content)
    assert not list(new.glob("*/*.tfrecord"))
    assert not (new / packing.PROGRESS).exists()
    assert relabel(new, old) == 0


@pytest.mark.reliability("ids.npy of another order, --reuse", "refused: no picture gets another one's labels")
def test_ids_of_another_order_are_not_reused(tmp_path, capsys):
    old = small_dataset(tmp_path)
    new = select(tmp_path, "new")
    path = old / "train" / "ids.npy"
    ids = np.load(path)
    np.save(path, ids[::-1])
    assert relabel(new, old) == 2
    assert str(path) in capsys.readouterr().err
    np.save(path, ids[:-1])
    assert relabel(new, old) == 2
    assert f"{path} must name {len(ids)} posts" in capsys.readouterr().err
    assert not list(new.glob("*/*.tfrecord"))


@pytest.mark.reliability("A shard of another dataset under the right name", "refused by its SHA-256")
def test_a_shard_of_another_dataset_is_not_reused(tmp_path, capsys):
    old = small_dataset(tmp_path)
    new = select(tmp_path, "new")
    shard = min((old / "train").glob("*.tfrecord"))
    packed = [tfrecord.decode_example(data) for data in tfrecord.read_records(shard)]
    with tfrecord.Writer(shard) as writer:  # the same posts, other pictures
        for post_id, _ in packed:
            writer.write_record(tfrecord.encode_example(post_id, jpeg(1, 32), []))
    assert relabel(new, old) == 2
    error = capsys.readouterr().err
    assert str(shard) in error
    assert "SHA-256" in error


def num_records(folder):
    loaded = dataset_folder.load(folder)
    return sum(loaded.num_records(split) for split in loaded.splits)


def test_labels_only_from_original_shards_and_for_posts_that_are_not_there(tmp_path):
    old = small_dataset(tmp_path / "a", num_posts=40)
    new = small_dataset(tmp_path / "b", records=False, num_posts=60)
    shutil.rmtree(tmp_path / "b" / "images")
    (old / "dataset.json").unlink()
    for path in old.rglob("ids.npy"):
        path.unlink()
    assert relabel(new, old) == 0
    assert num_records(new) == 40
    assert list(rejections(new).values()) == ["not in the old dataset"] * 20
    pictures = {n: data for split in dataset_folder.load(old).splits for n, data, _ in stored(old, split)}
    copies = {n: data for split in dataset_folder.load(new).splits for n, data, _ in stored(new, split)}
    assert copies == pictures


def test_labels_only_takes_images_of_its_kind_from_another_folder(tmp_path, capsys):
    old = small_dataset(tmp_path / "a")
    assert relabel(old, old, "--overwrite") == 2
    assert "give another one" in capsys.readouterr().err
    larger = small_dataset(tmp_path / "b", records=False, size=48)
    assert relabel(larger, old) == 2
    assert "has image_size = 32" in capsys.readouterr().err
    shard = next(old.glob("train/*.tfrecord"))
    shard.write_bytes(shard.read_bytes()[:-3])
    new = small_dataset(tmp_path / "c", records=False)
    assert relabel(new, old) == 2
    assert "no whole TFRecord file" in capsys.readouterr().err
