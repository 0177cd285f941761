"""Which rows of two tag lists are the same tag: by id, else by name; only by name with ids of two boorus.

Names are equal in any spelling: a tagger's list may have spaces or ``\\(`` where a dataset has underscores.
"""

import html
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from Utils.tags import sidecars, tag_categories

_FEWEST_SHARED_IDS = 4  # from which names that differ are a reason to doubt ids


def matching_rows(tags: pd.DataFrame, other: pd.DataFrame, by_id: bool = True) -> np.ndarray:
    """Return the row in ``other`` of every tag, by id, else by name, -1 for tags that it lacks.

    Both are tag lists; returns int64 (len(tags),), no row twice by name. A renamed tag keeps its id, a tag
    from another source only its name, perhaps in another `spelling`, and, mostly, its category. Without
    ``by_id``, and where `same_ids` finds that the ids are of two boorus, only names count.
    """
    by_id = by_id and same_ids(_names_of_ids(tags), _names_of_ids(other))
    row_of_id = {tag_id: row for row, tag_id in reversed(list(enumerate(other["tag_id"])))} if by_id else {}
    rows = np.array([row_of_id.get(tag_id, -1) for tag_id in tags["tag_id"]], np.int64)
    # One name may be two tags, in two categories: the one of the same category first, else one that is left.
    for columns in (["name", "category"], ["name"], ["spelling", "category"], ["spelling"]):
        missing = np.flatnonzero(rows < 0)
        left = np.setdiff1d(np.arange(len(other)), rows)
        keys = _keys(other, left, columns)
        row_of = dict(reversed([*zip(keys, left.tolist(), strict=True)]))  # the first of equal ones
        for i, key in zip(missing.tolist(), _keys(tags, missing, columns), strict=True):
            rows[i] = row_of.pop(key, -1)
    return rows


def spelling(name: str) -> str:
    """Return what all spellings of a tag's name have in common: spaces, ``\\(``, HTML entities, capitals."""
    return sidecars.spelling_key(html.unescape(name).strip())


def _keys(tags: pd.DataFrame, rows: np.ndarray, columns: list[str]) -> list[tuple[Any, ...]]:
    chosen = tags.iloc[rows]
    if "spelling" in columns:
        chosen = chosen.assign(spelling=[spelling(name) for name in chosen["name"]])
    return [*zip(*(chosen[column].tolist() for column in columns), strict=True)]


def _names_of_ids(tags: pd.DataFrame) -> dict[int, str]:
    """Return ``{id: name}`` without ratings, whose ids this project has made for every booru."""
    tags = tags.loc[tags["category"] != tag_categories.CODES["rating"]]
    return dict(zip(tags["tag_id"].tolist(), tags["name"].tolist(), strict=True))


def same_ids(name_of: Mapping[Any, str], other_name_of: Mapping[Any, str]) -> bool:
    """Return whether ids of two lists, ``{id: name}``, mean the same tags; what speaks against it is printed.

    They do not where most ids that both have name other tags and more tags are equal by name than by id: each
    booru has numbers of its own, as has a list whose ids count its rows. Renamed tags have no equal names;
    where most of some that seem to be renamed have one, a list that counts its rows has got one more row.
    """
    name_of, other_name_of = (
        {tag_id: spelling(name) for tag_id, name in each.items()} for each in (name_of, other_name_of)
    )
    shared = [(name, other_name_of[tag_id]) for tag_id, name in name_of.items() if tag_id in other_name_of]
    renamed, other_names = sum(name != other for name, other in shared), {*other_name_of.values()}
    moved = sum(name != other and name in other_names for name, other in shared)
    if 2 * renamed <= len(shared) and (moved < _FEWEST_SHARED_IDS or 2 * moved <= renamed):
        return True
    words = f"{renamed} of {len(shared)} tag ids that both lists have name other tags"
    if len({*name_of.values()} & other_names) > len(shared) - renamed:
        print(f"{words}: they are ids of two boorus, and tags are matched by name", file=sys.stderr)
        return False
    if len(shared) >= _FEWEST_SHARED_IDS:
        print(
            f"warning: {words}. They are matched by id, as renamed tags; of lists of two boorus, empty the "
            "column tag_id of one",
            file=sys.stderr,
        )
    return True
