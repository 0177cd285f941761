"""Animated pictures (GIF, PNG, WebP, AVIF): which of their frames become pictures of their own."""

import io
from collections.abc import Iterator

import numpy as np
from PIL import Image

from Utils.images import codec, pillow_decoder
from Utils.images.image_limits import ImageError

CHOICES = ("first", "middle", "all")
MOST_FRAMES = 10_000  # of a file; some ten minutes of film
_FORMATS = ("GIF", "PNG", "WEBP", "AVIF")


def num_frames(data: bytes) -> int:
    """Return how many frames an animated picture has, 1 for any other; ImageError as `codec.probe`."""
    image_format, _, _ = codec.probe(data)
    if image_format not in _FORMATS:
        return 1
    try:
        with Image.open(io.BytesIO(data), formats=[image_format]) as picture:
            return getattr(picture, "n_frames", 1)
    except Exception as error:  # parsers of damaged data raise anything
        raise ImageError(f"damaged {image_format}") from error


def frames(data: bytes, choice: str) -> Iterator[np.ndarray]:
    """Yield the chosen frames of an animated picture, (H, W, 3) uint8 BGR, one at a time in memory.

    Args:
        data: the content of the file.
        choice: of CHOICES; of an even number of frames the middle is the later one.

    Raises ImageError where a frame is damaged, or there are more than MOST_FRAMES.
    """
    image_format, _, _ = codec.probe(data)
    count = num_frames(data)
    if count > MOST_FRAMES:
        raise ImageError(f"too many frames: {count}")
    chosen = {"first": range(1), "middle": range(count // 2, count // 2 + 1), "all": range(count)}[choice]
    with Image.open(io.BytesIO(data), formats=[image_format]) as picture:
        for number in chosen:
            try:
                picture.seek(number)
                picture.load()
                image = pillow_decoder.upright(picture)
            except Exception as error:
                raise ImageError(f"damaged {image_format} (frame {number + 1})") from error
            yield image


def to_stored_jpegs(data: bytes, size: int, quality: int, choice: str) -> list[bytes]:
    """Return the JPEGs that a dataset stores for the frames of an animated picture; see `frames`."""
    return [codec.encode_jpeg(codec.fit(image, size), quality) for image in frames(data, choice)]
