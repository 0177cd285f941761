"""Images: checking, decoding, padding, resizing, encoding; the one preprocessing of everything but training.

Pixels are uint8 BGR (H, W, 3) throughout. ``prepare`` is what evaluation, serving, tagging and
``write_records`` do with a file: decode, pad to a white square, resize by area. Training draws among the
resamplers of ``resize`` instead. Color profiles are ignored, as by every client of these models.
"""

import contextlib
import functools
import io

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from Utils.images.resize import METHODS, average, resize  # noqa: F401  METHODS and resize are of the interface

WHITE = 255
MAX_PIXELS = 89_478_485  # where Pillow starts to warn of decompression bombs; 268 MB decoded
MAX_SIDE = 65_535  # JPEG's own limit; with it a 1-pixel-high strip stays harmless to pad

FORMATS = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "WEBP": (".webp",),
    "GIF": (".gif",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "AVIF": (".avif",),
}
SUFFIXES = tuple(suffix for suffixes in FORMATS.values() for suffix in suffixes)

_REDUCED = {
    1: cv2.IMREAD_COLOR,
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}
_PADDED_AT_ONCE = 2**24  # pixels of a padded square; beyond it rows and columns are resized apart
_ORIENTATION = 0x0112  # the EXIF tag


class ImageError(ValueError):
    """Bytes that are no usable image; ``str`` is a short reason, fit for a column of a report."""


def probe(data):
    """Return ``(format, width, height)`` from the header alone; orientation is not applied.

    Raises ImageError for empty data, data that is no image, and more pixels than MAX_PIXELS.
    """
    data = _filled(data)
    if data.startswith(b"\xff\xd8\xff"):
        header = _JpegHeader(data)
        found = ("JPEG", header.width, header.height)
    elif data.startswith(b"\x89PNG\r\n\x1a\n") and len(data) >= 24:
        found = ("PNG", int.from_bytes(data[16:20]), int.from_bytes(data[20:24]))
    else:
        with _pillow(data) as picture:
            found = (picture.format, *picture.size)
    _check_size(found[1], found[2])
    return found


def check(data, suffix=None):
    """Return the decoded image (H, W, 3), or raise ImageError with the reason to keep it out of a dataset.

    Refused are empty and truncated data, no image, too many pixels, animations, and, where ``suffix`` is
    given (".jpg"), content of another format than the name says.
    """
    image_format, _, _ = probe(data)
    if suffix and suffix.lower() not in FORMATS.get(image_format, ()):
        raise ImageError(f"{image_format} data in a {suffix} file")
    if image_format != "JPEG":
        with _pillow(data) as picture:
            frames = getattr(picture, "n_frames", 1)
        if frames > 1 and image_format != "TIFF":
            raise ImageError(f"animated {image_format} ({frames} frames)")
    return decode(data)


def decode(data, min_side=None, buffer=None):
    """Decode to (H, W, 3) uint8 BGR: alpha composited on white, EXIF orientation applied, 16 bits to 8.

    Gray, palette, CMYK and bilevel images become BGR; of an animation the first frame is taken.
    With ``min_side`` a JPEG is decoded at 1/2, 1/4 or 1/8 of its size where its longer side stays at least
    that: faster, for training only, since shrinking in the inverse DCT is near the area average, not equal.
    ``buffer(shape)`` may give an array for the pixels of a JPEG, with three channels or with a fourth that
    is of no account. Raises ImageError; a JPEG must be there up to its end marker.
    """
    data = _filled(data)
    if data.startswith(b"\xff\xd8\xff"):
        header = _JpegHeader(data)
        _check_size(header.width, header.height)
        if header.is_plain:
            return _decode_jpeg(data, header, _reduction(max(header.width, header.height), min_side), buffer)
    return _decode_pillow(data)


def _filled(data):
    data = bytes(data)
    if not data:
        raise ImageError("empty file")
    return data


def _check_size(width, height):
    if width < 1 or height < 1:
        raise ImageError(f"no pixels: {width} x {height}")
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise ImageError(f"too large: {width} x {height}")


