"""The drawn booru: schema, faults and their records, bytes that depend on the arguments alone."""

import collections
import csv
import sqlite3

import cv2
import numpy as np
import pytest

from tools import make_demo_booru
from Utils.data.definition import read_definition
from Utils.demo_booru import posts
from Utils.files.atomic import sha256_of
from Utils.images import codec


def bytes_of(folder):
    return {str(p.relative_to(folder)): sha256_of(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def rows(folder, name):
    with (folder / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def query(folder, text):
    with sqlite3.connect(folder / "danbooru.db") as database:
        result = database.execute(text).fetchall()
    database.close()
    return result


def picture(folder, post_id):
    return folder / "512px" / f"{int(post_id) % 1000:04d}" / f"{post_id}.jpg"


@pytest.fixture(scope="module")
def booru(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "booru"
    assert make_demo_booru.main([str(folder), "--images", "64", "--workers", "1"]) == 0
    return folder


def test_a_booru_has_its_files_and_nothing_else(booru):
    assert {path.name for path in booru.iterdir()} == {
        "danbooru.db", "512px", "original", "definition.toml", "truth.csv", "truth_boxes.csv",
        "duplicates.csv",
    }  # fmt: skip
    assert list(booru.parent.iterdir()) == [booru]


def test_images_are_512_px_jpegs_in_the_folder_of_their_residue(booru):
    ids = [post_id for (post_id,) in query(booru, "SELECT image_id FROM images")]
    assert len(set(ids)) == 64
    kinds = collections.Counter()
    for post_id in ids:
        path = picture(booru, post_id)
        if not path.exists():
            kinds["missing"] += 1
            continue
        data = path.read_bytes()
        try:
            codec.check(data)
        except codec.ImageError:
            kinds["truncated" if data else "empty"] += 1
            continue
        kinds["png"] += data.startswith(b"\x89PNG")
        assert codec.decode(data).shape == (512, 512, 3)
    assert kinds == {"missing": 1, "empty": 1, "png": 1, "truncated": 1}


def test_the_database_has_the_schema_the_index_and_true_counts(booru):
    columns = [name for _, name, *_ in query(booru, "PRAGMA table_info(images)")]
    assert len(columns) == 28
    assert {"image_id", "uploaded_id", "md5", "parent_id", "has_children", "hidden"} <= set(columns)
    indexed = query(booru, "SELECT sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
    assert any("imageTags(tag_id)" in text for (text,) in indexed)
    counts = query(
        booru, "SELECT t.count, (SELECT count(*) FROM imageTags i WHERE i.tag_id = t.tag_id) FROM tags t"
    )
    assert counts
    assert all(stored == counted > 0 for stored, counted in counts)


def test_truth_holds_every_label(booru):
    truth = {int(row["image_id"]): set(row["tags"].split()) for row in rows(booru, "truth.csv")}
    assert len(truth) == 64
    labels = collections.defaultdict(set)
    for post_id, name in query(booru, "SELECT image_id, name FROM imageTags JOIN tags USING (tag_id)"):
        labels[post_id].add(name)
    assert all(labels[post_id] <= names for post_id, names in truth.items())
    assert sum(len(labels[post_id]) == 0 for post_id in truth) >= 1
    assert all(truth.values())


def test_duplicates_look_like_their_sources(booru):
    duplicates = rows(booru, "duplicates.csv")
    assert {row["kind"] for row in duplicates} == set(posts.DUPLICATES)
    truth = {row["image_id"]: row["tags"] for row in rows(booru, "truth.csv")}
    parents = dict(query(booru, "SELECT image_id, parent_id FROM images WHERE parent_id IS NOT NULL"))
    assert len(parents) == len(duplicates) / 2
    for row in duplicates:
        assert truth[row["image_id"]] == truth[row["source_id"]]
        assert parents.get(int(row["image_id"]), int(row["source_id"])) == int(row["source_id"])
        copy, source = (
            cv2.imread(str(picture(booru, row[key]))).astype(int) for key in ("image_id", "source_id")
        )
        assert (copy != source).any()
        if row["kind"] == "black_padding":
            assert copy[:20, :20].max() < 20
            assert source[:20, :20].min() > 235
        else:
            assert np.abs(copy - source).mean() < (30 if row["kind"] == "crop" else 8)


def test_boxes_of_true_tags_lie_in_the_stored_picture(booru):
    truth = {row["image_id"]: set(row["tags"].split()) for row in rows(booru, "truth.csv")}
    boxes = collections.defaultdict(list)
    for row in rows(booru, "truth_boxes.csv"):
        assert row["tag"] in truth[row["image_id"]]
        x0, y0, x1, y1 = (int(row[name]) for name in ("x0", "y0", "x1", "y1"))
        assert 0 <= x0 < x1 <= 512
        assert 0 <= y0 < y1 <= 512
        boxes[row["image_id"]].append((row["tag"], x0, y0, x1, y1))
    people = [post for post, names in truth.items() if names & {"1girl", "1boy"}]
    assert all({"1girl", "1boy"} & {box[0] for box in boxes[post]} for post in people)
    for row in rows(booru, "duplicates.csv"):
        copy, source = (sorted(boxes[row[key]]) for key in ("image_id", "source_id"))
        assert [box[0] for box in copy] == [box[0] for box in source]
        apart = np.abs(np.array([box[1:] for box in copy]) - np.array([box[1:] for box in source]))
        assert apart.max() <= (20 if row["kind"] == "crop" else 0)


@pytest.mark.slow
@pytest.mark.slow
def test_the_scenes_style_has_the_same_files_and_more_things(booru, tmp_path):
    for name, workers in (("a", "1"), ("b", "2")):
        flags = ["--images", "40", "--style", "scenes", "--workers", workers]
        assert make_demo_booru.main([str(tmp_path / name), *flags]) == 0
    assert bytes_of(tmp_path / "a") == bytes_of(tmp_path / "b")
    assert {path.name for path in (tmp_path / "a").iterdir()} == {path.name for path in booru.iterdir()}

    def tags_an_image(folder):
        return np.mean([len(row["tags"].split()) for row in rows(folder, "truth.csv")])

    assert tags_an_image(tmp_path / "a") > 1.3 * tags_an_image(booru)
    assert len(rows(tmp_path / "a", "duplicates.csv")) == 4


def test_originals_give_their_512_px_version(booru):
    shapes = set()
    for path in sorted((booru / "original").rglob("*.*")):
        prepared = codec.prepare(path.read_bytes(), 512)
        stored = cv2.imread(str(picture(booru, path.stem)))
        assert np.abs(prepared.astype(int) - stored).mean() < 3
        pixels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        shapes.add((path.suffix, pixels.shape[2], int(np.sign(pixels.shape[1] - pixels.shape[0]))))
        width, height, extension = query(
            booru, f"SELECT image_width, image_height, file_ext FROM images WHERE image_id = {path.stem}"
        )[0]
        assert (height, width, f".{extension}") == (*pixels.shape[:2], path.suffix)
    assert shapes == {(".jpg", 3, 1), (".jpg", 3, -1), (".png", 4, 0), (".png", 4, -1)}


def test_the_definition_can_be_read(booru):
    definition = read_definition(booru)
    assert definition.name == "demo"
    assert definition.ratings == ("g", "s")


def test_the_same_arguments_give_the_same_bytes_with_any_number_of_workers(booru, tmp_path):
    assert make_demo_booru.main([str(tmp_path / "again"), "--images", "64", "--workers", "2"]) == 0
    assert bytes_of(tmp_path / "again") == bytes_of(booru)


def test_another_seed_another_booru_of_the_same_words(booru, tmp_path):
    assert (
        make_demo_booru.main([str(tmp_path / "other"), "--images", "12", "--seed", "1", "--missing", "0"])
        == 0
    )
    assert bytes_of(tmp_path / "other").keys() != bytes_of(booru).keys()
    known = dict(query(booru, "SELECT name, tag_id FROM tags"))
    for name, tag_id in query(tmp_path / "other", "SELECT name, tag_id FROM tags"):
        assert known.get(name, tag_id) == tag_id


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--images", "0"], "--images"), (["--missing", "2"], "--missing"),
        (["--missing", "nan"], "--missing"),
        (["--seed", "-1"], "--seed"), (["--workers", "0"], "--workers"),
        (["--image", "3"], "did you mean --images"),
    ],
)  # fmt: skip
def test_wrong_use_is_one_paragraph(tmp_path, capsys, flags, message):
    assert make_demo_booru.main([str(tmp_path / "out"), *flags]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert not (tmp_path / "out").exists()


def test_existing_output_is_kept(booru, capsys):
    before = bytes_of(booru)
    assert make_demo_booru.main([str(booru), "--images", "3"]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert bytes_of(booru) == before
