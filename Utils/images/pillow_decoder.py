"""Decodes by Pillow what is no plain JPEG: PNG, WebP, GIF, AVIF, odd JPEGs, and formats that plugins add.

Pixels are uint8 BGR (H, W, 3). Every fault of the data is an ImageError with a short reason.
"""

import io

import numpy as np
from PIL import Image

from Utils.images import formats, pixels, png_chunks
from Utils.images.image_limits import ImageError, check_size

_EXIF_ORIENTATION = 0x0112

# Pillow warns of, then refuses, pictures by a limit of its own; `image_limits.allow_pixels` is the user's.
Image.MAX_IMAGE_PIXELS = None


def opened(data: bytes) -> Image.Image:
    """Return a picture whose header is read, its pixels not yet; raise ImageError for what is none."""
    if data.startswith(png_chunks.SIGNATURE):
        data = png_chunks.essential(data)
    try:
        readable = [*formats.FORMATS, "MPO"]
        if (image_format := formats.from_bytes(data)) in formats.PLUGINS:
            readable = formats.load_plugin(image_format) or readable
        return Image.open(io.BytesIO(data), formats=readable)
    except Exception as error:  # parsers of damaged data raise anything
        raise ImageError(_reason_not_opened(data)) from error


def _reason_not_opened(data: bytes) -> str:
    image_format = formats.from_bytes(data)
    if image_format in ("WEBP", "AVIF"):
        return f"truncated {image_format}"
    if damage := png_damage(data):
        return damage[0]
    if image_format is None or image_format in formats.FORMATS:
        return "not an image"
    missing = formats.advice(image_format)
    if image_format in formats.PLUGINS and not missing:
        return f"damaged {image_format}"
    return ": ".join([f"{image_format} data, which are not read here", *missing])


def decode(data: bytes) -> np.ndarray:
    """Return the pixels of a file's content as `upright` does; raise ImageError where they cannot be had."""
    with opened(data) as picture:
        check_size(*picture.size)
        if picture.format == "PNG" and not png_chunks.has_end(data):  # Pillow may decode it all the same
            raise ImageError("truncated PNG")
        try:
            picture.load()
            return upright(picture)
        except ImageError:
            raise
        except Exception as error:  # MemoryError and struct.error among them
            truncated = "truncated" in str(error)
            raise ImageError(f"{'truncated' if truncated else 'damaged'} {picture.format}") from error


def png_damage(data: bytes) -> list[str]:
    """Return why `codec.check` refuses a PNG that may decode all the same, in a list of one or none."""
    fault = png_chunks.fault(data) if data.startswith(png_chunks.SIGNATURE) else None
    return [f"damaged PNG: {fault}"] if fault else []


def upright(picture: Image.Image) -> np.ndarray:
    """Return the pixels (H, W, 3) of a Pillow image: alpha composited on white, EXIF orientation applied."""
    return pixels.turned(_to_bgr(picture), _orientation(picture))


def orientation(data: bytes) -> int:
    """Return the EXIF orientation of a file's content, 1 where it has none."""
    with opened(data) as picture:
        return _orientation(picture)


def _orientation(picture: Image.Image) -> int:
    try:
        return int(picture.getexif().get(_EXIF_ORIENTATION, 1))
    except Exception:  # damaged EXIF data spoils no pixel
        return 1


def _to_bgr(picture: Image.Image) -> np.ndarray:
    if picture.mode.startswith("I"):  # 16-bit gray
        gray = (np.clip(np.asarray(picture).astype(np.int64), 0, 65535) + 128) // 257
        return np.repeat(gray.astype(np.uint8)[..., None], 3, axis=-1)
    if picture.mode == "F":
        raise ImageError(f"{picture.format} of floating-point pixels, which have no known range")
    if not picture.has_transparency_data:
        return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[..., ::-1])
    rgba = np.asarray(picture.convert("RGBA"))
    color, alpha = rgba[..., 2::-1], rgba[..., 3:]
    if picture.format == "BMP" and not alpha.any():  # clipboards and old tools leave the fourth byte 0
        return np.ascontiguousarray(color)
    return pixels.on_white(color, alpha)
