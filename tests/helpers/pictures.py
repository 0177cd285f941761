"""Drawn images, their files, and the difference of two of them."""

import io

import cv2
import numpy as np
from PIL import Image


def smooth(height, width, channels=3, seed=0):
    """A picture with soft structure: what JPEG keeps well."""
    grid = np.random.default_rng(seed).integers(0, 256, (height // 8 + 2, width // 8 + 2, channels), np.uint8)
    return cv2.resize(grid, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, channels)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def difference(a, b):
    return np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).max()


def saved(array, image_format, mode=None, **options):
    """Encode an RGB(A), gray or palette array by Pillow."""
    picture = Image.fromarray(array.squeeze())
    data = io.BytesIO()
    (picture.convert(mode) if mode else picture).save(data, image_format, **options)
    return data.getvalue()
