"""Files that look like images but are not."""

import os

import cv2
import numpy as np


def spoil(folder):
    """Write files that are no usable pictures; returns {name: the reason given}."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = cv2.imencode(".jpg", np.full((64, 64, 3), 9, np.uint8))[1].tobytes()
    png = cv2.imencode(".png", np.full((64, 64, 3), 9, np.uint8))[1].tobytes()
    bomb = b"BM" + (54).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
    bomb += (40).to_bytes(4, "little") + (60000).to_bytes(4, "little") * 2 + b"\1\0\x18\0" + bytes(24)
    content = {
        "cut.jpg": (whole[:300], "truncated JPEG"),
        "cut.png": (png[:-30], "truncated PNG"),
        "text.jpg": (b"I am text", "not an image"),
        "empty.png": (b"", "empty file"),
        "huge.bmp": (bomb, "too large"),
    }
    for name, (data, _) in content.items():
        (folder / name).write_bytes(data)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "gone.jpg").symlink_to(folder / "nowhere.jpg")
    return {name: reason for name, (_, reason) in content.items()} | {
        "pipe.jpg": "not a file",
        "gone.jpg": "No such file or directory",
    }
