"""tools/write_records.py --frames: animated pictures as one record or as one for each frame."""

import numpy as np
import pytest
from helpers import jpeg
from PIL import Image

from Generators import records
from tools import select_tags, write_records
from Utils.data import dataset_folder
from Utils.evaluation import duplicate_groups
from Utils.images import codec

DEFINITION = """name = "d"
image_size = 16
splits = {train = [0, 999]}
ratings = ["g", "s"]
min_tag_count = 0
min_tag_images = 1
min_tag_share = 0.0
min_tags_per_image = 1
"""
GRAYS = (10, 90, 170)


@pytest.fixture
def dataset(tmp_path):
    (tmp_path / "p").mkdir()
    frames = [Image.new("L", (16, 16), gray) for gray in GRAYS]
    frames[0].save(tmp_path / "p" / "7.gif", save_all=True, append_images=frames[1:])
    for number in (1, 2):
        (tmp_path / "p" / f"{number}.jpg").write_bytes(jpeg(number, 16))
    for number in (1, 2, 7):
        (tmp_path / "p" / f"{number}.txt").write_text("solo, hat" if number == 7 else "solo")
    (tmp_path / "d.toml").write_text(DEFINITION)
    words = [str(tmp_path / "d.toml"), "--source", "sidecars", "--from", str(tmp_path / "p")]
    assert select_tags.main([*words, "-o", str(tmp_path / "dataset")]) == 0
    return tmp_path / "dataset"


def write(dataset, *words):
    return write_records.main([str(dataset), "--images", str(dataset.parent / "p"), "--workers", "1", *words])


def stored(dataset):
    """``[(id, mean gray, labels)]`` of the records that are not pictures 1 and 2."""
    parsed = [records.parse(raw) for raw in records.read_shards(dataset_folder.load(dataset).shards("train"))]
    rows = [
        (int(r["image_id"]), r["image_bytes"].numpy(), r["label_indexes"].numpy().tolist()) for r in parsed
    ]
    return [
        (post, int(codec.decode(data).mean()), labels) for post, data, labels in rows if post not in (1, 2)
    ]


def test_without_a_choice_animated_pictures_are_rejected(dataset, capsys):
    assert write(dataset) == 0
    assert "1 animated GIF (3 frames)" in capsys.readouterr().out
    assert stored(dataset) == []


@pytest.mark.parametrize(("choice", "gray"), [("first", 10), ("middle", 90)])
def test_one_frame_is_the_posts_picture(dataset, choice, gray):
    assert write(dataset, "--frames", choice) == 0
    assert stored(dataset) == [(7, gray, [0, 1])]
    assert not (dataset / "frames.csv").exists()


def test_all_frames_are_records_of_one_group(dataset, capsys):
    assert write(dataset, "--frames", "all") == 0
    frames = stored(dataset)
    assert [gray for _, gray, _ in frames] == list(GRAYS)
    assert {tuple(labels) for _, _, labels in frames} == {(0, 1)}
    groups = duplicate_groups.read(dataset / "frames.csv")
    assert groups["group"].tolist() == [1, 1, 1]
    assert groups["post_id"].tolist() == [post for post, _, _ in frames]
    assert frames[0][0] == 7
    loaded = dataset_folder.load(dataset)
    assert loaded.num_records("train") == 5
    assert sorted(np.load(dataset / "train" / "ids.npy")) == sorted([1, 2, *groups["post_id"]])
    assert write(dataset, "--frames", "all") == 0  # complete
    again = dataset.parent / "again"
    assert write(dataset, "--frames", "first") == 2
    capsys.readouterr()
    words = ["--source", "sidecars", "--from", str(dataset.parent / "p"), "-o", str(again)]
    assert select_tags.main([str(dataset.parent / "d.toml"), *words]) == 0
    assert write_records.main([str(again), "--labels-only", "--reuse", str(dataset)]) == 2
    assert "several frames of animated pictures" in capsys.readouterr().err
