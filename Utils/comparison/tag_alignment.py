"""Tag lists of several taggers side by side: which of their rows are the same tag.

Rows are one tag where their names are equal in any spelling (spaces or underscores, ``\\(``, HTML entities,
capitals), aliases resolved; or, of names that the other list lacks, where their ids are equal, as a renamed
tag keeps its id. Ids count between two lists only where most of those that both have go with equal names, as
each booru has numbers of its own.
"""

import collections
import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd

from Utils.tags import tag_categories
from Utils.tags.tag_matching import spelling

RATING = tag_categories.CODES["rating"]
_EQUAL_NAMES = 0.5  # share of common ids above which two lists have ids of one booru

Key = tuple[bool, str]  # (whether a rating, spelling): the rating general is no tag general


@dataclasses.dataclass(frozen=True)
class AlignedTags:
    """The tags of several lists; row t of ``tags`` is one tag, wherever it stands in each list."""

    tags: pd.DataFrame  # tag_id, name, category of T tags, as the first list that has a tag writes them
    columns: np.ndarray  # (lists, T) int64 row of every list that is compared; -1 where a list lacks the tag
    tag_of: list[np.ndarray]  # of every list: (L,) the tag of every row

    def in_all(self, lists: Sequence[int]) -> np.ndarray:
        """Return which tags all of some lists have: bool (T,)."""
        return np.logical_and.reduce(self.columns[list(lists)] >= 0, axis=0)

    def doubled(self, number: int) -> np.ndarray:
        """Return the rows of a list that stand for a tag for which another row is compared: int64."""
        rows = np.arange(len(self.tag_of[number]))
        return rows[self.columns[number][self.tag_of[number]] != rows]


def align(lists: Sequence[pd.DataFrame], aliases: Mapping[str, str] | None = None) -> AlignedTags:
    """Return the `AlignedTags` of tag lists.

    Of several rows of one list that are one tag, the one with the tag's own name is compared, else the first.

    Args:
        lists: tag lists; the first that has a tag gives its id, name and category.
        aliases: ``{name: its present name}``, in any spelling.
    """
    resolve = _resolver(aliases or {})
    keys = [_keys(frame, resolve) for frame in lists]
    groups = _Groups()
    for part in keys:
        for key in part:
            groups.add(key)
    for number, frame in enumerate(lists):
        for other in range(number):
            for pair in _same_by_id(frame, keys[number], lists[other], keys[other]):
                groups.join(*pair)
    tag_at: dict[Key, int] = {}  # in the order in which tags first occur
    for part in keys:
        for key in part:
            tag_at.setdefault(groups.leader(key), len(tag_at))
    tag_of = [np.array([tag_at[groups.leader(key)] for key in part], np.int64) for part in keys]
    columns = np.full((len(lists), len(tag_at)), -1, np.int64)
    for row, frame, part, tags in zip(columns, lists, keys, tag_of, strict=True):
        _choose_columns(row, frame, part, tags)
    return AlignedTags(_described(lists, columns), columns, tag_of)


def _resolver(aliases: Mapping[str, str]) -> Callable[[str], str]:
    """Return a function from a spelling to that of its present name; a circle ends before it closes."""
    targets = {spelling(name): spelling(target) for name, target in aliases.items()}

    def resolve(name: str) -> str:
        seen = {name}
        while (target := targets.get(name, name)) not in seen:
            seen.add(target)
            name = target
        return name

    return resolve


def _keys(frame: pd.DataFrame, resolve: Callable[[str], str]) -> list[Key]:
    codes = frame["category"].tolist()
    return [
        (code == RATING, resolve(spelling(name))) for name, code in zip(frame["name"], codes, strict=True)
    ]


def _same_by_id(
    frame: pd.DataFrame, keys: list[Key], other: pd.DataFrame, other_keys: list[Key]
) -> list[tuple[Key, Key]]:
    """Return pairs of keys of two lists that are one tag by its id, under two names."""
    by_id = dict(zip(other["tag_id"].tolist(), other_keys, strict=True))
    pairs = [
        (key, by_id[tag_id])
        for tag_id, key in zip(frame["tag_id"].tolist(), keys, strict=True)
        if tag_id in by_id
    ]
    equal = sum(key == same for key, same in pairs)
    if not equal > _EQUAL_NAMES * len(pairs):
        return []
    names, other_names = set(keys), set(other_keys)
    return [
        (key, same)
        for key, same in pairs
        if key != same and key[0] == same[0] and key not in other_names and same not in names
    ]


class _Groups:
    """Keys that are one tag: a forest in which every key leads to the first key of its group."""

    def __init__(self) -> None:
        self._parent: dict[Key, Key] = {}

    def add(self, key: Key) -> None:
        self._parent.setdefault(key, key)

    def leader(self, key: Key) -> Key:
        while self._parent[key] != key:
            self._parent[key] = key = self._parent[self._parent[key]]
        return key

    def join(self, key: Key, other: Key) -> None:
        self._parent[self.leader(key)] = self.leader(other)


def _choose_columns(columns: np.ndarray, frame: pd.DataFrame, keys: list[Key], tags: np.ndarray) -> None:
    """Fill in the row of a list that is compared for every tag, (T,)."""
    rows: dict[int, list[int]] = collections.defaultdict(list)
    for row, tag in enumerate(tags.tolist()):
        rows[tag].append(row)
    names = frame["name"].tolist()
    for tag, candidates in rows.items():
        own = [row for row in candidates if spelling(names[row]) == keys[row][1]]
        columns[tag] = (own or candidates)[0]


def _described(lists: Sequence[pd.DataFrame], columns: np.ndarray) -> pd.DataFrame:
    """Return the tags as the first list that has each describes them, with the names of their categories."""
    first = (columns >= 0).argmax(axis=0)
    cells = {name: [frame[name].tolist() for frame in lists] for name in ("tag_id", "name", "category")}
    places = list(zip(first.tolist(), columns[first, np.arange(columns.shape[1])].tolist(), strict=True))
    frame = pd.DataFrame(
        {name: [values[number][row] for number, row in places] for name, values in cells.items()}
    )
    names: dict[int, str] = {}
    for part in reversed(lists):
        names |= tag_categories.names_of(part)
    return tag_categories.with_names(frame, names)
