"""Utils/data/post_images.py: the images of posts from a folder and from the records of a dataset."""

import base64

import numpy as np
import pytest
from helpers import jpeg, small_dataset

from Utils.command.cli import UserError
from Utils.data import dataset_folder, post_images
from Utils.images import codec, image_folder


def test_images_are_read_from_the_records_of_a_dataset(tmp_path):
    folder = small_dataset(tmp_path, num_posts=30, size=16, shard_size=8)
    dataset = dataset_folder.load(folder)
    ids = [int(dataset.post_ids(split)[place]) for split in dataset.splits for place in (0, -1)]
    images = post_images.dataset_reader(folder)([*ids, 10**9])
    assert images == {post_id: jpeg(post_id, 16) for post_id in ids}
    (folder / "train" / "ids.npy").unlink()  # as a dataset of the original project
    assert not set(post_images.dataset_reader(folder)(ids)) & set(ids[:2])


@pytest.mark.reliability("ids.npy of another order, review page", "refused: no wrong picture is judged")
def test_records_of_other_posts_than_the_list_says_are_refused(tmp_path):
    folder = small_dataset(tmp_path, num_posts=30, size=16, shard_size=8)
    path = folder / "train" / "ids.npy"
    ids = np.load(path)
    np.save(path, np.roll(ids, 1))
    with pytest.raises(UserError, match=f"record of post .* where .*{path.name} says {ids[0]}"):
        post_images.dataset_reader(folder)([int(ids[0])])


def test_images_are_found_in_a_folder_at_the_usual_place_or_anywhere(tmp_path):
    odd, usual, copy = (
        tmp_path / "a b" / "drawing.png",
        tmp_path / "0007" / "1007.jpg",
        tmp_path / "x" / "1007.jpg",
    )
    for path, size in ((odd, (20, 40)), (usual, 8), (copy, 9)):
        path.parent.mkdir(parents=True)
        path.write_bytes(jpeg(3, size))
    odd_id = image_folder.post_id("a b/drawing.png")
    images = post_images.place_reader(tmp_path)([odd_id, 1007, 5])
    assert images == {odd_id: odd.read_bytes(), 1007: usual.read_bytes()}
    with pytest.raises(UserError, match="an image folder, .* was expected at .*drawing.png; found a file"):
        post_images.place_reader(odd)


def test_a_data_uri_is_a_small_square_jpeg():
    uri = post_images.data_uri(jpeg(3, (20, 40)), side=24)
    start, _, encoded = uri.partition(",")
    assert start == "data:image/jpeg;base64"
    assert codec.decode(base64.b64decode(encoded)).shape == (24, 24, 3)
    assert post_images.data_uri(b"no image") is None
