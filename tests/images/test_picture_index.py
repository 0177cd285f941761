"""Utils/images/picture_index.py: the best file of every post, by number, by JSON, by name."""

import json

import numpy as np
import pytest
from helpers.archives import write_tar

from Utils.images import image_folder, picture_index, places


def test_an_index_prefers_the_usual_place_then_the_usual_suffix(tmp_path):
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
    index = picture_index.index(tmp_path)
    assert index.ids.tolist() == [2, 3, 4, 1005]
    files = index.find(np.array([1, 2, 3, 4, 1005, 2000]))
    assert (files < 0).tolist() == [True, False, False, False, False, True]
    assert index.paths(files[1:5]) == ["2.webp", "3.jpg", "y/004.JPG", "0005/1005.png"]
    assert "5 folders" in str(index)
    assert picture_index.index(tmp_path / "x").find(np.array([7])).tolist() == [-1]


FILES = {  # picture -> id in the JSON beside it
    "ab/ff01.jpg": 77, "ab/ff02.png": "78", "a/5.jpg": 90, "b/5.jpg": None, "c/6.png": None, "d/006.jpg": 6,
    "x.jpg": 81, "y.webp": 81, "9.jpg": 91, "z.jpg": 9, "none.jpg": None,
}  # fmt: skip
POSTS = {  # post -> its picture
    77: "ab/ff01.jpg", 78: "ab/ff02.png", 90: "a/5.jpg", 5: "b/5.jpg", 6: "d/006.jpg", 81: "x.jpg",
    9: "9.jpg",
}  # fmt: skip


def in_tar(folder):
    members = dict.fromkeys(FILES, b"")
    members |= {
        f"{image_folder.without_suffix(name)}.json": json.dumps({"id": number}).encode()
        for name, number in FILES.items()
        if number is not None
    }  # after all pictures, as archives of two steps have them
    return write_tar(folder / "data.tar", members)


def in_folder(folder):
    for name, number in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        (folder / name).touch()
        if number is not None:
            (folder / f"{name}.json").write_text(json.dumps({"id": number}))
    return folder


@pytest.mark.parametrize("make", [in_folder, in_tar])
@pytest.mark.reliability("Pictures that only the JSON beside them names", "posts of the ids it says")
def test_json_beside_pictures_says_their_posts_whatever_the_source(tmp_path, make):
    """The same ids as `image_folder.post_ids` gives; of several pictures of one post the best, as ever."""
    place = places.open_place(make(tmp_path))
    index = picture_index.index(place)
    ids = np.array([*POSTS, 91, 7])
    files = index.find(ids)
    assert files[-2:].tolist() == [-1, -1]
    assert index.paths(files[:-2]) == list(POSTS.values())
    listed = dict(zip(FILES, image_folder.post_ids(list(FILES), place), strict=True))
    shared = {81, 5}  # of several pictures: then each has an id of its own, from its path
    assert {post: path for post, path in POSTS.items() if post not in shared} == {
        listed[path]: path for path in POSTS.values() if listed[path] < 100
    }


def test_files_are_known_by_path_without_suffix_or_by_a_name_of_their_own(tmp_path):
    for name in ("a/x.jpg", "b/x.jpg", "b/y.png", "b/y.jpg", "c/7.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    of_names = {
        "a/x.jpg": "a/x.jpg", "b/y.png": "b/y.png", ".\\b\\x.webp": "b/x.jpg", "other/Y.webp": "b/y.jpg",
        "/data/a/x.webp": "a/x.jpg", "C:\\data\\b\\x": "b/x.jpg",
        "other/x.jpg": "other/x.jpg", "x.jpg": "x.jpg", "x": "x",  # two files have the name
    }  # fmt: skip
    ids = picture_index.ids_of_names(tmp_path, [*of_names, "7.png"])
    assert ids == [*map(image_folder.path_id, of_names.values()), 7]
    index = picture_index.index(tmp_path, named=True)
    keys = np.array([picture_index.stem_key("Y"), 0, picture_index.stem_key("none")])
    files = index.find(np.array([7, 7, -1]), keys)
    assert index.paths(files[:2]) == ["b/y.jpg", "c/7.jpg"]  # the other name comes first
    assert files[2] == -1
    stems = np.array([picture_index.stem_key(stem) for stem in ("x", "y", "7")])
    assert index.paths(index.find(np.full(3, -1), stems)) == ["a/x.jpg", "b/y.jpg", "c/7.jpg"]


def test_posts_with_several_pictures_of_one_rank_are_noted(tmp_path):
    """a/1.jpg and b/1.jpg may be of different posts; 2.png beside 2.jpg and what lies at 0NNN/ID may not."""
    for name in ("a/1.jpg", "b/1.jpg", "c/1.jpg", "a/2.png", "b/2.jpg", "0003/3.jpg", "a/3.jpg", "b/x.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    index = picture_index.index(tmp_path, named=True)
    assert index.census.notes == (
        "1 number is the name of several pictures, such as a/1.jpg and b/1.jpg; the post with this id gets "
        "the first of them",
    )
    assert picture_index.index(tmp_path, named=True, by_path=True).census.notes == ()
