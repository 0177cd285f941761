"""What each idea in the input pipeline brings: images/s of a step, beside other ways to do it.

The ratio says how many times as fast the way of the pipeline is as the other. All work on the same drawn
512 px JPEGs, in a thread a core, in turns. "Another result" marks ways that are not used since the pixels
are not what the resamplers promise, or not what ``augment_on device`` makes of a resized image.
"""

import functools

import cv2
import numpy as np
import simplejpeg
from PIL import Image

from Utils import measuring, startup
from Utils.commands import UserError

SIDE = 512  # of the stored JPEGs
CROP = 0.93  # of the side, the middle of what is drawn, in the middle of the image
INSIDE = int(CROP * SIDE)
BEGIN = (SIDE - INSIDE) // 2
DEGREES = 22.5
SHARE = 0.3
ROWS = 12  # images of a kind: their pixels stay in the cache, as those of a step do in the pipeline

DECODING = "decoding into memory of before"
AREA, BILINEAR, BICUBIC = "area by sparse products", "bilinear, plain", "bicubic, plain, 4 channels"
TURNING, MIXING = "flip, rotation in one warp, 4 channels", "MixUp in uint8"
NUMBERS = "numbers drawn once a batch"
BOTH = "bilinear, then flip, rotation"
PAIRS = {
    "decoding by OpenCV, fresh memory": DECODING,
    "decoding of the crop only, TensorFlow": DECODING,
    "decoding at 3/4 (another result)": DECODING,
    "area by OpenCV": AREA,
    "bilinear by Pillow, antialiased": BILINEAR,
    "bicubic, plain, 3 channels": BICUBIC,
    "bicubic by Pillow, antialiased": BICUBIC,
    "flip, then rotation, 3 channels": TURNING,
    "crop to rotation in one warp (another result)": BOTH,
    "MixUp in float32": MIXING,
    "numbers drawn for each image": NUMBERS,
}


def add_arguments(made):
    """Declare the options."""
    made.add_argument("--image-size", type=int, default=320, help="side of the batch's images (320)")
    made.add_argument("--batch-size", type=int, default=32, help="images in a batch (32)")
    made.add_argument("--seconds", type=float, default=2.0, help="time for each figure (2)")
    made.add_argument("--turns", type=int, default=5, help="in so many turns, of which the median counts (5)")


