"""How clients give names to the outputs of a model: by position in selected_tags.csv, or by its categories.

Rows are lists of text as a CSV reader gives them, without the header.
"""

import dataclasses

NAME, CATEGORY = 1, 2  # columns that clients take by their place
GENERAL, CHARACTER, RATING = "0", "4", "9"
RATINGS = 4


@dataclasses.dataclass(frozen=True)
class Reading:
    """What a client takes the outputs for: pairs (name, probability) of three kinds."""

    ratings: list
    general: list
    character: list


class UnreadableError(Exception):
    """A client fails on this release; the message says where."""


def by_arithmetic(rows, probabilities):
    """Count: four ratings, as many outputs as there are general rows, the rest are characters (kohya)."""
    general, character, ratings = (
        [row[NAME] for row in rows if row[CATEGORY] == code] for code in (GENERAL, CHARACTER, RATING)
    )
    named = [*general, *character]
    values = probabilities[RATINGS:]
    if len(values) > len(named):
        raise UnreadableError(
            f"{len(values) - len(named)} outputs have no name among {len(general)} general and "
            f"{len(character)} character rows"
        )
    pairs = list(zip(named, values, strict=False))
    rated = list(zip(ratings, probabilities[:RATINGS], strict=False))
    return Reading(rated, pairs[: len(general)], pairs[len(general) :])


def ratings_first(rows, probabilities):
    """Take the first four rows for ratings and all others for tags, whatever their category (standalone)."""
    pairs = _pairs(rows, probabilities)
    return Reading(pairs[:RATINGS], pairs[RATINGS:], [])


def by_slices(rows, probabilities):
    """Cut where the first general and the first character row stand (comfy); no ratings."""
    pairs = _pairs(rows, probabilities)
    starts = {}
    for place, row in enumerate(rows):
        starts.setdefault(row[CATEGORY], place)
    if GENERAL not in starts:
        raise UnreadableError("no row has the category 0")
    split = starts.get(CHARACTER, len(pairs))
    return Reading([], pairs[starts[GENERAL] : split], pairs[split:])


def by_category(rows, probabilities):
    """Go by the category of every row, in any order (wdv3, imgutils)."""
    pairs = _pairs(rows, probabilities)
    parts = [
        [pair for pair, row in zip(pairs, rows, strict=True) if row[CATEGORY] == code]
        for code in (RATING, GENERAL, CHARACTER)
    ]
    return Reading(*parts)


def _pairs(rows, probabilities):
    if len(rows) != len(probabilities):
        raise UnreadableError(f"{len(probabilities)} outputs for {len(rows)} rows")
    return [(row[NAME], value) for row, value in zip(rows, probabilities, strict=True)]
