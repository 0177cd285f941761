"""Labels of posts, and posts that carry a tag, looked up in a dump, a dataset or a fire-eggs database.

Every source has ``tags_of(post) -> [(name, category code)] or None`` and ``posts_with(tag_id) -> post ids``,
a bounded number of them; a dump also knows which posts are near one another.
"""

import os
import pathlib
import threading
import weakref
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from Utils.command.cli import UserError, progress
from Utils.command.text import printable
from Utils.data import dataset_folder
from Utils.data.danbooru_fields import plain_name
from Utils.evaluation import predictions
from Utils.files import parquet_files, sqlite_files
from Utils.files.atomic import require_file
from Utils.tags import tag_categories

MAX_POSTS = 256  # posts remembered for each tag
_ROWS = 256  # of a dump, at a time

Label = tuple[str, int]  # name and category code of a tag


class DumpLabels:
    """Labels and similarity of posts from a dump folder; a dump without labels has only the similarity.

    Args:
        tag_ids: the tags whose posts are remembered.
    """

    def __init__(self, folder: str | os.PathLike, tag_ids: Iterable[int]) -> None:
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

    def tags_of(self, post: int) -> list[Label] | None:
        """Return the labels of a post, None if it is not in the dump or the dump has no labels."""
        row = self._row(post)
        if row is None or self._dump.labels is None:
            return None
        return _labels(self._dump.tags, np.flatnonzero(self._dump.labels[row]))

    def posts_with(self, tag_id: int) -> list[int]:
        """Return posts that carry a tag."""
        return self._posts_by_tag.posts_with(tag_id)

    def nearest(self, post: int, candidates: Iterable[int]) -> list[int] | None:
        """Return those of the candidates that are in the dump, by the distance of their probabilities.

        None if ``post`` itself is not in the dump.
        """
        row = self._row(post)
        if row is None:
            return None
        rows = {candidate: self._row(candidate) for candidate in candidates}
        rows = {candidate: place for candidate, place in rows.items() if place is not None}
        posts, places = list(rows), list(rows.values())
        difference = self._dump.probabilities[places].astype(np.float32) - self._dump.probabilities[row]
        order = np.argsort((difference**2).sum(axis=1), kind="stable")
        return [posts[place] for place in order]

    def _row(self, post: int) -> int | None:
        place = np.searchsorted(self._sorted, post)
        is_there = place < len(self._sorted) and self._sorted[place] == post
        return int(self._order[place]) if is_there else None


class DatasetLabels:
    """Labels and image paths by the posts.parquet of a dataset folder.

    Args:
        tag_ids: the tags whose posts are remembered.
        posts: ids of the posts whose labels are remembered.

    Attributes:
        paths: ``{post id: path}`` of the remembered posts, as the dataset has them.
    """

    def __init__(
        self, folder: str | os.PathLike, tag_ids: Iterable[int], posts: Sequence[int] | np.ndarray
    ) -> None:
        self._tags = dataset_folder.load(folder).tags
        path = pathlib.Path(folder, dataset_folder.POSTS)
        self._posts_by_tag = _PostsByTag(self._tags, tag_ids)
        self._labels: dict[int, np.ndarray] = {}
        self.paths: dict[int, str] = {}
        columns = {name: dataset_folder.POST_COLUMNS[name] for name in ("post_id", "path", "label_indexes")}
        for table in parquet_files.batches(path, "the posts of a dataset", columns, 16384):
            lists = table["label_indexes"].combine_chunks()
            dataset_folder.require_labels(
                path, lists.flatten().to_numpy(zero_copy_only=False), len(self._tags)
            )
            self._add(table, lists, posts)

    def _add(self, batch: pa.Table, lists: pa.ListArray, posts: Sequence[int] | np.ndarray) -> None:
        ids = batch["post_id"].to_numpy()
        columns, sizes = lists.flatten().to_numpy(), lists.value_lengths().to_numpy(zero_copy_only=False)
        remembered = self._posts_by_tag.add(np.repeat(ids, sizes), columns)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        is_asked = np.isin(ids, posts)
        for place in np.flatnonzero(is_asked):
            self._labels[int(ids[place])] = columns[starts[place] : starts[place + 1]]
        for place in np.flatnonzero(is_asked | np.isin(ids, remembered)):
            self.paths[int(ids[place])] = batch["path"][int(place)].as_py()

    def tags_of(self, post: int) -> list[Label] | None:
        """Return the labels of a post, None if it is not remembered or not in the dataset."""
        columns = self._labels.get(post)
        return None if columns is None else _labels(self._tags, columns)

    def posts_with(self, tag_id: int) -> list[int]:
        """Return posts that carry a tag."""
        return self._posts_by_tag.posts_with(tag_id)


