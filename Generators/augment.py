"""Augmentation of one image and one batch: pure functions of pixels and random numbers.

As in the original zoo, in this order: flip 1/2 · square crop, side U(0.87, 0.998) of the height, anywhere ·
resize by a drawn method · cutout where asked · rotation U(-45, 45) degrees, bilinear, white outside · MixUp.

The numbers of a batch come from a counter-based generator keyed by (seed, step): there is no state to save,
so any worker may make any batch at any time, and a run that continues needs only its step.

Flip and rotation are one affine warp (a mirrored crop has the distribution of a crop of the mirror image).
Where OpenCV is faster with four channels than with three, images have four.

Differences from the original, each a defect there: images that are not square are padded white instead of
squashed or refused, crops reach the last row and column, resizing and MixUp round to nearest, MixUp partners
are drawn instead of read from the batch backward.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

from Utils.images import codec
from Utils.images.augmentation import Augmentation
from Utils.images.buffer_pool import ThreadBuffers, pooled_array
from Utils.images.resize import resize

CUTOUT_VALUE = 127  # middle gray
SAMPLE, BATCH = 0, 1  # purposes of random numbers, which are independent: an image's, and MixUp's
NUMBERS = 9  # uniform numbers of an image
NEGLIGIBLE = 1 / 512  # a share below which even 255 rounds to 0
# A crop is decoded at a fraction of its size where it stays this much larger than the target. The mean
# difference in drawings, at most 1.2 gray levels, is then half of what area and bicubic differ by.
REDUCED_MARGIN = 1.5

_scratch = ThreadBuffers()


class Draws(NamedTuple):
    """The random draws of one image. Positions are from 0, the first possible one, to 1, the last."""

    flip: bool
    crop_side: float  # of the height
    crop_y: float
    crop_x: float
    method: str
    cutout_area: float  # of the image
    cutout_y: float
    cutout_x: float
    degrees: float


def generator(seed: int, purpose: int, step: int) -> np.random.Generator:
    """Return the random generator of a step: Philox, a function of its arguments without any state.

    ``purpose`` is SAMPLE or BATCH.
    """
    # Arrays of uint64: numpy sends larger integers of a list through float64.
    key = np.array([seed % 2**64, purpose], np.uint64)
    counter = np.array([0, step, 0, 0], np.uint64)
    return np.random.Generator(np.random.Philox(key=key, counter=counter))


def draw(settings: Augmentation, numbers: np.ndarray) -> Draws:
    """Turn (NUMBERS,) uniform random numbers into an image's draws.

    Every number has a fixed use, also where the setting is off. So one setting does not change what is drawn
    for the others, and runs that differ in one setting can be compared.
    """
    u = numbers.tolist()
    low, high = settings.crop
    return Draws(
        flip=settings.flip and u[0] < 0.5,
        crop_side=low + (high - low) * u[1],
        crop_y=u[2],
        crop_x=u[3],
        method=settings.methods[int(u[4] * len(settings.methods))],
        cutout_area=settings.cutout * u[5],
        cutout_y=u[6],
        cutout_x=u[7],
        degrees=settings.rotation * (2 * u[8] - 1),
    )


def augment_image(
    data: bytes,
    image_size: int,
    draws: Draws,
    smallest_crop: float | None = None,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Decode and augment one image: everything but MixUp. Returns (image_size, image_size, 3) uint8 BGR.

    Args:
        data: an encoded image.
        image_size: side of the result, in pixels.
        draws: what was drawn for it.
        smallest_crop: low end of the crop's side; allows JPEGs to be decoded at a fraction of their size.
        out: the array to write to.

    Raises codec.ImageError.
    """
    image = decode(data, draws, image_size, smallest_crop)
    image = crop_and_resize(image, image_size, draws)
    image = cutout(image, draws.cutout_area, draws.cutout_y, draws.cutout_x)
    if out is None:
        out = np.empty((image_size, image_size, 3), np.uint8)
    return flip_and_rotate(image, draws.flip, draws.degrees, out)


def decode(
    data: bytes, draws: Draws, image_size: int | None = None, smallest_crop: float | None = None
) -> np.ndarray:
    """Decode an image into scratch memory, which the thread's next image overwrites.

    It has a fourth channel where that helps.
    """
    channels = 3 if draws.method == "area" else 4  # OpenCV interpolates four channels faster than three
    min_side = (
        math.ceil(REDUCED_MARGIN * image_size / smallest_crop) if image_size and smallest_crop else None
    )
    return codec.decode(
        data, min_side, lambda shape: _scratch.array(f"decoded{channels}", (*shape, channels))
    )


def crop_and_resize(image: np.ndarray, image_size: int, draws: Draws) -> np.ndarray:
    """Pad, crop and resize to (image_size, image_size, C), in scratch memory or in that of ``image``."""
    image = crop(codec.pad_square(image), draws.crop_side, draws.crop_y, draws.crop_x)
    channels = image.shape[2]
    out = _scratch.array(f"resized{channels}", (image_size, image_size, channels))
    return resize(image, image_size, draws.method, out)


