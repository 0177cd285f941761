"""Utils/images/animation.py: frames of animated pictures."""

import io

import numpy as np
import pytest
from helpers import jpeg
from PIL import Image

from Utils.images import animation, codec

COLORS = [(250, 10, 10), (10, 250, 10), (10, 10, 250), (240, 240, 10)]


def animated(image_format, colors=COLORS):
    file, pictures = io.BytesIO(), [Image.new("RGB", (24, 16), color) for color in colors]
    lossless = {"lossless": True} if image_format == "WEBP" else {}
    pictures[0].save(file, image_format, save_all=True, append_images=pictures[1:], duration=50, **lossless)
    return file.getvalue()


@pytest.mark.parametrize("image_format", ["GIF", "PNG", "WEBP", "AVIF"])
def test_frames_in_order(image_format):
    data = animated(image_format)
    assert animation.num_frames(data) == 4
    frames = list(animation.frames(data, "all"))
    assert [frame.shape for frame in frames] == [(16, 24, 3)] * 4
    for frame, color in zip(frames, COLORS, strict=True):
        assert np.abs(frame[8, 12, ::-1].astype(int) - color).max() < 12
    np.testing.assert_array_equal(next(animation.frames(data, "first")), frames[0])
    np.testing.assert_array_equal(next(animation.frames(data, "middle")), frames[2])


def test_stills_have_one_frame():
    assert animation.num_frames(jpeg(1, 8)) == 1
    assert animation.num_frames(animated("GIF", COLORS[:1])) == 1


def test_frames_are_stored_as_squares():
    jpegs = animation.to_stored_jpegs(animated("GIF"), 32, 95, "all")
    assert len(jpegs) == 4
    for data in jpegs:
        assert codec.decode(data).shape == (32, 32, 3)
    assert codec.decode(jpegs[0])[0, 16].min() > 240  # padded white above and below


def test_damage_and_endless_files_are_refused(monkeypatch):
    data = animated("GIF")
    with pytest.raises(codec.ImageError, match="damaged GIF|truncated"):
        list(animation.frames(data[: len(data) * 2 // 3], "all"))
    monkeypatch.setattr(animation, "MOST_FRAMES", 3)
    with pytest.raises(codec.ImageError, match="too many frames: 4"):
        list(animation.frames(data, "first"))
