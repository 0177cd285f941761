"""Checks, decodes, pads and encodes images: the one preprocessing of everything but training.

Pixels are uint8 BGR (H, W, 3) throughout. ``prepare`` is what evaluation, serving, tagging and
``write_records`` do with a file: decode, pad to a white square, resize by area. Training draws among the
resamplers of `Utils.images.resize` instead. Color profiles are ignored, as by every client of these models.
"""

import contextlib
import functools
from collections.abc import Callable

import cv2
import numpy as np
import simplejpeg

from Utils.images import jpeg_damage, jpeg_header, pillow_decoder, pixels, png_chunks
from Utils.images.image_limits import ImageError, check_size, check_square
from Utils.images.jpeg_header import JpegHeader
from Utils.images.resize import average, resize

WHITE = pixels.WHITE
LARGE = 89_478_485  # pixels from which a JPEG is decoded at a fraction of its size: it saves memory

_REDUCED_FLAGS = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_PADDED_AT_ONCE = 2**24  # pixels of a padded square; a larger one is never made: its axes are resized apart
_JPEG_START = b"\xff\xd8\xff"


def probe(data: bytes) -> tuple[str, int, int]:
    """Return ``(format, width, height)`` from the header alone, before EXIF orientation is applied.

    Raises ImageError for empty data, data that are no image, and too many pixels (`image_limits`).
    """
    data = _not_empty(data)
    if data.startswith(_JPEG_START):
        header = _jpeg_header(data)
        image_format, width, height = "JPEG", header.width, header.height
    elif data.startswith(png_chunks.SIGNATURE) and len(data) >= 24:
        image_format, width, height = "PNG", int.from_bytes(data[16:20]), int.from_bytes(data[20:24])
    else:
        with pillow_decoder.opened(data) as picture:
            image_format, (width, height) = str(picture.format), picture.size
    check_size(width, height)
    return image_format, width, height


def check(data: bytes, size: int | None = None) -> np.ndarray:
    """Return the decoded image (H, W, 3), or raise ImageError with the reason to keep it out of a dataset.

    Reasons are empty, truncated and damaged data, no image, too many pixels, and animations. `decode` makes
    the best of damage that this refuses: codes of a JPEG that libjpeg warns of, wrong checksums of a PNG.

    Args:
        data: the content of an image file.
        size: side to which the image will be resized, if it will: a LARGE JPEG is decoded accordingly.
    """
    image_format, _, _ = probe(data)
    if image_format == "JPEG":
        return _checked_jpeg(data, size)
    with pillow_decoder.opened(data) as picture:
        frames = getattr(picture, "n_frames", 1)
    if frames > 1 and image_format != "TIFF":
        raise ImageError(f"animated {image_format} ({frames} frames)")
    image = decode(data)
    if damage := pillow_decoder.png_damage(data):
        raise ImageError(damage[0])
    return image


def _checked_jpeg(data: bytes, size: int | None) -> np.ndarray:
    header, min_side = _jpeg_header(data), _side_of_large(data, size)
    reduction = _reduction(max(header.width, header.height), min_side)
    image, warning = jpeg_damage.decode(data, header, reduction)
    if warning:
        raise ImageError(f"damaged JPEG: {warning}")
    if image is None:
        return decode(data, min_side)
    return pixels.turned(image, pillow_decoder.orientation(data)) if header.has_exif else image


def _side_of_large(data: bytes, size: int | None) -> int | None:
    """Return the side at which a LARGE JPEG is decoded on the way to ``size``; None for its own size.

    Four times the result: averages of so many pixels hide that the inverse DCT shrinks a little differently.
    """
    if size is None or not data.startswith(_JPEG_START):
        return None
    header = _jpeg_header(data)
    return 4 * size if header.width * header.height > LARGE else None


