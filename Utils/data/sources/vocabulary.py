"""Tags of sources that name them in every post: rows, ids, categories and counts, found on the way."""

import numpy as np
import pandas as pd

from Utils.command.cli import WorkError
from Utils.tags.tag_list import CATEGORIES, name_id


class Vocabulary:
    """Gives every tag name a row and remembers its category, its id and on how many posts it is."""

    def __init__(self):
        self.names = []
        self._rows = {}  # name -> row
        self._seen = {}  # category -> {spelling: row}, what needs no second look
        self._categories, self._ids = [], {}  # by row; row -> id where the source has one
        self._counts = np.zeros(0, np.int64)

    def rows(self, names, category, ids=None):
        """Return the rows of some tag names of one category code.

        A name that is general here and a character there is a character. ``ids``: the source's own ids.
        """
        seen = self._seen.setdefault(category, {})
        rows = list(map(seen.get, names))
        if None in rows:
            for at, row in enumerate(rows):
                if row is None:
                    rows[at] = self._note(seen, names[at], ids and ids[at], category)
        return rows

    def _note(self, seen, spelling, tag_id, category):
        if spelling in seen:
            return seen[spelling]
        name = clean(spelling)
        row = self._rows.setdefault(name, len(self.names))
        if row == len(self.names):
            self.names.append(name)
            self._categories.append(category)
        self._categories[row] = self._categories[row] or category
        if tag_id is not None:
            self._ids.setdefault(row, tag_id)
        seen[spelling] = row
        return row

    def count(self, rows):
        """Count one post for every row given."""
        fresh = np.bincount(rows, minlength=max(len(self.names), len(self._counts)))
        fresh[: len(self._counts)] += self._counts
        self._counts = fresh

    def forget_counts(self):
        """Begin to count anew."""
        self._counts = np.zeros(0, np.int64)

    def finish(self):
        """Return ``(tags by id as Source.tags, tag id of every row (rows,))``.

        A tag without an id of its own, or with one that another tag has already, gets that of its name.
        """
        taken, ids = set(), np.zeros(len(self.names), np.int64)
        for row, name in enumerate(self.names):
            tag_id = self._ids.get(row)
            ids[row] = name_id(name) if tag_id is None or tag_id in taken else tag_id
            taken.add(tag_id)
        if len(np.unique(ids)) < len(ids):
            raise WorkError("two tag names have the same 52 bits of SHA-256; rename one of them")
        counts = np.zeros(len(self.names), np.int64)
        counts[: len(self._counts)] = self._counts
        frame = pd.DataFrame(
            {"tag_id": ids, "name": self.names, "category": self._categories, "count": counts}
        ).astype({"name": "str", "category": np.int64})
        return frame.sort_values("tag_id", ignore_index=True), ids


def clean(name):
    """Return a name that every file can hold: no lone surrogates."""
    return name.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def code_of(category):
    """Return the code of a category as exports write it: 4, "4", "character"; general for anything else."""
    text = str(category).strip().lower()
    if text in CATEGORIES:
        return CATEGORIES[text]
    return int(text) if text.isdecimal() and int(text) in CATEGORIES.values() else 0