def measure(options):
    """Measure every way of every pair."""
    for name in ("image_size", "batch_size", "turns"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1; got {getattr(options, name)}")
    if options.image_size > INSIDE:
        raise UserError(f"--image-size must be at most {INSIDE}; got {options.image_size}")
    startup.tensorflow()
    random = np.random.default_rng(0)
    encoded = [measuring.draw_jpeg(random, SIDE) for _ in range(ROWS)]
    size, batch = options.image_size, options.batch_size
    works = _decodings(encoded) | _resamplings(encoded, size) | _turnings(encoded, size)
    runs = {name: functools.partial(measuring.in_threads, work, ROWS) for name, work in works.items()}
    for name, work in _batches(size, batch).items():
        runs[name] = functools.partial(measuring.in_threads, work, ROWS, 1, batch)
    figures = measuring.in_turns(runs, options.seconds, options.turns, warm_up=2)
    ratios = {f"to {other}": figures[ours] / figures[other] for other, ours in PAIRS.items()}
    setup = {"side": SIDE, "crop": CROP, "image_size": size, "batch_size": batch}
    setup["cores"] = measuring.cores()
    return {"part": "augment", "unit": "images/s", "setup": setup, "figures": figures, "ratios": ratios}


def _draws(method):
    """Return the draws of a sample that is cropped in the middle, mirrored and rotated."""
    from Generators import augment

    return augment.Draws(True, CROP, 0.5, 0.5, method, 0.0, 0.0, 0.0, DEGREES)


def _decodings(encoded):
    import tensorflow as tf

    from Generators import augment

    draws = _draws("bilinear")
    arrays = [np.frombuffer(data, np.uint8) for data in encoded]
    return {
        DECODING: lambda row: augment.decoded(encoded[row], draws),
        "decoding by OpenCV, fresh memory": lambda row: cv2.imdecode(arrays[row], cv2.IMREAD_COLOR),
        "decoding of the crop only, TensorFlow": lambda row: tf.io.decode_and_crop_jpeg(
            encoded[row], [BEGIN, BEGIN, INSIDE, INSIDE]
        ),
        "decoding at 3/4 (another result)": lambda row: simplejpeg.decode_jpeg(
            encoded[row], "BGR", min_height=SIDE * 3 // 4, min_width=SIDE * 3 // 4, min_factor=1
        ),
    }


def _resamplings(encoded, size):
    """Return the ways from decoded pixels to a cropped image of ``size``."""
    from Generators import augment
    from Utils import images

    three = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) for data in encoded]
    four = [cv2.cvtColor(image, cv2.COLOR_BGR2BGRA) for image in three]
    pillow = [Image.fromarray(image) for image in three]
    box = (BEGIN, BEGIN, BEGIN + INSIDE, BEGIN + INSIDE)

    def ours(decoded, method):
        draws = _draws(method)
        return lambda row: augment.resized(decoded[row], size, draws)

    def by_opencv(row):
        image = augment.crop(three[row], CROP, 0.5, 0.5)
        return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)

    def by_pillow(method):
        return lambda row: np.asarray(pillow[row].resize((size, size), method, box))

    def plain(row):
        return images.resize(augment.crop(three[row], CROP, 0.5, 0.5), size, "bicubic")

    return {
        AREA: ours(three, "area"),
        "area by OpenCV": by_opencv,
        BILINEAR: ours(four, "bilinear"),
        "bilinear by Pillow, antialiased": by_pillow(Image.Resampling.BILINEAR),
        BICUBIC: ours(four, "bicubic"),
        "bicubic, plain, 3 channels": plain,
        "bicubic by Pillow, antialiased": by_pillow(Image.Resampling.BICUBIC),
    }


def _turnings(encoded, size):
    """Return the ways to mirror and rotate, and one that resizes at the same time."""
    from Generators import augment

    draws = _draws("bilinear")
    four = [np.array(augment.decoded(data, draws)) for data in encoded]
    resized = [np.array(augment.resized(image, size, draws)) for image in four]
    three = [np.ascontiguousarray(image[..., :3]) for image in resized]
    middle = (size - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), DEGREES, 1.0)
    scale = size / INSIDE
    begin = (scale - 1) / 2
    whole = matrix @ [[-scale, 0, size - 1 - begin], [0, scale, begin], [0, 0, 1]]

    def warp(image, matrix):
        white = (255,) * 4
        return cv2.warpAffine(image, matrix, (size, size), borderMode=cv2.BORDER_CONSTANT, borderValue=white)

    def two_steps(row):
        return augment.turn(augment.resized(four[row], size, draws), draws.flip, draws.degrees)

    return {
        TURNING: lambda row: augment.turn(resized[row], draws.flip, draws.degrees),
        "flip, then rotation, 3 channels": lambda row: warp(cv2.flip(three[row], 1), matrix),
        BOTH: two_steps,
        "crop to rotation in one warp (another result)": lambda row: cv2.cvtColor(
            warp(augment.crop(four[row], CROP, 0.5, 0.5), whole), cv2.COLOR_BGRA2BGR
        ),
    }


def _batches(size, count):
    """Return ways to do what is done a batch at a time."""
    from Generators import augment

    batch = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8)
    shares, partners = np.full(count, SHARE), np.roll(np.arange(count), 1)

    def in_floats(_):
        share = np.float32(shares)[:, None, None, None]
        return np.uint8(share * batch + (1 - share) * batch[partners])

    def a_generator_each(_):
        return [augment.generator(row, augment.SAMPLE, 1).random(augment.NUMBERS) for row in range(count)]

    return {
        MIXING: lambda _: augment.mix_images(batch, shares, partners),
        "MixUp in float32": in_floats,
        NUMBERS: lambda row: augment.generator(0, augment.SAMPLE, row).random((count, augment.NUMBERS)),
        "numbers drawn for each image": a_generator_each,
    }