def decode(
    data: bytes,
    min_side: int | None = None,
    buffer: Callable[[tuple[int, int]], np.ndarray] | None = None,
    damages: list[str] | None = None,
) -> np.ndarray:
    """Decode to (H, W, 3) uint8 BGR: alpha composited on white, EXIF orientation applied, 16 bits to 8.

    Gray, palette, CMYK and bilevel images become BGR; of an animation the first frame is decoded.

    Args:
        data: the content of an image file.
        min_side: decode a JPEG at 1/2, 1/4 or 1/8 of its size as long as its longer side has this many
            pixels. It is faster, and for training only: shrinking within the inverse DCT gives nearly the
            average of areas, not quite.
        buffer: function ``(H, W) -> array (H, W, 3 or 4)`` that may provide the memory for a JPEG's pixels;
            a fourth channel holds nothing.
        damages: gets the reason for which `check` refuses an image that can be decoded all the same.

    Raises ImageError, also for a JPEG without its end marker.
    """
    data = _not_empty(data)
    if not data.startswith(_JPEG_START):
        image = pillow_decoder.decode(data)
        if damages is not None:
            damages += pillow_decoder.png_damage(data)
        return image
    header = _jpeg_header(data)
    check_size(header.width, header.height)
    reduction = _reduction(max(header.width, header.height), min_side)
    if damages is not None and not (header.is_plain and header.is_sequential and reduction == 1):
        damages += _jpeg_damage(data, header, reduction)
        damages = None
    if not header.is_plain:
        return pillow_decoder.decode(data)
    return _decode_jpeg(data, header, reduction, buffer, damages)


def _jpeg_damage(data: bytes, header: JpegHeader, reduction: int = 1) -> list[str]:
    """Return what libjpeg warns of, in a list of one or none."""
    warning = jpeg_damage.decode(data, header, reduction)[1]
    return [f"damaged JPEG: {warning}"] if warning else []


def _not_empty(data: bytes) -> bytes:
    data = bytes(data)
    if not data:
        raise ImageError("empty file")
    return data


def _jpeg_header(data: bytes) -> JpegHeader:
    header = jpeg_header.parse(data)
    if header is None:
        raise ImageError("truncated JPEG")
    return header


