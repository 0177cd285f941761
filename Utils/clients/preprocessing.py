"""How clients turn an image into a model's input: transparency, padding to a square, resizing.

Each function takes a Pillow image as it was opened and the side S of the input, and returns (S, S, 3) uint8
BGR. Only ours applies the orientation of EXIF data, and only ours scales 16-bit gray: Pillow's ``convert``,
which the others use, cuts it off at 255.
"""

import cv2
import numpy as np
from PIL import Image

from Utils.images import codec, pillow_decoder

WHITE = 255


def ours(image: Image.Image, size: int) -> np.ndarray:
    """Prepare as evaluation and serving here do (`Utils.images.codec.fit`)."""
    return codec.fit(pillow_decoder.upright(image), size)


def kohya(image: Image.Image, size: int) -> np.ndarray:
    """Composite on white, pad to the longer side; area average to shrink, Pillow's Lanczos to enlarge."""
    bgr = _centered(_on_white(image), 0)
    if len(bgr) <= size:
        return _resized(bgr, size, Image.Resampling.LANCZOS)
    return cv2.resize(bgr, (size, size), interpolation=cv2.INTER_AREA)


def standalone(image: Image.Image, size: int) -> np.ndarray:
    """Composite on white, pad to the longer side or to the size: small images are not enlarged."""
    return _padded_then_area(_on_white(image), size)


def comfy(image: Image.Image, size: int) -> np.ndarray:
    """Resize by Lanczos first, to whole pixels, then paste on white; stored colors show where transparent."""
    ratio = size / max(image.size)
    shape = (max(1, int(image.width * ratio)), max(1, int(image.height * ratio)))
    bgr = np.asarray(_without_alpha(image).resize(shape, Image.Resampling.LANCZOS))[..., ::-1]
    return _centered(bgr, size)


def bicubic(image: Image.Image, size: int) -> np.ndarray:
    """Composite on white, pad to the longer side, Pillow's bicubic filter to shrink and to enlarge."""
    return _resized(_centered(_on_white(image), 0), size, Image.Resampling.BICUBIC)


def wdv3(image: Image.Image, size: int) -> np.ndarray:
    """Prepare as `bicubic`, but gray with transparency loses it: the stored gray shows."""
    return bicubic(image.convert("RGB") if image.mode == "LA" else image, size)


def imgutils(image: Image.Image, size: int) -> np.ndarray:
    """Prepare as `bicubic`, but the picture is its own mask on white where Pillow takes it for one.

    A gray picture gets lighter so, value v becoming v^2 / 255 + 255 - v, and a palette's transparent entry
    keeps its color (version 0.19.0).
    """
    canvas = Image.new("RGB", image.size, (WHITE,) * 3)
    canvas.paste(image, mask=image if image.mode in ("1", "L", "LA", "RGBA") else None)
    return bicubic(canvas, size)


def original_single(image: Image.Image, size: int) -> np.ndarray:
    """Prepare as the original project's server: only fully transparent pixels become white."""
    return _padded_then_area(_holes_filled(image), size)


def original_batch(image: Image.Image, size: int) -> np.ndarray:
    """Prepare as the original project's evaluation: as its server, but small images are enlarged."""
    bgr = _centered(_holes_filled(image), 0)
    method = cv2.INTER_AREA if len(bgr) > size else cv2.INTER_CUBIC
    return cv2.resize(bgr, (size, size), interpolation=method)


def _on_white(image: Image.Image) -> np.ndarray:
    """Return (H, W, 3) BGR of an image composited on white."""
    if not image.has_transparency_data:
        return _bgr(image.convert("RGB"))
    image = image.convert("RGBA")
    canvas = Image.new("RGBA", image.size, (WHITE,) * 4)
    canvas.alpha_composite(image)
    return _bgr(canvas.convert("RGB"))


def _bgr(image: Image.Image) -> np.ndarray:
    return np.ascontiguousarray(np.asarray(image)[..., ::-1])


def _without_alpha(image: Image.Image) -> Image.Image:
    """Return an RGB image with the colors that are stored, also where they are transparent."""
    if image.has_transparency_data:
        image = image.convert("RGBA")  # a palette's transparent entry keeps its color this way
    return image.convert("RGB")


def _holes_filled(image: Image.Image) -> np.ndarray:
    """Return (H, W, 3) BGR, white where alpha is 0 and the stored color elsewhere."""
    if not image.has_transparency_data:
        return _on_white(image)
    rgba = np.asarray(image.convert("RGBA"))
    filled = np.where(rgba[..., 3:] == 0, np.uint8(WHITE), rgba[..., :3])
    return np.ascontiguousarray(filled[..., ::-1])


def _padded_then_area(bgr: np.ndarray, size: int) -> np.ndarray:
    bgr = _centered(bgr, size)
    if len(bgr) == size:
        return bgr
    return cv2.resize(bgr, (size, size), interpolation=cv2.INTER_AREA)


def _centered(bgr: np.ndarray, least: int) -> np.ndarray:
    """Center (H, W, 3) on a white square whose side is the longer one, ``least`` at least."""
    height, width = bgr.shape[:2]
    side = max(height, width, least)
    square = np.full((side, side, 3), WHITE, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = bgr
    return square


def _resized(bgr: np.ndarray, size: int, method: Image.Resampling) -> np.ndarray:
    if len(bgr) == size:
        return bgr
    return np.asarray(Image.fromarray(bgr).resize((size, size), method))
