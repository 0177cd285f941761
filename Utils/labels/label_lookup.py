"""Labels of posts, and posts that carry a tag, looked up in a dump, a dataset or a fire-eggs database.

Every source has ``tags_of(post) -> [(name, category code)] or None`` and ``posts_with(tag_id) -> post ids``,
a bounded number of them; a dump also knows which posts are near one another.
"""

import contextlib
import pathlib
import sqlite3
import threading

import numpy as np
import pyarrow.parquet

from Utils.command.cli import UserError, progress
from Utils.data import dataset_folder
from Utils.evaluation import predictions
from Utils.files.atomic import require_file
from Utils.tags import tag_list

MAX_POSTS = 256  # posts kept of those that carry a tag
_ROWS = 256  # of a dump, at a time


class DumpLabels:
    """Labels and nearness by a dump folder; without labels there are none."""

    def __init__(self, folder, tag_ids):
        self._dump = predictions.load(folder)
        if self._dump.image_ids is None:
            raise UserError(f"{folder} has no {predictions.IDS}, so nothing is known about a post")
        ids = np.asarray(self._dump.image_ids)
        self._order = np.argsort(ids, kind="stable")
        self._sorted = ids[self._order]
        self._posts_by_tag = _PostsByTag(self._dump.tags, tag_ids)
        if self._dump.labels is not None:
            blocks = range(0, len(ids), _ROWS)
            for first in progress(blocks, label="reading labels", unit="blocks"):
                rows, columns = np.nonzero(self._dump.labels[first : first + _ROWS])
                self._posts_by_tag.add(ids[first + rows], columns)

    def tags_of(self, post):
        """Return the labels of a post, None where it is not in the dump or the dump has no labels."""
        row = self._row(post)
        if row is None or self._dump.labels is None:
            return None
        return _named(self._dump.tags, np.flatnonzero(self._dump.labels[row]))

    def posts_with(self, tag_id):
        """Return posts that carry a tag."""
        return self._posts_by_tag.of(tag_id)

    def nearest(self, post, others):
        """Return the posts among ``others`` that the dump knows, by the distance of their probabilities.

        None where the dump does not know ``post``.
        """
        row = self._row(post)
        if row is None:
            return None
        known = [(other, self._row(other)) for other in others]
        known = [(other, place) for other, place in known if place is not None]
        rows = [place for _, place in known]
        near = self._dump.probabilities[rows].astype(np.float32) - self._dump.probabilities[row]
        return [known[place][0] for place in np.argsort((near**2).sum(axis=1), kind="stable")]

    def _row(self, post):
        place = np.searchsorted(self._sorted, post)
        found = place < len(self._sorted) and self._sorted[place] == post
        return int(self._order[place]) if found else None


class DatasetLabels:
    """Labels and image paths by the posts.parquet of a dataset folder; kept are those of the asked posts."""

    def __init__(self, folder, tag_ids, posts):
        self._tags = dataset_folder.load(folder).tags
        table = require_file(pathlib.Path(folder, "posts.parquet"), "the posts of a dataset (posts.parquet)")
        self._posts_by_tag, self._labels, self.paths = _PostsByTag(self._tags, tag_ids), {}, {}
        columns = ["post_id", "path", "label_indexes"]
        for batch in pyarrow.parquet.ParquetFile(table).iter_batches(16384, columns=columns):
            self._add(batch, posts)

    def _add(self, batch, posts):
        ids, lists = batch["post_id"].to_numpy(), batch["label_indexes"]
        flat, sizes = lists.flatten().to_numpy(), lists.value_lengths().to_numpy(zero_copy_only=False)
        taken = self._posts_by_tag.add(np.repeat(ids, sizes), flat)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        asked = np.isin(ids, posts)
        for place in np.flatnonzero(asked):
            self._labels[int(ids[place])] = flat[starts[place] : starts[place + 1]]
        for place in np.flatnonzero(asked | np.isin(ids, taken)):
            self.paths[int(ids[place])] = batch["path"][int(place)].as_py()

    def tags_of(self, post):
        """Return the labels of a post, None where it is not asked about or not in the dataset."""
        columns = self._labels.get(post)
        return None if columns is None else _named(self._tags, columns)

    def posts_with(self, tag_id):
        """Return posts that carry a tag."""
        return self._posts_by_tag.of(tag_id)