def _reduction(side: int, min_side: int | None) -> int:
    """Return the largest factor, 1 to 8, that keeps a side of ``side`` pixels at ``min_side`` or more."""
    if not min_side:
        return 1
    return max(times for times in _REDUCED_FLAGS if times == 1 or side // times >= min_side)


def to_stored_jpeg(data: bytes, size: int, quality: int = 95, checks: bool = False) -> bytes:
    """Return the JPEG that a dataset stores for a file's content; ImageError where it is unfit (`check`).

    A complete JPEG of (size, size) in three colors, without an orientation to apply, is returned byte for
    byte. Where its header shows that it decodes, decoding it is not tried unless ``checks``: that is 300
    times faster, but damage inside stays. Anything else is decoded, padded white, resized as `prepare` does
    and encoded.
    """
    if not data.startswith(_JPEG_START):
        return encode_jpeg(fit(check(data, size), size), quality)
    header = _jpeg_header(data)
    is_square = (header.width, header.height, header.components) == (size, size, 3)
    if not is_square or (header.has_exif and pillow_decoder.orientation(data) != 1):
        return encode_jpeg(fit(check(data, size), size), quality)
    if checks or not (header.is_sequential and _is_decodable(header.tables)):
        check(data)  # raises ImageError where that is impossible
    return data


@functools.lru_cache(maxsize=1024)
def _is_decodable(tables: bytes) -> bool:
    """Whether a decoder accepts the tables of a JPEG; what the scan holds then only changes pixels.

    Cached, since the JPEGs of one encoder, quality and size have the same tables.
    """
    try:
        with pillow_decoder.opened(b"\xff\xd8" + tables + b"\xff\xd9") as picture:
            picture.draft("L", (1, 1))
            picture.load()
    except Exception:  # parsers of damaged data raise anything
        return False
    return True


def _decode_jpeg(
    data: bytes,
    header: JpegHeader,
    reduction: int,
    buffer: Callable[[tuple[int, int]], np.ndarray] | None,
    damages: list[str] | None,
) -> np.ndarray:
    image = None
    if reduction == 1:
        array = buffer((header.height, header.width)) if buffer else None
        if damages is not None:  # strictly first: where nothing is wrong, that is all the work
            image = _decode_quietly(data, array, strict=True)
            damages += [] if image is not None else _jpeg_damage(data, header)
        image = _decode_quietly(data, array) if image is None else image
    if image is None:
        # OpenCV could apply the orientation, but writes warnings about odd EXIF data on stderr.
        flags = _REDUCED_FLAGS[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
        with contextlib.suppress(cv2.error):
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise ImageError("damaged JPEG")
    if header.has_exif:
        image = pixels.turned(image, pillow_decoder.orientation(data))
    return image


def _decode_quietly(data: bytes, array: np.ndarray | None, strict: bool = False) -> np.ndarray | None:
    """Decode a JPEG, into (H, W, 3 or 4) where that is given; None for a fault that OpenCV may get past.

    With ``strict`` None for all that libjpeg warns of.

    The pixels are OpenCV's, of damaged data too, in nine tenths of the time. OpenCV would print libjpeg's
    warnings on stderr, of a file that they do not name.
    """
    colors = "BGR" if array is None or array.shape[2] == 3 else "BGRA"
    try:
        return simplejpeg.decode_jpeg(data, colors, buffer=array, strict=strict)
    except ValueError:
        return None


def pad_square(image: np.ndarray, value: int = WHITE) -> np.ndarray:
    """Center (H, W, 3) on a square of its longer side, filled with ``value`` (0..255).

    Of an odd number of padded rows or columns the one more is below or to the right. Raises ImageError where
    the square would have too many pixels.
    """
    height, width = image.shape[:2]
    if height == width:
        return image
    check_square(width, height)
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    return cv2.copyMakeBorder(
        image, top, side - height - top, left, side - width - left, cv2.BORDER_CONSTANT, value=[value] * 3
    )


def fit(image: np.ndarray, size: int, padding: int = WHITE) -> np.ndarray:
    """Pad (H, W, 3) to a square and resize to (size, size, 3) by area, in bounded memory at any aspect."""
    side = max(image.shape[:2])
    if side * side <= _PADDED_AT_ONCE or image.shape[0] == image.shape[1]:
        return resize(pad_square(image, padding), size)
    return _fit_by_axis(image, side, size, padding)


def _fit_by_axis(image: np.ndarray, side: int, size: int, padding: int) -> np.ndarray:
    """Resize the long axis first, then pad and resize the short one: `fit` up to rounding, in less memory."""
    if image.shape[0] > image.shape[1]:
        turned = np.ascontiguousarray(image.transpose(1, 0, 2))
        return np.ascontiguousarray(_fit_by_axis(turned, side, size, padding).transpose(1, 0, 2))
    height = image.shape[0]
    image = average(image, (height, size))  # (height, size, 3)
    top = (side - height) // 2
    image = cv2.copyMakeBorder(
        image, top, side - height - top, 0, 0, cv2.BORDER_CONSTANT, value=[padding] * 3
    )  # (side, size, 3)
    return average(image, (size, size))


def prepare(
    data: bytes, image_size: int, padding: int = WHITE, damages: list[str] | None = None
) -> np.ndarray:
    """Return the model's input (image_size, image_size, 3) uint8 BGR of an image file's content.

    Decode, pad to a square with ``padding`` (0..255), resize by area (bicubic where that enlarges). Raises
    ImageError where the data cannot be decoded; what can be decoded in spite of damage adds to ``damages``.
    """
    return fit(decode(data, _side_of_large(data, image_size), damages=damages), image_size, padding)


def encode_jpeg(image: np.ndarray, quality: int = 95) -> bytes:
    """Encode (H, W, 3) uint8 BGR as a baseline JPEG (4:2:0); the same pixels give the same bytes."""
    is_encoded, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not is_encoded:
        raise ImageError("not encodable")
    return data.tobytes()