def _reduction(side, min_side):
    if not min_side:
        return 1
    return max(times for times in _REDUCED if times == 1 or side // times >= min_side)


def to_stored_jpeg(data, suffix, size, quality=95):
    """Return the JPEG that a dataset stores for a file's content; ImageError where it is unfit (`check`).

    A whole JPEG of (size, size) in three colors that is shown as it is stored comes back byte for byte; where
    its header leaves no doubt that it decodes, that is not tried: 20 times faster. Anything else is decoded,
    padded white, resized as `prepare` does and encoded.
    """
    if suffix.lower() not in FORMATS["JPEG"] or not data.startswith(b"\xff\xd8\xff"):
        return encode_jpeg(fit(check(data, suffix), size), quality)
    header = _JpegHeader(data)
    is_square = (header.width, header.height, header.components) == (size, size, 3)
    if not is_square or (header.has_exif and _jpeg_orientation(data) != 1):
        return encode_jpeg(fit(check(data, suffix), size), quality)
    if not (header.is_sequential and _is_decodable(header.tables)):
        decode(data)  # raises where it cannot be
    return data


@functools.lru_cache(maxsize=1024)
def _is_decodable(tables):
    """Whether a decoder accepts the tables of a JPEG; what its scan holds then only decides on pixels."""
    try:
        with _pillow(b"\xff\xd8" + tables + b"\xff\xd9") as picture:
            picture.draft("L", (1, 1))
            picture.load()
    except Exception:  # whatever a parser raises
        return False
    return True


def _jpeg_orientation(data):
    with _pillow(data) as picture:
        return _orientation(picture)


class _JpegHeader:
    """What a JPEG says before its first scan: width, height, components, bits, whether it has EXIF data."""

    _FRAMES = {0xC0, 0xC1, 0xC2, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
    _REMARKS = {*range(0xE1, 0xEE), 0xEF, 0xFE}  # decoders pass over applications' data and comments
    _TELLING = {*_FRAMES, 0xDA, 0xE1}
    _ALONE = {0x00, 0xFF, *range(0xD0, 0xD9)}  # fill bytes, and markers without a length

    def __init__(self, data):
        self.width = self.height = self.components = self.bits = self.frame = self.scanned = 0
        self.has_exif = self.is_odd = False
        self.tables = b""  # the segments that decide whether it can be decoded
        self._read(data)
        # Compressed data holds 0xFF only before 0x00 and restart markers: the first end marker is the end.
        if not data.endswith(b"\xff\xd9", self.scan) and data.find(b"\xff\xd9", self.scan) < 0:
            raise ImageError("truncated JPEG")

    def _read(self, data):
        at, last, tables = 2, len(data) - 4, []
        while 0 <= at < last:
            marker = data[at + 1]
            if data[at] != 0xFF:  # stray bytes between segments: decoders skip them
                at = data.find(b"\xff", at)
                self.is_odd = True
            elif marker in self._ALONE:
                at += 1 if marker == 0xFF else 2
                self.is_odd = True
            else:
                end = at + 2 + (data[at + 2] << 8 | data[at + 3])
                if marker in self._TELLING:
                    self._segment(marker, data[at + 4 : at + 12])
                if marker not in self._REMARKS:
                    tables.append(data[at:end])
                at = end
                if marker == 0xDA:  # start of scan
                    self.scan, self.tables = at, b"".join(tables)
                    return
        raise ImageError("truncated JPEG")

    def _segment(self, marker, content):
        if marker == 0xDA:
            self.scanned = content[0] if content else 0
        if marker in self._FRAMES and len(content) >= 6:
            self.frame = marker
            self.bits, self.components = content[0], content[5]
            self.height, self.width = int.from_bytes(content[1:3]), int.from_bytes(content[3:5])
        elif marker == 0xE1 and content.startswith(b"Exif"):
            self.has_exif = True

    @property
    def is_plain(self):
        """Whether OpenCV decodes it as Pillow does: gray or three components of 8 bits."""
        return self.bits == 8 and self.components in (1, 3)

    @property
    def is_sequential(self):
        """Whether it is one scan of 8-bit Huffman codes, so that all its tables stand before it."""
        return not self.is_odd and self.frame in (0xC0, 0xC1) and self.scanned == self.components


def _decode_jpeg(data, header, reduction, buffer):
    image = _decode_into(buffer((header.height, header.width)), data) if buffer and reduction == 1 else None
    if image is None:
        # Not OpenCV's own orientation: it writes warnings about odd EXIF data on stderr.
        flags = _REDUCED[reduction] | cv2.IMREAD_IGNORE_ORIENTATION
        with contextlib.suppress(cv2.error):
            image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if image is None:
        raise ImageError("damaged JPEG")
    if header.has_exif:
        image = _turned(image, _jpeg_orientation(data))
    return image


def _decode_into(array, data):
    """Decode a whole JPEG into (H, W, 3 or 4); None where something is odd, which OpenCV may pass over.

    The pixels are OpenCV's, in nine tenths of the time and without fresh memory.
    """
    try:
        return simplejpeg.decode_jpeg(data, "BGR" if array.shape[2] == 3 else "BGRA", buffer=array)
    except ValueError:
        return None


def _pillow(data):
    try:
        return Image.open(io.BytesIO(data), formats=[*FORMATS, "MPO"])
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ImageError("too large") from error
    except Exception as error:  # a parser fed with anything: whatever it raises means no image
        is_webp = data.startswith(b"RIFF") and data[8:12] == b"WEBP"
        raise ImageError("truncated WEBP" if is_webp else "not an image") from error


def _decode_pillow(data):
    with _pillow(data) as picture:
        _check_size(*picture.size)
        _check_end(data, picture.format)
        try:
            picture.load()
            return upright(picture)
        except Exception as error:  # as above; MemoryError and struct.error have been seen
            truncated = "truncated" in str(error)
            raise ImageError(f"{'truncated' if truncated else 'damaged'} {picture.format}") from error


def upright(picture):
    """Return the pixels (H, W, 3) of a Pillow image: alpha composited on white, EXIF orientation applied."""
    return _turned(_to_bgr(picture), _orientation(picture))


def _check_end(data, image_format):
    """Raise ImageError where the end of a PNG is missing, which Pillow may pass over."""
    if image_format == "PNG" and b"IEND" not in data:
        raise ImageError("truncated PNG")


def _to_bgr(picture):
    if picture.mode.startswith("I"):  # 16-bit gray
        gray = (np.clip(np.asarray(picture).astype(np.int64), 0, 65535) + 128) // 257
        return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=-1)
    if picture.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if not picture.has_transparency_data:
        return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[..., ::-1])
    rgba = np.asarray(picture.convert("RGBA"))
    return _on_white(rgba[..., 2::-1], rgba[..., 3:])


