"""Utils/data/dataset_posts.py: posts in memory, their order, and the place of their pictures."""

import pytest
from helpers.archives import write_tar, write_zip
from helpers.dataset_posts import posts_of

from Utils.command.cli import UserError
from Utils.data import dataset_folder
from Utils.data.dataset_posts import Posts


def test_posts_are_the_same_however_many_are_read_together(tmp_path, monkeypatch):
    ids, splits = list(range(0, 100, 3)), ["train", "validation"] * 17
    whole = posts_of(tmp_path, ids, splits)
    monkeypatch.setattr(dataset_folder, "POSTS_AT_ONCE", 4)
    blocks = Posts(tmp_path)
    assert blocks.ids.tolist() == ids
    for split in ("train", "validation"):
        rows = whole.rows(split, 1)
        assert blocks.rows(split, 1).tolist() == rows.tolist()
        assert list(blocks.at(rows)) == list(whole.at(rows))
        assert [post for post, _, _ in blocks.at(rows)] == [ids[row] for row in rows]
        assert all(path == f"{post}.jpg" and labels == [0] for post, path, labels in blocks.at(rows))


def test_the_order_of_two_posts_does_not_depend_on_others(tmp_path):
    posts = posts_of(tmp_path, range(50), ["train"] * 30 + ["validation"] * 20)
    train = posts.ids[posts.rows("train", 3)]
    fewer = posts_of(tmp_path / "fewer", range(0, 30, 2), ["train"] * 15)
    assert fewer.ids[fewer.rows("train", 3)].tolist() == [i for i in train.tolist() if i % 2 == 0]
    assert posts.ids[posts.rows("train", 4)].tolist() != train.tolist(), "another seed, another order"


@pytest.mark.reliability("A tar that was cut off between selecting and packing", "refused before any work")
def test_an_archive_of_posts_that_was_damaged_is_refused_and_another_is_not(tmp_path):
    files = {f"{row}.jpg": b"x" * 600 for row in range(4)}
    for name in ("a.tar", "b/c.tar"):
        write_tar(tmp_path / "p" / name, files)
    write_zip(tmp_path / "p" / "d.zip", files)
    paths = ["a.tar/0.jpg", "a.tar/1.jpg", "b/c.tar/2.jpg"]
    posts = posts_of(tmp_path / "dataset", [0, 1, 2], ["train"] * 3, paths)
    (tmp_path / "p" / "d.zip").write_bytes(b"PK\x03\x04 cut off")
    place = posts.open_images(str(tmp_path / "p"), tmp_path / "dataset")
    assert place.has(paths) == [True] * 3
    assert [name for name, _ in place.unreadable] == ["d.zip"]
    cut = (tmp_path / "p" / "a.tar").read_bytes()[:1100]
    (tmp_path / "p" / "a.tar").write_bytes(cut)
    message = "2 of 3 posts are in .*/p/a.tar, which cannot be read now: it is cut off.* run select_tags"
    with pytest.raises(UserError, match=message):
        posts.open_images(str(tmp_path / "p"), tmp_path / "dataset")
