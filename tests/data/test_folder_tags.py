"""Utils/data/folder_tags.py: folders become tags beside those of captions, with or without captions."""

import numpy as np
import pytest
from helpers import jpeg
from helpers.own_pictures import write_pictures

from Utils.data import folder_tags, sources
from Utils.images import image_folder


@pytest.mark.parametrize(
    ("path", "tag", "repeats"),
    [
        ("10_sks dog/1.jpg", "sks_dog", 10), ("a/b/cats/1.jpg", "cats", 1), ("1.jpg", "", 1),
        ("5_saber (fate)/x.png", "saber_(fate)", 5), ("2024/1.jpg", "2024", 1), ("_x/1.jpg", "_x", 1),
    ],
)  # fmt: skip
def test_the_innermost_folder_is_the_tag(path, tag, repeats):
    assert folder_tags.tag_of(path) == (tag, repeats)


def tags_by_path(source):
    names = dict(zip(source.tags["tag_id"], source.tags["name"], strict=True))
    found, last = {}, -1
    for block in source.blocks():
        assert (np.diff(block.ids, prepend=last) > 0).all()
        last = int(block.ids[-1])
        for row, path in enumerate(block.paths):
            found[path] = {names[tag] for tag in block.tag_ids[block.offsets[row] : block.offsets[row + 1]]}
    return found


def test_folders_join_captions_and_pictures_without_one(tmp_path):
    write_pictures(tmp_path / "10_hat", ["solo", "hat, solo"])
    write_pictures(tmp_path / "dogs", ["", "smile"])
    (tmp_path / "dogs" / "p000.txt").unlink()
    (tmp_path / "top.jpg").write_bytes(jpeg(9, 8))
    source = folder_tags.add(sources.read_sidecars(tmp_path))
    assert tags_by_path(source) == {
        "10_hat/p000.jpg": {"solo", "hat"}, "10_hat/p001.jpg": {"solo", "hat"},
        "dogs/p000.jpg": {"dogs"}, "dogs/p001.jpg": {"dogs", "smile"},
    }  # fmt: skip
    counts = dict(zip(source.tags["name"], source.tags["count"], strict=True))
    assert counts == {"solo": 2, "hat": 2, "dogs": 2, "smile": 1}
    assert source.num_posts == 4
    assert [path for _, path, _ in source.rejected] == ["top.jpg"]
    assert "hat (2)" in source.notes[-1]
    assert "repeats are not used (hat 10)" in source.notes[-1]


def test_no_caption_is_needed(tmp_path):
    paths = [f"{('cats', 'dogs')[number % 2]}/{number}.jpg" for number in range(20)]
    source = folder_tags.add(folder_tags.without_sidecars(paths, image_folder.post_ids(paths), "here"))
    assert tags_by_path(source) == {path: {path.partition("/")[0]} for path in paths}
    assert source.tags["count"].tolist() == [10, 10]
    assert source.num_posts == 20


def test_kohyas_folders_are_pointed_out(tmp_path):
    write_pictures(tmp_path / "plain", ["solo"])
    assert folder_tags.with_hint(sources.read_sidecars(tmp_path)).notes == ()
    write_pictures(tmp_path / "10_sks dog", ["solo"])
    assert "(10_sks dog): --folder-tags" in folder_tags.with_hint(sources.read_sidecars(tmp_path)).notes[-1]
