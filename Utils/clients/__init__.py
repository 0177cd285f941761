"""Clients of WD taggers (kohya, ComfyUI and others), reimplemented from descriptions of their behavior.

Each client prepares an image in its own way, reads the rows of ``selected_tags.csv`` in its own way, compares
probabilities by its own rule and spells tags in its own way. A release is right where all of them
name the same tags for images of the model's size. For other sizes each client sees different pixels, because
each resizes differently (`preprocessing`).
"""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image

from Utils.clients import preprocessing, spelling, tag_reading


@dataclasses.dataclass(frozen=True)
class Client:
    """One program: how it prepares, reads, compares and spells."""

    name: str
    prepare: Callable[[Image.Image, int], np.ndarray]  # (image, side S) -> (S, S, 3) uint8 BGR
    read: Callable[[tag_reading.Rows, Sequence[float]], tag_reading.Reading]
    includes_threshold: bool  # whether a probability equal to the threshold counts
    spell: Callable[[str], str]  # name of a tag -> the text that is written
    needs_wd_layout: bool  # whether it cuts the rows by position

    def tag(
        self, rows: tag_reading.Rows, probabilities: Sequence[float], general: float, character: float
    ) -> tuple[set[str], str | None]:
        """Return the names of the tags above the two thresholds, and the most probable rating if it has one.

        Raises `tag_reading.UnreadableError` where the client fails on the rows.
        """
        reading = self.read(rows, probabilities)
        names = {
            name
            for pairs, threshold in ((reading.general, general), (reading.character, character))
            for name, probability in pairs
            if self._counts(probability, threshold)
        }
        rating = max(reading.ratings, key=lambda pair: pair[1])[0] if reading.ratings else None
        return names, rating

    def _counts(self, probability: float, threshold: float) -> bool:
        return probability >= threshold if self.includes_threshold else probability > threshold


KOHYA = Client(
    name="kohya",
    prepare=preprocessing.kohya,
    read=tag_reading.by_arithmetic,
    includes_threshold=True,
    spell=spelling.unchanged,
    needs_wd_layout=True,
)
STANDALONE = Client(
    name="standalone",
    prepare=preprocessing.standalone,
    read=tag_reading.ratings_first,
    includes_threshold=True,
    spell=spelling.spaced_escaped,
    needs_wd_layout=True,
)
PICOBYTE = Client(
    name="picobyte",
    prepare=preprocessing.standalone,
    read=tag_reading.ratings_first,
    includes_threshold=False,
    spell=spelling.emoticons_kept,
    needs_wd_layout=True,
)
COMFY = Client(
    name="comfy",
    prepare=preprocessing.comfy,
    read=tag_reading.by_slices,
    includes_threshold=False,
    spell=spelling.escaped,
    needs_wd_layout=True,
)
WDV3 = Client(
    name="wdv3",
    prepare=preprocessing.wdv3,
    read=tag_reading.by_category,
    includes_threshold=False,
    spell=spelling.spaced_escaped,
    needs_wd_layout=False,
)
IMGUTILS = Client(
    name="imgutils",
    prepare=preprocessing.imgutils,
    read=tag_reading.by_category,
    includes_threshold=False,
    spell=spelling.unchanged,
    needs_wd_layout=False,
)
CLIENTS = (KOHYA, STANDALONE, PICOBYTE, COMFY, WDV3, IMGUTILS)

OURS = "ours"
# Every way to prepare an image, by the name that a report gives it; the others are compared with ours.
PREPROCESSING: dict[str, Callable[[Image.Image, int], np.ndarray]] = {
    OURS: preprocessing.ours,
    "kohya": preprocessing.kohya,
    "standalone, picobyte": preprocessing.standalone,
    "comfy": preprocessing.comfy,
    "wdv3": preprocessing.wdv3,
    "imgutils": preprocessing.imgutils,
    "original, single images": preprocessing.original_single,
    "original, evaluation": preprocessing.original_batch,
}
