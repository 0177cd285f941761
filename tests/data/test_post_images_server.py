"""Utils/data/post_images_server.py: the image of a post, wherever it lies in its folder, and nothing
outside."""

import cv2
import numpy as np
import pytest
from helpers import jpeg

from Utils.command.cli import UserError
from Utils.data import post_images_server


def test_an_image_is_found_anywhere_but_not_outside(tmp_path):
    folder, outside = tmp_path / "images", tmp_path / "outside"
    for place in (folder / "a b", folder / "0005", outside):
        place.mkdir(parents=True)
    (folder / "a b" / "5.jpg").write_bytes(jpeg(5, 8))
    (outside / "6.jpg").write_bytes(jpeg(6, 8))
    (folder / "0006").symlink_to(outside)
    (folder / "7.jpg").symlink_to(outside / "6.jpg")
    (folder / "8.png").write_bytes(b"no image")
    (folder / "9.png").write_bytes(cv2.imencode(".png", np.zeros((6, 4, 3), np.uint8))[1].tobytes())
    tiff = cv2.imencode(".tiff", np.full((6, 4, 3), 9, np.uint8))[1].tobytes()
    (folder / "10.tif").write_bytes(tiff)
    images = post_images_server.PostImages(
        folder, [5, 6, 7, 8, 9, 10, 11, 12], {11: "../outside/6.jpg", 12: str(outside / "6.jpg")}
    )
    assert images.large(5) == (jpeg(5, 8), "image/jpeg")
    assert [images.large(post) for post in (6, 7, 8, 11, 12)] == [None] * 5
    assert [images.small(post) for post in (6, 7, 8, 11, 12)] == [None] * 5
    assert images.large(9)[1] == "image/png"
    assert images.large(10)[0][:3] == b"\xff\xd8\xff"  # as browsers show it
    assert images.num_absent == 4
    with pytest.raises(UserError, match="none of 2 posts looked for has an image"):
        post_images_server.PostImages(folder, [6, 7])
    with pytest.raises(UserError, match="an image folder, .* was expected"):
        post_images_server.PostImages(tmp_path / "nowhere", [1])
