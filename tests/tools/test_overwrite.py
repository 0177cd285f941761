"""--overwrite of every command that writes a file or folder of a kind: what a user put there stays."""

import json
import sqlite3
import zipfile

import numpy as np
import pytest
from helpers import small_booru, small_releases
from helpers.small_dumps import overlapping_dumps

from tools import (
    answer_audit,
    apply_decisions,
    audit_labels,
    encode_tags,
    import_weights,
    make_demo_booru,
    tag_images,
    write_records,
)
from Utils.labels import decisions


def tree(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


def refused(capsys, folder, main, *words):
    """Whether a command refuses its place with one error, and leaves it as it is."""
    before = tree(folder)
    code = main([*map(str, words), "--overwrite"])
    errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert tree(folder) == before
    return code == 2 and len(errors) == 1


@pytest.mark.parametrize(
    "name",
    ["512px/mine.jpg", "512px/0007/5400007.png", "original/scan.tif", "512px/0001/1001.jpg", "notes.txt"],
)
def test_a_picture_in_a_drawn_booru(tmp_path, capsys, name):
    words = [tmp_path / "booru", "--images", "3", "--workers", "1"]
    assert make_demo_booru.main([*map(str, words)]) == 0
    assert make_demo_booru.main([*map(str, words), "--overwrite"]) == 0
    (tmp_path / "booru" / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "booru" / name).write_text("mine")
    assert refused(capsys, tmp_path, make_demo_booru.main, *words)


def test_a_file_given_as_the_list_of_unreadable_pictures(tmp_path, capsys):
    release = small_releases.make(tmp_path / "release")
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "1.png").write_bytes(b"")
    (tmp_path / "people.csv").write_text("name,age\nann,30\n")
    words = [release, tmp_path / "p", "--rejected", tmp_path / "people.csv"]
    assert refused(capsys, tmp_path, tag_images.main, *words)
    (tmp_path / "people.csv").unlink()
    for _ in range(2):
        assert tag_images.main([*map(str, words)]) == 1
        assert (tmp_path / "people.csv").read_text().startswith("path,reason\n")


def decision(reviewer):
    return decisions.Decision(1, "tag_12", 12, "yes", "2026-01-01T00:00:00Z", reviewer)


def write_decisions(path, *reviewers):
    with path.open("wb") as file:
        decisions.append(file, *map(decision, reviewers))
    return path


def test_any_other_database_and_patch(tmp_path, capsys):
    booru = small_booru(tmp_path, num_posts=24)
    answers = write_decisions(tmp_path / "decisions.jsonl", "ann")
    words = [answers, "--db", booru / "danbooru.db", "-o", tmp_path / "new.db"]
    sqlite3.connect(tmp_path / "new.db").execute("CREATE TABLE bookmarks (x)").connection.close()
    assert refused(capsys, tmp_path, apply_decisions.main, *words)
    (tmp_path / "new.db").unlink()
    (tmp_path / "new.patch.jsonl").write_text('{"a": "stranger"}\n')
    assert refused(capsys, tmp_path, apply_decisions.main, *words)
    (tmp_path / "new.patch.jsonl").unlink()
    for overwrite in ([], ["--overwrite"]):
        assert apply_decisions.main([*map(str, words), *overwrite]) == 0


def test_an_array_that_is_no_labels(tmp_path, capsys):
    booru = small_booru(tmp_path, num_posts=24)
    (tmp_path / "ids.txt").write_text("1\n")
    (tmp_path / "tags.csv").write_text("tag_id,name,category,count\n12,tag_12,0,9\n")
    words = [tmp_path / "ids.txt", "--source", "fire-eggs", "--from", booru / "danbooru.db"]
    words += ["--tags", tmp_path / "tags.csv", "-o", tmp_path / "labels.npy"]
    for foreign in (np.ones((2, 1), np.float32), np.zeros(3, np.uint8), np.full((2, 2), 7, np.uint8)):
        np.save(tmp_path / "labels.npy", foreign)
        assert refused(capsys, tmp_path, encode_tags.main, *words)
    np.save(tmp_path / "labels.npy", np.ones((2, 1), np.uint8))
    assert encode_tags.main([*map(str, words), "--overwrite"]) == 0


def test_decisions_of_people(tmp_path, capsys):
    (tmp_path / "audit.json").write_text('{\n"tag_12": [1]\n}\n')
    (tmp_path / "truth.csv").write_text("image_id,tags\n1,tag_12\n")
    (tmp_path / "tags.csv").write_text("tag_id,name,category,count\n12,tag_12,0,9\n")
    output = tmp_path / "decisions.jsonl"
    words = [tmp_path / "audit.json", "--truth", tmp_path / "truth.csv", "--tags", tmp_path / "tags.csv"]
    write_decisions(output, answer_audit.REVIEWER, "ann")
    assert refused(capsys, tmp_path, answer_audit.main, *words, "-o", output)
    write_decisions(output, answer_audit.REVIEWER)
    assert answer_audit.main([*map(str, words), "-o", str(output), "--overwrite"]) == 0


@pytest.mark.parametrize("value", [{"a": 1}, {"a": ["x"]}, [1], {"a": [True]}, 3])
def test_other_json_is_no_audit(tmp_path, capsys, value):
    overlapping_dumps(tmp_path)
    (tmp_path / "own.json").write_text(json.dumps(value, indent=0))
    assert refused(capsys, tmp_path, audit_labels.main, tmp_path / "a", "-o", tmp_path / "own.json")


def test_the_model_of_a_run(tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "best.keras", "w") as file:
        for name in ("config.json", "metadata.json", "model.weights.h5"):
            file.writestr(name, "")
    (tmp_path / "recipe.json").write_text("{}")
    assert refused(capsys, tmp_path, import_weights.main, tmp_path, "-o", tmp_path / "best.keras")


def test_what_lies_among_the_shards_of_a_dataset(tmp_path, capsys):
    from helpers import small_dataset

    dataset = small_dataset(tmp_path, records=False, num_posts=24)
    images = ["--images", str(tmp_path / "images"), "--workers", "1"]
    (dataset / "train").mkdir()
    (dataset / "train" / "mine.jpg").write_text("mine")
    assert write_records.main([str(dataset), *images, "--overwrite"]) == 0  # no shard is there yet
    assert (dataset / "train" / "mine.jpg").read_text() == "mine"
    assert refused(capsys, tmp_path, write_records.main, dataset, *images)
    (dataset / "train" / "mine.jpg").rename(dataset / "train" / "mine.tfrecord")
    assert refused(capsys, tmp_path, write_records.main, dataset, *images)
    (dataset / "train" / "mine.tfrecord").unlink()
    assert write_records.main([str(dataset), *images, "--overwrite"]) == 0
