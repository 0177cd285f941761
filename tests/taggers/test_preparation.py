"""The tensor of a picture has the layout, channels and range that a model takes."""

import numpy as np
import pytest

from Utils.images import codec
from Utils.taggers.preparation import Preparation

PICTURES = np.arange(2 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 2, 2, 3)


def test_layout_channels_and_range():
    assert Preparation(2).tensor(PICTURES) is PICTURES
    first = Preparation(2, "NCHW", "RGB").tensor(PICTURES)
    assert first.shape == (2, 3, 2, 2)
    assert np.array_equal(first[:, 0], PICTURES[..., 2])
    scaled = Preparation(2, divisor=255.0, mean=(0.5,) * 3, std=(0.5,) * 3).tensor(PICTURES)
    assert np.allclose(scaled, PICTURES / 127.5 - 1)
    assert (Preparation(2).range_text, Preparation(2, divisor=255.0).range_text) == ("0..255", "0..1")
    assert "less 0.5,0.5,0.5" in Preparation(2, divisor=255.0, mean=(0.5,) * 3).range_text


def test_pictures_are_prepared_as_for_evaluation_where_nothing_else_is_told():
    noise = np.random.default_rng(0).integers(0, 256, (300, 200, 3), np.uint8)
    data, damages = codec.encode_jpeg(noise), []
    assert np.array_equal(Preparation(16).picture(data, damages), codec.prepare(data, 16))
    assert damages == []


def test_a_picture_that_is_none_is_refused():
    with pytest.raises(codec.ImageError):
        Preparation(8).picture(b"no picture")
