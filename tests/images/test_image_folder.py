"""Utils/images/image_folder.py: the post of every file, and the best file of every post."""

import hashlib
import pathlib

import numpy as np
import pytest

from Utils.images import image_folder


def test_post_ids_of_files():
    digest = hashlib.sha256(b"a/cat.png").hexdigest()
    assert image_folder.post_id("0123/5123.jpg") == image_folder.post_id("x/005123.png") == 5123
    assert image_folder.post_id("a/cat.png") == int(digest, 16) >> 193
    assert image_folder.post_id(pathlib.PureWindowsPath("a\\cat.png")) == image_folder.post_id("a/cat.png")
    assert 0 <= image_folder.post_id("9" * 30 + ".jpg") < 2**63
    assert image_folder.post_id("٣.jpg") > 2**32  # a digit, not a decimal number in ASCII


def test_an_image_folder_prefers_the_usual_place_then_the_usual_suffix(tmp_path):
    names = [
        "0005/1005.png",
        "x/1005.jpg",
        "2.webp",
        "3.png",
        "3.jpg",
        "y/004.JPG",
        "z/notes.txt",
        "0006/1005.jpg",
    ]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    index = image_folder.index(tmp_path)
    assert index.ids.tolist() == [2, 3, 4, 1005]
    found = index.find(np.array([1, 2, 3, 4, 1005, 2000]))
    assert (found < 0).tolist() == [True, False, False, False, False, True]
    assert index.paths(found[1:5]) == ["2.webp", "3.jpg", "y/004.JPG", "0005/1005.png"]
    assert "5 folders" in str(index)
    assert image_folder.index(tmp_path / "x").find(np.array([7])).tolist() == [-1]


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
    index = image_folder.index(tmp_path, named=True)
    assert index.ids.tolist() == [1]
    assert index.census.passed_by() == sentence
    assert image_folder.image_paths(tmp_path / ".cache") == ["deep/4.jpg"]  # named by the user
    assert image_folder.Census().passed_by() == ""
