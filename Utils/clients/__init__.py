"""Programs that tag pictures with WD's taggers, made anew from how they are described, not from their code.

A client prepares a picture in its own way, cuts the rows of ``selected_tags.csv`` in its own way, compares
probabilities with its own thresholds and spells tags in its own way. A release is right where all of them
name the same tags; where pictures have to be resized they see different pixels (`preparing`).
"""

import dataclasses
from collections.abc import Callable

from Utils.clients import preprocessing, spelling, tag_reading


@dataclasses.dataclass(frozen=True)
class Client:
    """One program: how it prepares, reads, compares and spells, with its own settings untouched."""

    name: str
    prepare: Callable  # (PIL image, size) -> (size, size, 3) uint8 BGR
    read: Callable  # (rows of the CSV, probabilities) -> Reading
    thresholds: tuple  # of general and of character tags
    at_threshold: bool  # whether a probability equal to the threshold counts
    spell: Callable  # name of a tag -> the text that is written
    wd_order: bool  # whether it cuts the rows by position, so that the layout wd is needed

    def found(self, rows, probabilities, general, character):
        """Return the names of the tags found, a set, and the most probable rating, None where it has none."""
        read = self.read(rows, probabilities)
        pairs = [(read.general, general), (read.character, character)]
        above = {name for part, at in pairs for name, value in part if self._counts(value, at)}
        rating = max(read.ratings, key=lambda pair: pair[1])[0] if read.ratings else None
        return above, rating

    def _counts(self, value, threshold):
        return value >= threshold if self.at_threshold else value > threshold


KOHYA = Client(
    "kohya", preprocessing.kohya, tag_reading.by_arithmetic, (0.35, 0.35), True, spelling.unchanged, True
)  # fmt: skip
STANDALONE = Client(
    "standalone", preprocessing.standalone, tag_reading.ratings_first, (0.35, 0.35), True,
    spelling.spaced_escaped,
    True,
)  # fmt: skip
PICOBYTE = Client(
    "picobyte",
    preprocessing.standalone,
    tag_reading.ratings_first,
    (0.35, 0.35),
    False,
    spelling.kaomoji_kept,
    True,
)
COMFY = Client(
    "comfy", preprocessing.comfy, tag_reading.by_slices, (0.35, 0.85), False, spelling.escaped, True
)  # fmt: skip
WDV3 = Client(
    "wdv3",
    preprocessing.bicubic,
    tag_reading.by_category,
    (0.35, 0.75),
    False,
    spelling.spaced_escaped,
    False,
)
IMGUTILS = Client(
    "imgutils", preprocessing.bicubic, tag_reading.by_category, (0.35, 0.85), False, spelling.unchanged, False
)
CLIENTS = (KOHYA, STANDALONE, PICOBYTE, COMFY, WDV3, IMGUTILS)

# Ways to prepare a picture, by the name that a report gives them; ours is what the others are compared with.
PREPARATIONS = {
    "ours": preprocessing.ours,
    "kohya": preprocessing.kohya,
    "standalone, picobyte": preprocessing.standalone,
    "comfy": preprocessing.comfy,
    "wdv3, imgutils": preprocessing.bicubic,
    "original, single images": preprocessing.original_single,
    "original, evaluation": preprocessing.original_batch,
}
