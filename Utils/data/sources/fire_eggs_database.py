"""The SQLite schema of fire-eggs' tools for Danbooru20xx: images, tags, imageTags."""

import pathlib

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from Utils.command.cli import UserError
from Utils.data.definition import LETTERS, STATUSES
from Utils.data.sources import sqlite, stream
from Utils.data.sources.stream import Block, Source, rising

_NEEDED = {"images": ("image_id", "rating"), "tags": ("tag_id", "name"), "imageTags": ("image_id", "tag_id")}
_MOST_LISTED = 1000  # rows without a usable id that are named one by one


def fire_eggs(path):
    """Open an SQLite database of the fire-eggs schema, read-only.

    Needed are images(image_id, rating), tags(tag_id, name) and imageTags(image_id, tag_id); status columns
    that are absent count as empty, an absent category as general, an absent count as the number of posts.
    Posts whose rating is none of g s q e have none, and then pass no rating rule. Rows whose ids are no whole
    numbers are passed over; those of images are listed as rejected.
    Raises UserError where this is no such database.
    """
    path = pathlib.Path(path)
    columns = sqlite.columns_of(path)
    sqlite.require(path, columns, _NEEDED)
    with sqlite.opened(path) as database:
        (num_posts,) = database.execute(f"SELECT count(DISTINCT image_id) {_POSTS}").fetchone()
        tags = _tags(path, database, columns["tags"])
        strange = database.execute(
            "SELECT CAST(image_id AS TEXT) FROM images"
            f" WHERE typeof(image_id) != 'integer' LIMIT {_MOST_LISTED}"
        ).fetchall()
    return Source(
        kind="fire-eggs",
        path=str(path),
        tags=tags,
        num_posts=num_posts,
        blocks=lambda: _blocks(path, columns["images"]),
        rating_counts=lambda: _rating_counts(path),
        rejected=tuple((-1, f"image_id {text}", "post id is no whole number") for (text,) in strange),
    )


_POSTS = "FROM images WHERE typeof(image_id) = 'integer'"


def _tags(path, database, columns):
    category = "coalesce(category, 0)" if "category" in columns else "0"
    query = (
        f"SELECT tag_id, CAST(name AS TEXT), {category}, {{}} FROM tags {{}}"
        " WHERE name NOTNULL AND name != '' AND typeof(tag_id) = 'integer' ORDER BY 1"
    )
    if "count" in columns:
        query = query.format("coalesce(count, 0)", "")
    else:
        posts = "(SELECT tag_id AS tag, count(DISTINCT image_id) AS posts FROM imageTags GROUP BY tag_id)"
        query = query.format("coalesce(posts, 0)", f"LEFT JOIN {posts} ON tag = tag_id")
    rows = database.execute(query).fetchall()
    frame = pd.DataFrame(rows, columns=["tag_id", "name", "category", "count"])
    for column in ("category", "count"):
        frame[column] = _whole(path, frame, column)
    twice = frame["tag_id"][frame["tag_id"].duplicated()]
    if len(twice):
        raise UserError(f"{path}: table tags has the tag_id {twice.iloc[0]} in more than one row")
    return frame.astype({"tag_id": np.int64, "name": "str"})


def _whole(path, frame, column):
    """Return a column as int64; databases hold numbers as texts and floats too."""
    values = []
    for name, value in zip(frame["name"], frame[column], strict=True):
        try:
            number = float(value) if isinstance(value, str) else value
            if number != int(number):
                raise ValueError
            values.append(int(value) if isinstance(value, str) and value.strip().isdecimal() else int(number))
        except (ValueError, OverflowError, TypeError) as error:
            raise UserError(
                f"{path}: table tags, {column} of {name!r} is {value!r}; a whole number is needed"
            ) from error
    return np.array(values, np.int64)


def _rating_counts(path):
    query = f"SELECT lower(substr(rating, 1, 1)), count(*) {_POSTS} GROUP BY 1"
    with sqlite.opened(path) as database:
        return {letter: count for letter, count in database.execute(query) if letter in LETTERS}


def _blocks(path, columns):
    """Merge images and imageTags, both read once in the order of the post id."""
    bits = [f"(({_truth(name, columns)}) << {bit})" for bit, name in enumerate(STATUSES)]
    posts_query = (
        f"SELECT image_id, coalesce(unicode(lower(CAST(rating AS TEXT))), 0), {' | '.join(bits)}"
        f" {_POSTS} ORDER BY image_id"
    )
    tags_query = (  # one text a post: sqlite3 hands out 4 million tags a second so, 1.5 million as rows
        "SELECT image_id, group_concat(tag_id) FROM imageTags"
        " WHERE typeof(image_id) = 'integer' AND typeof(tag_id) = 'integer'"
        " GROUP BY image_id ORDER BY image_id"
    )
    with sqlite.opened(path) as database:
        texts = _Texts(database.execute(tags_query))
        posts, last = database.execute(posts_query), None
        while rows := posts.fetchmany(stream.BLOCK):
            ids, ratings, status = np.array(rows, np.int64).T.copy()
            fresh = np.diff(ids, prepend=ids[0] - 1 if last is None else last) != 0  # where ids are no key
            last = ids[-1]
            ids, ratings, status = ids[fresh], ratings[fresh], status[fresh]
            if len(ids):
                offsets, tag_ids = _lists(texts.of(ids), len(ids))
                yield Block(ids, ratings, status, offsets, tag_ids)


def _truth(status, columns):
    """SQL for whether a post has a status; databases write 1, '1', 'true' or 't'."""
    column = "hidden" if status == "hidden" else f"is_{status}"
    if column not in columns:
        return "0"
    return f"{column} IS NOT NULL AND lower({column}) NOT IN ('0', '', 'f', 'false')"


class _Texts:
    """Reads (post id, text) rows in step with blocks of posts."""

    def __init__(self, cursor):
        self._cursor, self._ids, self._texts = cursor, np.empty(0, np.int64), []

    def of(self, ids):
        """Return ``(rows of ids, their texts)``; tags of posts that are not there are passed over."""
        rows, texts = [], []
        while True:
            upto = int(np.searchsorted(self._ids, ids[-1], side="right"))
            place = np.searchsorted(ids, self._ids[:upto])
            known = np.flatnonzero(ids[np.minimum(place, len(ids) - 1)] == self._ids[:upto])
            rows.append(place[known])
            texts += [self._texts[i] for i in known.tolist()]
            if upto < len(self._ids) or not self._more():
                self._ids, self._texts = self._ids[upto:], self._texts[upto:]
                return np.concatenate(rows), texts

    def _more(self):
        fresh = self._cursor.fetchmany(stream.BLOCK)
        if fresh:
            ids, self._texts = zip(*fresh, strict=True)
            self._ids = np.array(ids, np.int64)
        return bool(fresh)


def _lists(found, num_posts):
    """Turn texts of comma-separated ids into offsets (P + 1,) and rising, distinct ids (T,)."""
    rows, texts = found
    lists = pc.split_pattern(pa.array(texts, pa.large_string()), ",")
    sizes = np.zeros(num_posts, np.int64)
    sizes[rows] = np.diff(lists.offsets.to_numpy())
    return rising(sizes, lists.values.cast(pa.int64()).to_numpy())
