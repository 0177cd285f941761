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


def loudspeaker(waves, side=256):
    """A loudspeaker on a white ground, with some waves beside it."""
    image = np.full((side, side, 3), 255, np.uint8)
    points = np.array([[0.1, 0.4], [0.25, 0.4], [0.45, 0.2], [0.45, 0.8], [0.25, 0.6], [0.1, 0.6]])
    cv2.fillPoly(image, [np.int32(points * side)], (120, 100, 90))
    for wave in range(waves):
        radius = int((0.2 + 0.12 * wave) * side)
        middle = int(0.4 * side), side // 2
        cv2.ellipse(image, middle, (radius, radius), 0, -45, 45, (60, 60, 60), side // 40, cv2.LINE_AA)
    return image


def clock(hour, half=False, side=256, width=0.03):
    """The face of a clock on a white ground."""
    image = np.full((side, side, 3), 255, np.uint8)
    middle = side // 2, side // 2
    cv2.circle(image, middle, int(0.45 * side), (100, 100, 100), -1, cv2.LINE_AA)
    cv2.circle(image, middle, int(0.4 * side), (245, 245, 245), -1, cv2.LINE_AA)
    for turn, length in ((hour / 12 + half / 24, 0.2), (half / 2, 0.32)):
        angle = 2 * np.pi * (turn - 0.25)
        end = (0.5 + length * np.array([np.cos(angle), np.sin(angle)])) * side
        cv2.line(image, middle, tuple(int(x) for x in end), (60, 60, 60), int(width * side), cv2.LINE_AA)
    return image