class DatabaseLabels:
    """Labels by a fire-eggs SQLite database, which is queried for every post and tag."""

    def __init__(self, path: str | os.PathLike) -> None:
        path = require_file(path, "a database (.db)")
        self._lock = threading.Lock()  # the review page asks from several threads
        self._path = path
        with sqlite_files.named(path):
            self._database = sqlite_files.open_read_only(path, many_threads=True)
            weakref.finalize(self, self._database.close)
            for table in ("tags", "imageTags"):
                self._database.execute(f"SELECT tag_id FROM {table} LIMIT 1")

    def tags_of(self, post: int) -> list[Label] | None:
        """Return the labels of a post, None if it has none."""
        query = "SELECT name, category FROM imageTags JOIN tags USING (tag_id) WHERE image_id = ?"
        rows = self._fetch(f"{query} ORDER BY category, name", post)
        return [(plain_name(printable(str(name))), int(category or 0)) for name, category in rows] or None

    def posts_with(self, tag_id: int) -> list[int]:
        """Return posts that carry a tag."""
        query = "SELECT image_id FROM imageTags WHERE tag_id = ? LIMIT ?"
        return [post for (post,) in self._fetch(query, tag_id, MAX_POSTS) if isinstance(post, int)]

    def _fetch(self, query: str, *values: int) -> list[tuple]:
        with self._lock, sqlite_files.named(self._path):
            return self._database.execute(query, values).fetchall()


Source = DumpLabels | DatasetLabels | DatabaseLabels


class _PostsByTag:
    """The first MAX_POSTS posts, or a few more, that carry each of some tags."""

    def __init__(self, tags: pd.DataFrame, tag_ids: Iterable[int]) -> None:
        self._columns = {int(tag_id): column for column, tag_id in enumerate(tags["tag_id"])}
        self._is_remembered = np.zeros(len(tags), bool)
        self._is_remembered[[self._columns[tag_id] for tag_id in tag_ids if tag_id in self._columns]] = True
        self._counts = np.zeros(len(tags), np.int64)
        self._parts: list[tuple[np.ndarray, np.ndarray]] = []  # columns and posts
        self._sorted: tuple[np.ndarray, np.ndarray] | None = None

    def add(self, posts: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Add pairs of a post and a column that it has, (K,) each; return the posts that were needed."""
        is_needed = (self._is_remembered & (self._counts < MAX_POSTS))[columns]
        posts, columns = posts[is_needed], columns[is_needed]
        self._counts += np.bincount(columns, minlength=len(self._counts))
        self._parts.append((columns, posts))
        self._sorted = None
        return posts

    def posts_with(self, tag_id: int) -> list[int]:
        """Return the posts of a tag, none if it is unknown."""
        if self._sorted is None:
            nothing = np.empty(0, np.int64)
            columns, posts = (
                np.concatenate([nothing, *(part[side] for part in self._parts)]).astype(np.int64)
                for side in (0, 1)
            )
            order = np.argsort(columns, kind="stable")
            self._sorted = columns[order], posts[order]
        columns, posts = self._sorted
        column = self._columns.get(tag_id)
        if column is None:
            return []
        first, end = np.searchsorted(columns, [column, column + 1])
        return posts[first : min(end, first + MAX_POSTS)].tolist()


def _labels(tags: pd.DataFrame, columns: np.ndarray) -> list[Label]:
    rows = tags.iloc[columns]
    return [(name, int(code)) for name, code in zip(rows["name"], rows["category"], strict=True)]


def folders_of(tags: str | os.PathLike) -> tuple[pathlib.Path | None, pathlib.Path | None]:
    """Return ``(dump folder or None, dataset folder or None)``: the folder that a tag list is part of."""
    folder = pathlib.Path(tags).resolve().parent
    is_dump = all((folder / name).is_file() for name in (predictions.PROBABILITIES, predictions.IDS))
    is_dataset = all((folder / name).is_file() for name in ("posts.parquet", dataset_folder.MANIFEST))
    return folder if is_dump else None, folder if is_dataset else None


def to_json(labels: Iterable[Label]) -> list[dict[str, Any]]:
    """Return labels as dicts with the name of the tag and of its category."""
    return [{"name": name, "category": tag_categories.name_of(code)} for name, code in labels]
