"""Image files are read in batches: in order, no faster than they are taken, bad ones set aside."""

import cv2
import numpy as np
import pytest
from helpers.pictures import noise

from Utils.images import codec, image_reader


def test_batches_come_in_order_and_no_faster_than_they_are_taken(tmp_path):
    for number in range(7):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((12, 12, 3), number, np.uint8))
    (tmp_path / "3.png").write_bytes(b"")
    asked = []

    def paths():
        for number in range(7):
            asked.append(number)
            yield tmp_path / f"{number}.png"

    batches = image_reader.read_batches(paths(), 8, 2, readers=3)
    first = next(batches)
    assert max(asked) == 3  # this batch and the next
    parts = [first, *batches]
    assert [[path.stem for path in good] for good, _, _ in parts] == [["0", "1"], ["2"], ["4", "5"], ["6"]]
    assert [bad for _, _, bad in parts] == [[], [(tmp_path / "3.png", "empty file")], [], []]
    for good, pixels, _ in parts:
        for path, picture in zip(good, pixels, strict=True):
            assert np.array_equal(picture, codec.prepare(path.read_bytes(), 8))


def test_a_file_may_not_fill_the_memory(tmp_path):
    with (tmp_path / "sparse.png").open("wb") as file:
        file.truncate(image_reader.MOST_BYTES + 1)
    with pytest.raises(codec.ImageError, match="too large a file"):
        image_reader.read_image(tmp_path / "sparse.png", 8)


def test_a_picture_is_told_by_its_bytes(tmp_path):
    (tmp_path / "a").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(60))
    (tmp_path / "b.png").write_text("notes")
    assert [image_reader.holds_picture(tmp_path / name) for name in ("a", "b.png", "none")] == [
        True, False, False,
    ]  # fmt: skip


def test_what_is_wrong_with_readable_images_is_told(tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((12, 12, 3), np.uint8))
    (tmp_path / "0.png").rename(tmp_path / "0.jpg")
    data = codec.encode_jpeg(noise(64, 64))
    paths = [tmp_path / f"{number}.jpg" for number in range(8)]
    for path in paths[1:]:
        path.write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    remarks = image_reader.Remarks()
    parts = list(image_reader.read_batches(paths, 8, 3, remarks=remarks))
    assert sum(len(good) for good, _, _ in parts) == 8
    suffix, damage = remarks.sentences("used", lambda path: path.name)
    assert suffix == "1 with a wrong suffix: PNG data in .jpg files"
    assert damage.startswith("warning: 7 damaged inside but used all the same: 1.jpg: damaged JPEG: Corr")
    assert damage.endswith("; and 2 more (check_images.py lists all)")
    assert list(image_reader.Remarks().sentences("used")) == []
