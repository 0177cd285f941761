"""Utils/images/image_folder.py: the post of every file, and the best file of every post."""

import decimal
import errno
import hashlib
import os
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from Utils.images import image_folder, picture_index, places


def test_post_ids_of_files():
    digest = hashlib.sha256(b"a/cat.png").hexdigest()
    assert image_folder.post_id("0123/5123.jpg") == image_folder.post_id("x/005123.png") == 5123
    assert image_folder.post_id("a/cat.png") == int(digest, 16) >> 193
    assert image_folder.post_id(pathlib.PureWindowsPath("a\\cat.png")) == image_folder.post_id("a/cat.png")
    assert 0 <= image_folder.post_id("9" * 30 + ".jpg") < 2**63
    assert image_folder.post_id("٣.jpg") > 2**32  # a digit, not a decimal number in ASCII


@pytest.mark.reliability("Images of one number in several folders", "each is a post of its own")
def test_a_number_that_several_images_have_names_no_post():
    paths = ["10_miku/1.jpg", "5_luka/1.jpg", "5_luka/01.png", "5_luka/2.jpg", "x.jpg"]
    ids = image_folder.post_ids(paths)
    assert ids[3] == 2
    assert ids[4] == image_folder.post_id("x.jpg")
    assert [ids[i] for i in (0, 1, 2)] == [image_folder.path_id(path) for path in paths[:3]]
    assert len(set(ids)) == 5


def test_what_systems_make_is_no_picture_of_the_users(tmp_path):
    names = ("1.jpg", ".2.jpg", "@eaDir/3.jpg", ".cache/deep/4.jpg", "$Recycle.Bin/5.jpg",
             "a/__MACOSX/._6.jpg", "a/7.HEIC", "8.heic", "9.txt", ".thumbnails/x.db")  # fmt: skip
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    sentence = "passed by: 5 of systems and hidden, 2 .heic"
    said = []
    assert image_folder.image_paths(tmp_path, said.append) == ["1.jpg"]
    assert said == [sentence]
    assert picture_index.index(tmp_path, named=True).census.passed_by() == sentence
    assert image_folder.image_paths(tmp_path / ".cache") == ["deep/4.jpg"]  # named by the user
    assert image_folder.Census().passed_by() == ""


@pytest.mark.reliability("a folder of pictures that cannot be read", "passed by, counted and named")
def test_a_folder_that_cannot_be_read_is_said(tmp_path, monkeypatch):
    for name in ("a.jpg", "locked/b.jpg", "c/d.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    scandir = os.scandir  # the tests may run as root, whom no permission stops

    def refuse(path):
        if str(path).endswith("locked"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    said = []
    assert image_folder.image_paths(tmp_path, said.append) == ["a.jpg", "c/d.jpg"]
    reason = f"Permission denied: {tmp_path}/locked"
    assert said == [f"passed by: 1 folder that cannot be read ({reason})"]


@pytest.mark.reliability("a picture that was not downloaded to its end", "passed by and counted")
def test_what_a_browser_has_not_finished_is_counted(tmp_path):
    for name in ("a.jpg", "b.jpg.crdownload", "c.jpg.part"):
        (tmp_path / name).write_bytes(b"\xff\xd8\xff")
    (tmp_path / "d.tmp").write_bytes(b"no picture")
    said = []
    assert image_folder.image_paths(tmp_path, said.append) == ["a.jpg"]
    assert sorted(said[0].removeprefix("passed by: ").split(", ")) == [
        "1 .crdownload (not downloaded to its end)", "1 .part (not downloaded to its end)",
    ]  # fmt: skip


def test_ids_come_as_numbers_and_texts():
    for value in (7, "7", " 7 ", 7.0, "7.0", "7.", b"7", decimal.Decimal("7"), np.float32(7), np.int8(7)):
        assert image_folder.parse_id(value) == 7
    assert image_folder.parse_id(2**63 - 1) == image_folder.parse_id(str(2**63 - 1)) == 2**63 - 1
    for value in (True, 7.5, "7.5", "7_0", "+7", "\u0663", "", None, [7], float("nan"), float("inf"),
                  decimal.Decimal("7.5"), np.float32(7.5), "9" * 5000):  # fmt: skip
        with pytest.raises(ValueError, match="no whole number"):
            image_folder.parse_id(value)
    for value, reason in ((-1, "not from 0"), ("-1", "not from 0"), (2**63, "not from 0"), (1e17, "exact")):
        with pytest.raises(ValueError, match=reason):
            image_folder.parse_id(value)


def test_the_json_beside_a_picture_says_its_id(tmp_path):
    texts = {"x.json": '{"id": "77"}', "y.png.JSON": '\ufeff{"id": 78.0}', "y.json": '{"id": 1}',
             "v.json": '{"id": 79}', "z.json": "[",
             "w.json": '{"id": -3}', "5.json": '{"id": 80}'}  # fmt: skip
    for name, text in texts.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "v.1").mkdir()
    paths = ["x.jpg", "y.png", "z.jpg", "w.jpg", "v.1/picture", "5.jpg"]
    ids = image_folder.post_ids(paths, places.open_place(tmp_path))
    assert ids == [77, 78, *map(image_folder.path_id, paths[2:5]), 5]


def test_the_answer_of_an_interface_has_its_record_in_post_or_in_a_list():
    record, other = {"id": 1}, {"id": 2}
    for value in (record, [record], {"post": record}, {"posts": [record], "more": 0}):
        assert image_folder.json_record(value) == record
    for value in ([record, other], [], [3], {"post": 3}, "text", None):
        assert image_folder.json_record(value) == value


def test_the_row_of_a_picture_says_its_id(tmp_path):
    rows = [{"bytes": b"", "path": name} for name in ("x.jpg", "5.jpg", None, "y.jpg", "z.jpg")]
    table = pa.table({"id": ["77", "78", "79", "80", "80"], "image": rows})
    (tmp_path / "p").mkdir()
    pq.write_table(table, tmp_path / "p" / "a.parquet")
    (tmp_path / "p" / "b.jpg").touch()
    place = places.open_place(tmp_path / "p")
    paths = image_folder.image_paths(place)
    ids = image_folder.post_ids(paths, place)
    assert dict(zip(ids[:4], paths[:4], strict=True)) == {
        image_folder.path_id("b.jpg"): "b.jpg", 77: "a.parquet/x.jpg", 5: "a.parquet/5.jpg",
        79: "a.parquet/row-2",
    }  # fmt: skip
    assert ids[4:] == [image_folder.path_id(path) for path in paths[4:]]
    index = picture_index.index(place)
    assert index.paths(index.find(np.array([77, 5, 79, 80]))) == [*paths[1:4], "a.parquet/y.jpg"]


@pytest.mark.reliability(
    "masks that a trainer keeps beside its pictures", "they are no pictures, and counted"
)
def test_masks_beside_pictures_are_no_pictures(tmp_path):
    for name in ("1.jpg", "1-masklabel.png", "1-condlabel.png", "2-masklabel.png", "-masklabel.png", "3.png"):
        (tmp_path / name).touch()
    said = []
    paths = image_folder.image_paths(tmp_path, said.append)
    assert sorted(paths) == ["-masklabel.png", "1.jpg", "2-masklabel.png", "3.png"]
    assert said == ["passed by: 2 masks of OneTrainer"]
