"""Flat pictures, tools/tag_images.py over them, and the sidecars that it writes."""

import cv2
import numpy as np

from tools import tag_images

BLUE, GREEN, RED = (255, 0, 0), (0, 255, 0), (0, 0, 255)
# What the release of small_releases says of flat squares, at 0.35, characters 0.85:
EXPECTED = {
    BLUE: "blue_sky, rei_(eva), ^_^\n",
    GREEN: "green_grass, ^_^\n",
    RED: "red_(color)\n",
}


def paint(path, color, size=12):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((size, size, 3), color, np.uint8))


def tag(*words):
    return tag_images.main([str(word) for word in words])


def sidecars_in(folder):
    texts = {
        path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8")
        for path in folder.rglob("*.txt")
    }
    assert not list(folder.rglob("*.part*"))
    return texts
