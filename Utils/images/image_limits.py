"""Which pictures are refused for their size, and the error of every picture that cannot be used."""

MAX_PIXELS = 250_000_000  # of an image, unless `allow_pixels` says otherwise; 750 MB decoded
MAX_SIDE = 65_535  # JPEG's own limit; it bounds the square that a strip 1 pixel high is padded to


class ImageError(ValueError):
    """Bytes that are not a usable image; ``str`` is a short reason, fit for a column of a report."""


class _Limit:
    """How many pixels an image may have, in this process."""

    pixels = MAX_PIXELS


def allow_pixels(number: int) -> None:
    """Refuse images of more pixels from now on, in this process (``--max-pixels``)."""
    _Limit.pixels = number


def check_size(width: int, height: int) -> None:
    """Raise ImageError for an image of no pixels or of more than are allowed (`allow_pixels`, MAX_SIDE)."""
    if width < 1 or height < 1:
        raise ImageError(f"no pixels: {width} x {height}")
    if max(width, height) > MAX_SIDE:
        raise ImageError(f"too large: {width} x {height}, sides are {MAX_SIDE} at most")
    if width * height > _Limit.pixels:
        raise ImageError(f"too large: {width} x {height}, above --max-pixels {_Limit.pixels}")


def check_square(width: int, height: int) -> None:
    """Raise ImageError where the square around an image would have more pixels than are allowed."""
    if max(width, height) ** 2 > _Limit.pixels:
        raise ImageError(f"too large a square: {width} x {height}, above --max-pixels {_Limit.pixels}")
