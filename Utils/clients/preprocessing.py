"""How clients turn a picture into a model's input: transparency, padding to a square, resizing.

Each function takes a Pillow image as it was opened and a size, and returns (size, size, 3) uint8 BGR. Only
ours looks at the orientation that EXIF data states.
"""

import cv2
import numpy as np
from PIL import Image

from Utils.images import codec

WHITE = 255


def ours(picture, size):
    """Prepare as evaluation and serving here do (`Utils.images.codec.fit`)."""
    return codec.fit(codec.upright(picture), size)


def kohya(picture, size):
    """Composite on white, pad to the longer side; average areas down, Lanczos of Pillow up."""
    image = _centered(_composited(picture), 0)
    if len(image) <= size:
        return _pillow(image, size, Image.Resampling.LANCZOS)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def standalone(picture, size):
    """Composite on white, pad to the longer side or to the size: small pictures stay small."""
    return _padded_then_area(_composited(picture), size)


def comfy(picture, size):
    """Resize by Lanczos first, cut to whole pixels, then paste on white; transparency is dropped."""
    ratio = size / max(picture.size)
    shape = [max(1, int(side * ratio)) for side in picture.size]
    image = np.asarray(_opaque(picture).resize(shape, Image.Resampling.LANCZOS))[..., ::-1]
    return _centered(image, size)


def bicubic(picture, size):
    """Composite on white, pad to the longer side, bicubic of Pillow up and down."""
    return _pillow(_centered(_composited(picture), 0), size, Image.Resampling.BICUBIC)


def original_single(picture, size):
    """Prepare as the original project's server: only what is wholly transparent becomes white."""
    return _padded_then_area(_holes_filled(picture), size)


def original_batch(picture, size):
    """Prepare as the original project's evaluation: as its server, but small pictures are enlarged."""
    image = _centered(_holes_filled(picture), 0)
    method = cv2.INTER_AREA if len(image) > size else cv2.INTER_CUBIC
    return cv2.resize(image, (size, size), interpolation=method)


def _composited(picture):
    """Return (H, W, 3) BGR of a picture on white."""
    if not picture.has_transparency_data:
        return np.ascontiguousarray(np.asarray(picture.convert("RGB"))[..., ::-1])
    picture = picture.convert("RGBA")
    canvas = Image.new("RGBA", picture.size, (WHITE,) * 4)
    canvas.alpha_composite(picture)
    return np.ascontiguousarray(np.asarray(canvas.convert("RGB"))[..., ::-1])


def _opaque(picture):
    """Return a picture in RGB as its colors are stored under any transparency."""
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
    return picture.convert("RGB")


def _holes_filled(picture):
    """Return (H, W, 3) BGR with white where alpha is 0, and the stored color elsewhere."""
    if not picture.has_transparency_data:
        return _composited(picture)
    rgba = np.asarray(picture.convert("RGBA"))
    filled = np.where(rgba[..., 3:] == 0, np.uint8(WHITE), rgba[..., :3])
    return np.ascontiguousarray(filled[..., ::-1])


def _padded_then_area(image, size):
    image = _centered(image, size)
    if len(image) == size:
        return image
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def _centered(image, size):
    """Center (H, W, 3) on a white square of its longer side, or of ``size`` where that is longer."""
    height, width = image.shape[:2]
    side = max(height, width, size)
    square = np.full((side, side, 3), WHITE, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    return square


def _pillow(image, size, method):
    if len(image) == size:
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), method))
