"""From the content of an image file to the numbers that a tagger takes.

A picture is (S, S, 3) BGR, 0..255; the tensor has the layout, order of channels and range of the model.
"""

import dataclasses
from typing import Literal

import numpy as np

from Utils.images import codec
from Utils.taggers import geometry

Layout = Literal["NHWC", "NCHW"]
Channels = Literal["BGR", "RGB"]
BY_AREA = "white square, averages of areas"


@dataclasses.dataclass(frozen=True)
class Preparation:
    """How a tagger's own program prepares a picture.

    Args:
        image_size: side S in pixels.
        layout: of the model's input.
        channels: of the model's input.
        divisor: of the pixels 0..255, before mean and deviation; 255 for a range of 0..1.
        mean: in the order of ``channels``, subtracted then.
        std: in the order of ``channels``; the difference is divided by it.
        fit: makes a square of S pixels of a picture of any shape.
        about: ``fit`` in words.
    """

    image_size: int
    layout: Layout = "NHWC"
    channels: Channels = "BGR"
    divisor: float = 1.0
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    fit: geometry.Fit = geometry.by_area
    about: str = BY_AREA

    @property
    def is_by_area(self) -> bool:
        """Whether squares are made as this project makes them: padded, areas averaged."""
        return self.fit is geometry.by_area

    def picture(self, data: bytes, damages: list[str] | None = None) -> np.ndarray:
        """Return (S, S, 3) BGR, uint8 or float32, of the content of an image file.

        ``damages`` gets what is damaged inside of what can be read. Raises `Utils.images.codec.ImageError`.
        """
        if self.is_by_area:  # decodes large JPEGs at a fraction of their size
            return codec.prepare(data, self.image_size, damages=damages)
        return self.fit(codec.decode(data, damages=damages), self.image_size)

    def tensor(self, pictures: np.ndarray) -> np.ndarray:
        """Return the model's input of pictures (B, S, S, 3): float32, or the pictures if nothing changes."""
        images = pictures if self.channels == "BGR" else pictures[..., ::-1]
        if self.divisor != 1 or any(self.mean) or self.std != (1.0, 1.0, 1.0):
            images = images.astype(np.float32) / np.float32(self.divisor)
            images = (images - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        if self.layout == "NCHW":
            images = images.transpose(0, 3, 1, 2)
        return images

    @property
    def range_text(self) -> str:
        """The range of the numbers in words."""
        text = "0..255" if self.divisor == 1 else f"0..{255 / self.divisor:g}"
        if not any(self.mean) and self.std == (1.0, 1.0, 1.0):
            return text
        numbers = [",".join(f"{value:g}" for value in values) for values in (self.mean, self.std)]
        return f"{text}, less {numbers[0]}, over {numbers[1]}"