class DatabaseLabels:
    """Labels by a fire-eggs SQLite database, asked when needed."""

    def __init__(self, path):
        path = require_file(path, "a database (.db)")
        self._lock = threading.Lock()
        self._database = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False
        )
        try:
            for table in ("tags", "imageTags"):
                self._database.execute(f"SELECT tag_id FROM {table} LIMIT 1")
        except sqlite3.Error as error:
            raise UserError(f"{path} is no fire-eggs database: {error}") from error

    def tags_of(self, post):
        """Return the labels of a post, None where it has none."""
        query = "SELECT name, category FROM imageTags JOIN tags USING (tag_id) WHERE image_id = ?"
        found = self._ask(f"{query} ORDER BY category, name", post)
        return [(str(name), int(category or 0)) for name, category in found] or None

    def posts_with(self, tag_id):
        """Return posts that carry a tag."""
        query = "SELECT image_id FROM imageTags WHERE tag_id = ? LIMIT ?"
        return [post for (post,) in self._ask(query, tag_id, MAX_POSTS) if isinstance(post, int)]

    def _ask(self, query, *values):
        with self._lock, contextlib.closing(self._database.execute(query, values)) as found:
            return found.fetchall()


class _PostsByTag:
    """The first MAX_POSTS posts, or a few more, that carry each of some tags."""

    def __init__(self, frame, tag_ids):
        self._columns = {int(tag_id): column for column, tag_id in enumerate(frame["tag_id"])}
        self._wanted = np.zeros(len(frame), bool)
        self._wanted[[self._columns[tag_id] for tag_id in tag_ids if tag_id in self._columns]] = True
        self._counts = np.zeros(len(frame), np.int64)
        self._parts, self._sorted = [], None

    def add(self, posts, columns):
        """Take in pairs of a post and a column that it has; return the posts that were needed."""
        needed = (self._wanted & (self._counts < MAX_POSTS))[columns]
        posts, columns = posts[needed], columns[needed]
        self._counts += np.bincount(columns, minlength=len(self._counts))
        self._parts.append((columns, posts))
        self._sorted = None
        return posts

    def of(self, tag_id):
        """Return the posts of a tag, [] where it is unknown."""
        if self._sorted is None:
            columns, posts = (np.concatenate([[], *part]).astype(np.int64) for part in self._split())
            order = np.argsort(columns, kind="stable")
            self._sorted = columns[order], posts[order]
        columns, posts = self._sorted
        column = self._columns.get(tag_id)
        if column is None:
            return []
        first, end = np.searchsorted(columns, [column, column + 1])
        return posts[first : min(end, first + MAX_POSTS)].tolist()

    def _split(self):
        return ([part[side] for part in self._parts] for side in (0, 1))


def _named(frame, columns):
    rows = frame.iloc[columns]
    return [(name, int(code)) for name, code in zip(rows["name"], rows["category"], strict=True)]


def folders_of(tags):
    """Return ``(dump folder or None, dataset folder or None)``: what a tag list is part of."""
    folder = pathlib.Path(tags).resolve().parent
    is_dump = all((folder / name).is_file() for name in (predictions.PROBABILITIES, predictions.IDS))
    is_dataset = all((folder / name).is_file() for name in ("posts.parquet", dataset_folder.MANIFEST))
    return folder if is_dump else None, folder if is_dataset else None


def categories(pairs):
    """Return labels ``(name, code)`` as dicts with the category's name."""
    return [{"name": name, "category": tag_list.category_name(code)} for name, code in pairs]
