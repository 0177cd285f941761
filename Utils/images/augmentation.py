"""Settings of training augmentation: what a recipe holds, train.py takes as flags and Generators obey."""

import dataclasses
from typing import Annotated, Literal

from Utils.command.limits import AT_LEAST_0, FROM_0_TO_1, Checked, Limit
from Utils.images.resize import METHODS, Method


def _is_crop(sides: tuple[float, float]) -> bool:
    low, high = sides
    return 0 < low <= high <= 1


def _are_methods(methods: tuple[str, ...]) -> bool:
    return len(methods) > 0 and all(method in METHODS for method in methods)


@dataclasses.dataclass(frozen=True)
class Augmentation(Checked):
    """How training images are augmented; the defaults are the original zoo's.

    Raises UserError for a value outside its limits.
    """

    flip: bool = True
    """Mirror half of the images left to right."""
    crop: Annotated[
        tuple[float, float],
        Limit("two shares with 0 < low <= high <= 1", lambda sides: len(sides) == 2 and _is_crop(sides)),
    ] = (0.87, 0.998)
    """Range of the side of the random square crop, as a share of the image; 1 1 crops nothing."""
    methods: Annotated[tuple[Method, ...], Limit(f"some of {', '.join(METHODS)}", _are_methods)] = METHODS
    """Resamplers, one drawn for each image."""
    rotation: Annotated[float, Limit("from 0 to 180", lambda degrees: 0 <= degrees <= 180)] = 45.0
    """Largest angle of the random rotation to either side, in degrees."""
    cutout: Annotated[float, FROM_0_TO_1] = 0.0
    """Largest area of the gray square laid over an image, as a share of it; 0 is off."""
    mixup_alpha: Annotated[float, AT_LEAST_0] = 0.2
    """Alpha of the Beta distribution that images and labels are mixed by; 0 is off."""
    augment_on: Literal["host", "device"] = "host"
    """Where images are mirrored, rotated and mixed; device: as part of the step, which frees the host."""