def _on_white(color, alpha):
    """Composite (H, W, 3) on white by (H, W, 1) alpha, rounded to nearest."""
    alpha = alpha.astype(np.uint16)
    return ((color * alpha + (255 - alpha) * WHITE + 127) // 255).astype(np.uint8)


def _orientation(picture):
    try:
        return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # damaged EXIF data spoils no pixel
        return 1


def _turned(image, orientation):
    """Undo an EXIF orientation 1 to 8 (anything else is 1)."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    return np.ascontiguousarray(image)


def pad_square(image, value=WHITE):
    """Center (H, W, 3) on a square of its longer side filled with ``value``; an odd pixel goes after it."""
    height, width = image.shape[:2]
    if height == width:
        return image
    side = max(height, width)
    if side * side > MAX_PIXELS:
        raise ImageError(f"too large a square: {width} x {height}")
    top, left = (side - height) // 2, (side - width) // 2
    return cv2.copyMakeBorder(
        image, top, side - height - top, left, side - width - left, cv2.BORDER_CONSTANT, value=[value] * 3
    )


def fit(image, size, padding=WHITE):
    """Pad (H, W, 3) to a square and resize to (size, size, 3) by area, in bounded memory at any aspect."""
    side = max(image.shape[:2])
    if side * side <= _PADDED_AT_ONCE or image.shape[0] == image.shape[1]:
        return resize(pad_square(image, padding), size)
    return _fit_by_axis(image, side, size, padding)


def _fit_by_axis(image, side, size, padding):
    """Resize the long axis, pad and resize the short one: equal to ``fit`` within rounding."""
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


def prepare(data, image_size, padding=WHITE):
    """Turn an encoded image into the model's input (image_size, image_size, 3) uint8 BGR.

    Decode, pad to a square of ``padding`` (0..255), resize by area (bicubic where that enlarges).
    Raises ImageError where the data cannot be decoded.
    """
    return fit(decode(data), image_size, padding)


def encode_jpeg(image, quality=95):
    """Encode (H, W, 3) uint8 BGR as a baseline JPEG (4:2:0); the same pixels give the same bytes."""
    done, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ImageError("not encodable")
    return data.tobytes()
