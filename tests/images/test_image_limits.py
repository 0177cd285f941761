"""Images of more pixels than are allowed are refused, by every function that reads them."""

import pytest
from helpers.pictures import saved, smooth
from PIL import Image

from Utils.images import codec, image_limits


@pytest.mark.reliability("A picture of more than 89 million pixels", "read; --max-pixels bounds them")
def test_how_many_pixels_are_allowed_is_the_users(monkeypatch, recwarn):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
    for data in (saved(smooth(64, 64), name) for name in ("JPEG", "PNG", "WEBP", "GIF")):
        image_limits.allow_pixels(64 * 64)
        assert codec.check(data).shape == (64, 64, 3)
        image_limits.allow_pixels(64 * 64 - 1)
        for read in (codec.check, codec.decode, codec.probe):
            with pytest.raises(codec.ImageError, match="too large: 64 x 64, above --max-pixels 4095"):
                read(data)
    image_limits.allow_pixels(image_limits.MAX_PIXELS)
    png = saved(smooth(64, 64), "PNG")
    header = png[:16] + (8420).to_bytes(4) + (12092).to_bytes(4) + png[24:]
    assert codec.probe(header) == ("PNG", 8420, 12092)
    assert Image.MAX_IMAGE_PIXELS is None
    assert not recwarn


def test_a_square_has_its_limit_too():
    image_limits.check_square(1, 15_000)
    with pytest.raises(image_limits.ImageError, match="too large a square: 1 x 16000"):
        image_limits.check_square(1, 16_000)


def test_a_side_that_is_too_long_is_said_to_be_one():
    image_limits.check_size(1, image_limits.MAX_SIDE)
    with pytest.raises(image_limits.ImageError, match="too large: 2 x 65536, sides are 65535 at most"):
        image_limits.check_size(2, image_limits.MAX_SIDE + 1)
