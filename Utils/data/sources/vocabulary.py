"""A tag table (ids, categories, counts) collected while reading a source that has none."""

import itertools
from collections.abc import Sequence

import numpy as np
import pandas as pd

from Utils.command.cli import WorkError
from Utils.command.text import counted, join_names
from Utils.data.danbooru_fields import plain_name
from Utils.images.image_folder import is_unicode
from Utils.tags import tag_categories
from Utils.tags.tag_list import name_id

_NO_ROW = -1  # of a name that is nothing but spaces


class Vocabulary:
    """Gives every tag name a row and remembers its category, its id and the number of its posts."""

    def __init__(self) -> None:
        self._names: list[str] = []  # by row
        self._rows: dict[str, int] = {}  # name -> row
        # category -> {spelling: row}: the fast path, for names that were seen in this category before
        self._seen: dict[int, dict[str, int]] = {}
        self._categories: list[int] = []  # by row
        self._all_categories: dict[int, set[int]] = {}  # row -> all its categories, where it has several
        self._ids: dict[int, int] = {}  # row -> id, for sources that have ids
        self._halved: dict[str, str] = {}  # spelling with half a surrogate pair -> name
        self._counts = np.zeros(0, np.int64)

    def rows_of(
        self, names: Sequence[str], category: int, ids: Sequence[int | None] | None = None
    ) -> list[int]:
        """Return the rows of some tag names of one category, new rows for new names, none for ``&nbsp;``.

        A name that is general in one post and, say, a character in another is a character.

        Args:
            ids: the source's own tag ids, name by name.
        """
        seen = self._seen.setdefault(category, {})
        rows = [
            self._add(seen, name, ids[place] if ids else None, category) if row is None else row
            for place, (name, row) in enumerate(zip(names, map(seen.get, names), strict=True))
        ]
        return [row for row in rows if row >= 0] if _NO_ROW in rows else rows

    def _add(self, seen: dict[str, int], spelling: str, tag_id: int | None, category: int) -> int:
        if spelling in seen:  # the same new name twice in one post
            return seen[spelling]
        name = clean(spelling)
        if not name:
            seen[spelling] = _NO_ROW
            return _NO_ROW
        if "\ufffd" in name and not is_unicode(spelling):
            self._halved[spelling] = name
        row = self._rows.setdefault(name, len(self._names))
        if row == len(self._names):
            self._names.append(name)
            self._categories.append(category)
        if category != self._categories[row]:
            self._all_categories.setdefault(row, {self._categories[row]}).add(category)
        self._categories[row] = self._categories[row] or category
        if tag_id is not None:
            self._ids.setdefault(row, tag_id)
        seen[spelling] = row
        return row

    def describe_conflicts(self, most: int = 5) -> str:
        """Return which names posts have in several categories, ``most`` of them; empty where none is."""
        if not self._all_categories:
            return ""
        examples = [
            f"{self._names[row]!r} ({', '.join(map(tag_categories.name_of, sorted(categories)))}: counted as "
            f"{tag_categories.name_of(self._categories[row])})"
            for row, categories in itertools.islice(self._all_categories.items(), most)
        ]
        more = len(self._all_categories) - len(examples)
        if more:
            examples.append(f"and {more} more")
        return f"names in more than one category, each of them one tag: {', '.join(examples)}"

    def describe_halved(self) -> str:
        """Return which names have half a surrogate pair, and what stands for it; empty where none has."""
        if not self._halved:
            return ""
        halves = counted(len(self._halved), "name of a tag has", "names of tags have")
        return (
            f"{halves} half a surrogate pair, for which U+FFFD stands: {join_names(self._halved.values(), 3)}"
        )

    def add_counts(self, rows: np.ndarray) -> None:
        """Count one post more for every row in ``rows``."""
        counts = np.bincount(rows, minlength=max(len(self._names), len(self._counts)))
        counts[: len(self._counts)] += self._counts
        self._counts = counts

    def reset_counts(self) -> None:
        """Set all counts to 0."""
        self._counts = np.zeros(0, np.int64)

    def finish(self) -> tuple[pd.DataFrame, np.ndarray]:
        """Return ``(tags by id as Source.tags, tag id of every row (rows,))``.

        A tag without an id, or with one that an earlier tag has, gets an id made from its name.
        """
        taken, ids = set(), np.zeros(len(self._names), np.int64)
        for row, name in enumerate(self._names):
            tag_id = self._ids.get(row)
            ids[row] = name_id(name) if tag_id is None or tag_id in taken else tag_id
            taken.add(tag_id)
        if len(np.unique(ids)) < len(ids):
            raise WorkError("two tag names have the same 52 bits of SHA-256; rename one of them")
        counts = np.zeros(len(self._names), np.int64)
        counts[: len(self._counts)] = self._counts
        frame = pd.DataFrame(
            {"tag_id": ids, "name": self._names, "category": self._categories, "count": counts}
        ).astype({"name": "str", "category": np.int64})
        return frame.sort_values("tag_id", ignore_index=True), ids


def clean(name: str) -> str:
    """Return a name without HTML entities; lone surrogates, which no UTF-8 file can hold, are replaced."""
    return plain_name(name).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
