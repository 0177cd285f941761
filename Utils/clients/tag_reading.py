"""How clients name the outputs of a model: by position in selected_tags.csv, or by its categories.

Rows are lists of text as a CSV reader returns them, without the header; probabilities are those of one image.
"""

import dataclasses
from collections.abc import Sequence

NAME, CATEGORY = 1, 2  # columns that clients take by position
GENERAL, CHARACTER, RATING = "0", "4", "9"
NUM_RATINGS = 4

Rows = Sequence[Sequence[str]]
Pairs = list[tuple[str, float]]  # (name, probability)


@dataclasses.dataclass(frozen=True)
class Reading:
    """The meaning that a client gives to the outputs of a model."""

    ratings: Pairs
    general: Pairs
    character: Pairs


class UnreadableError(Exception):
    """A client fails on this release; the message says where."""


def by_arithmetic(rows: Rows, probabilities: Sequence[float]) -> Reading:
    """Count: four ratings, as many outputs as there are general rows, the rest are characters (kohya)."""
    general, character, ratings = (
        [row[NAME] for row in rows if row[CATEGORY] == code] for code in (GENERAL, CHARACTER, RATING)
    )
    names = [*general, *character]
    values = probabilities[NUM_RATINGS:]
    if len(values) > len(names):
        raise UnreadableError(
            f"{len(values) - len(names)} outputs have no name among {len(general)} general and "
            f"{len(character)} character rows"
        )
    pairs = list(zip(names, values, strict=False))  # kohya does not notice names without an output
    rated = list(zip(ratings, probabilities[:NUM_RATINGS], strict=False))
    return Reading(rated, pairs[: len(general)], pairs[len(general) :])


def ratings_first(rows: Rows, probabilities: Sequence[float]) -> Reading:
    """Take the first four rows for ratings and all others for tags, whatever their category (standalone)."""
    pairs = _pairs(rows, probabilities)
    return Reading(pairs[:NUM_RATINGS], pairs[NUM_RATINGS:], [])


def by_slices(rows: Rows, probabilities: Sequence[float]) -> Reading:
    """Cut at the first general and at the first character row (comfy); no ratings."""
    pairs = _pairs(rows, probabilities)
    first_row: dict[str, int] = {}
    for place, row in enumerate(rows):
        first_row.setdefault(row[CATEGORY], place)
    if GENERAL not in first_row:
        raise UnreadableError("no row has the category 0")
    split = first_row.get(CHARACTER, len(pairs))
    return Reading([], pairs[first_row[GENERAL] : split], pairs[split:])


def by_category(rows: Rows, probabilities: Sequence[float]) -> Reading:
    """Go by the category of every row, in any order (wdv3, imgutils)."""
    pairs = _pairs(rows, probabilities)
    ratings, general, character = (
        [pair for pair, row in zip(pairs, rows, strict=True) if row[CATEGORY] == code]
        for code in (RATING, GENERAL, CHARACTER)
    )
    return Reading(ratings, general, character)


def _pairs(rows: Rows, probabilities: Sequence[float]) -> Pairs:
    if len(rows) != len(probabilities):
        raise UnreadableError(f"{len(probabilities)} outputs for {len(rows)} rows")
    return [(row[NAME], value) for row, value in zip(rows, probabilities, strict=True)]