def crop(image: np.ndarray, side: float, y: float, x: float) -> np.ndarray:
    """Cut a square of ``side`` (share of the height) out of a square image, at y, x in [0, 1)."""
    height = image.shape[0]
    pixels = max(1, round(side * height))
    positions = height - pixels + 1  # y and x are below 1, so all positions are equally likely
    top, left = int(y * positions), int(x * positions)
    return image[top : top + pixels, left : left + pixels]


def cutout(image: np.ndarray, area: float, y: float, x: float) -> np.ndarray:
    """Cover a square of ``area`` (share of the image's) around (y, x) with 127, clipped at the border."""
    size = image.shape[0]
    side = round(size * math.sqrt(area))
    if side == 0:
        return image
    top, left = round(y * size - side / 2), round(x * size - side / 2)
    covered = np.array(image)
    covered[max(0, top) : max(0, top + side), max(0, left) : max(0, left + side)] = CUTOUT_VALUE
    return covered


def flip_and_rotate(
    image: np.ndarray, flip: bool, degrees: float, out: np.ndarray | None = None
) -> np.ndarray:
    """Mirror left to right, then rotate counterclockwise about the center: bilinear, white outside.

    Takes (S, S, 3 or 4); returns (S, S, 3), in ``out`` if it is given.
    """
    size = image.shape[0]
    if degrees:
        if image.shape[2] == 3:
            image = cv2.cvtColor(image, cv2.COLOR_BGR2BGRA, dst=_scratch.array("turning", (size, size, 4)))
        image = cv2.warpAffine(
            image,
            _affine_matrix(size, flip, degrees),
            (size, size),
            dst=_scratch.array("turned", (size, size, 4)),
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=(codec.WHITE,) * 4,
        )
    elif flip:
        image = cv2.flip(image, 1)
    out = np.empty((size, size, 3), np.uint8) if out is None else out
    if image.shape[2] == 4:  # the fourth channel was padding for OpenCV's speed
        return cv2.cvtColor(image, cv2.COLOR_BGRA2BGR, dst=out)
    np.copyto(out, image)
    return out


def _affine_matrix(size: int, flip: bool, degrees: float) -> np.ndarray:
    """Return the (2, 3) matrix that maps a pixel's position to its new one."""
    center = (size - 1) / 2  # OpenCV's coordinates are those of pixel centers
    rotation = cv2.getRotationMatrix2D((center, center), degrees, 1.0)
    return rotation @ np.array([[-1, 0, size - 1], [0, 1, 0], [0, 0, 1]]) if flip else rotation


def draw_mixup(
    alpha: float, batch_size: int, rng: np.random.Generator, groups: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """Return (B,) shares from Beta(alpha, alpha) and the rows (B,) of partners: no image is its own partner.

    Partners follow one another in one random cycle; with ``groups`` of neighboring rows, in one each.
    """
    rows = batch_size // groups
    # Sorting uniform numbers gives a random permutation of each group; the next one in it is the partner.
    order = np.argsort(rng.random((groups, rows)), axis=1, kind="stable")
    order += np.arange(0, batch_size, rows)[:, None]
    partners = np.empty(batch_size, np.int64)
    partners[order] = np.roll(order, -1, axis=1)
    return rng.beta(alpha, alpha, batch_size), partners


def mix_images(
    images: np.ndarray, shares: np.ndarray, partners: np.ndarray, rows: np.ndarray | None = None
) -> np.ndarray:
    """Mix images (B, S, S, 3) uint8 with their partners (arXiv:1710.09412), rounded to nearest.

    ``share * own + (1 - share) * partner's``. ``rows`` (N,) are those to mix, by default all; ``shares`` and
    ``partners`` (N,) are theirs. Returns (N, S, S, 3) in memory of its own.
    """
    rows = np.arange(len(images)) if rows is None else rows
    mixed = pooled_array((len(rows), *images.shape[1:]))
    pairs = zip(mixed, rows.tolist(), shares.tolist(), partners.tolist(), strict=True)
    for out, row, share, partner in pairs:
        if min(share, 1 - share) < NEGLIGIBLE:  # most shares, where alpha is small: a copy is faster
            out[:] = images[row if share > 0.5 else partner]
        else:
            cv2.addWeighted(images[row], share, images[partner], 1.0 - share, 0.0, dst=out)
    return mixed


def mix_labels(
    labels: np.ndarray, shares: np.ndarray, partners: np.ndarray, rows: np.ndarray | None = None
) -> np.ndarray:
    """Mix labels (B, L) float32 as ``mix_images`` does images."""
    own_labels = labels if rows is None else labels[rows]
    shares = shares.astype(np.float32)[:, None]
    return shares * own_labels + (1 - shares) * labels[partners]
