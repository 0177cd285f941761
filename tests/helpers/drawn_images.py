"""Drawn images, their fingerprints, and the distances of these."""

import cv2
import numpy as np

from Utils.duplicates import fingerprints, pixel_match
from Utils.images import codec


def drawing(seed, height=512, width=512):
    """Shapes on a ground: (H, W, 3)."""
    random = np.random.default_rng(seed)
    image = np.full((height, width, 3), random.integers(60, 200, 3), np.uint8)
    image[:, : width // 3] = random.integers(0, 255, 3)
    for _ in range(25):
        middle = tuple(int(x) for x in random.integers(0, (width, height)))
        color = tuple(int(x) for x in random.integers(0, 256, 3))
        cv2.ellipse(image, middle, tuple(int(x) for x in random.integers(15, 120, 2)), 30, 0, 360, color, -1)
    return image


def fingerprint_of(image, quality=95):
    return fingerprints.fingerprint(codec.encode_jpeg(image, quality))


def differing(first, second):
    return [
        int(np.bitwise_count(a ^ b).sum()) for a, b in zip(first["hashes"], second["hashes"], strict=True)
    ]


def distance(first, second, **shifts):
    return float(pixel_match.distances(first[None], second[None], **shifts)[0])
