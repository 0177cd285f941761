"""The SQLite schema of fire-eggs' tools for Danbooru20xx: images, tags, imageTags."""

import pathlib
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from Utils.command.cli import UserError
from Utils.command.text import NO_UTF8, counted, join_names, printable
from Utils.data.danbooru_fields import (
    FALSE_WORDS,
    RATING_NAMES,
    RATINGS_READ,
    SAFE,
    STATUS_FIELDS,
    plain_name,
    unread_ratings_note,
)
from Utils.data.sources import sqlite, stream
from Utils.data.sources.stream import PostBlock, Source, sort_each_row
from Utils.files.atomic import AnyPath
from Utils.images import image_folder

_NEEDED = {"images": ("image_id", "rating"), "tags": ("tag_id", "name"), "imageTags": ("image_id", "tag_id")}
_MAX_LISTED = 1000  # rows without a usable id that are named one by one
_POSTS = "FROM images WHERE typeof(image_id) = 'integer'"
_RATING = "CASE lower(trim(CAST(rating AS TEXT))) {} ELSE '' END".format(
    " ".join(f"WHEN '{text}' THEN '{letter}'" for text, letter in RATINGS_READ.items())
)


def read_fire_eggs(path: AnyPath) -> Source:
    """Read an SQLite database of the fire-eggs schema, read-only.

    Needed are images(image_id, rating), tags(tag_id, name) and imageTags(image_id, tag_id). An absent status
    column counts as false, an absent category as general, an absent count as the number of posts. Posts whose
    rating is none of g s q e pass no rating rule. Rows whose ids are no whole numbers are skipped; those of
    images are listed as rejected. Tags whose names are no UTF-8 are left out, and said.

    Raises UserError where this is no such database.
    """
    path = pathlib.Path(path)
    schema = sqlite.read_schema(path)
    sqlite.require_columns(path, schema, _NEEDED)
    with sqlite.connect(path) as database:
        (num_posts,) = database.execute(f"SELECT count(DISTINCT image_id) {_POSTS}").fetchone()
        named, notes = _read_tags(path, database, schema["tags"])
        tags, merged = _with_plain_names(named)
        without_id = database.execute(
            "SELECT CAST(image_id AS TEXT) FROM images"
            f" WHERE typeof(image_id) != 'integer' LIMIT {_MAX_LISTED}"
        ).fetchall()
        unread = database.execute(
            f"SELECT trim(CAST(rating AS TEXT)) AS text, count(*) {_POSTS} AND {_RATING} = '' AND text != ''"
            " GROUP BY 1 ORDER BY 2 DESC, 1"
        ).fetchall()
    if unread:
        notes.append(unread_ratings_note(sum(count for _, count in unread), (text for text, _ in unread)))
    return Source(
        kind="fire-eggs",
        path=str(path),
        tags=tags,
        num_posts=num_posts,
        blocks=lambda: _blocks(path, schema["images"], merged),
        rating_counts=lambda: _rating_counts(path),
        notes=tuple(notes),
        rejected=tuple(
            (-1, printable(f"image_id {text}"), "post id is no whole number") for (text,) in without_id
        ),
    )


def _read_tags(
    path: pathlib.Path, database: sqlite3.Connection, columns: Collection[str]
) -> tuple[pd.DataFrame, list[str]]:
    """Return ``(tags, what is said of those that are left out)``."""
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
    no_text = [row for row in rows if not image_folder.is_unicode(row[1])]
    rows = [row for row in rows if image_folder.is_unicode(row[1])] if no_text else rows
    frame = pd.DataFrame(rows, columns=["tag_id", "name", "category", "count"])
    for column in ("category", "count"):
        frame[column] = _to_integers(path, frame, column)
    tag_ids = pd.Series(frame["tag_id"])
    if not tag_ids.is_unique:
        repeated = tag_ids.to_numpy()[tag_ids.duplicated()][0]
        raise UserError(f"{path}: table tags has the tag_id {repeated} in more than one row")
    notes = [_no_text_note([(row[1], row[0]) for row in no_text])] if no_text else []
    return frame.astype({"tag_id": np.int64, "name": "str"}), notes


def _to_integers(path: pathlib.Path, frame: pd.DataFrame, column: str) -> np.ndarray:
    """Return a column as int64; SQLite's columns hold numbers as texts and floats too."""
    values = []
    for name, value in zip(frame["name"], frame[column], strict=True):
        try:
            number = float(value) if isinstance(value, str) else value
            if number != int(number):
                raise ValueError
            # Not through float where it can be avoided: beyond 2**53 it would lose digits.
            values.append(int(value) if isinstance(value, str) and value.strip().isdecimal() else int(number))
        except (ValueError, OverflowError, TypeError) as error:
            raise UserError(
                f"{path}: table tags, {column} of {name!r} is {value!r}; a whole number is needed"
            ) from error
    return np.array(values, np.int64)


def _no_text_note(tags: Sequence[tuple[str, int]]) -> str:
    """Return what is said of the tags, names and ids, whose names are no UTF-8."""
    shown = join_names((f"{printable(name)!r} (tag_id {tag_id})" for name, tag_id in tags), 3)
    return f"warning: {counted(len(tags), 'tag')} left out, with {NO_UTF8}: {shown}"


def _rating_counts(path: pathlib.Path) -> dict[str, int]:
    query = f"SELECT {_RATING}, count(*) {_POSTS} GROUP BY 1"
    with sqlite.connect(path) as database:
        return {letter: count for letter, count in database.execute(query) if letter in (*RATING_NAMES, SAFE)}


def _with_plain_names(tags: pd.DataFrame) -> tuple[pd.DataFrame, dict[int, int]]:
    """Return ``(tags without HTML entities, {id: the id that replaces it})``.

    A tag that is there in both spellings becomes one, with the id of the plain spelling and both counts.
    """
    plain = pd.Series([plain_name(name) for name in tags["name"]], index=tags.index, dtype="str")
    changed = (plain != tags["name"]) & (plain != "")
    if not changed.any():
        return tags, {}
    row_of: dict[str, int] = {}
    for row in [*np.flatnonzero(~changed).tolist(), *np.flatnonzero(changed).tolist()]:
        row_of.setdefault(plain[row], row)
    rows = {row: row_of[plain[row]] for row in np.flatnonzero(changed).tolist() if row_of[plain[row]] != row}
    counts, ids = tags["count"].to_numpy().copy(), tags["tag_id"].to_numpy()
    for row, target in rows.items():
        counts[target] += counts[row]
    merged = {int(ids[row]): int(ids[target]) for row, target in rows.items()}
    frame = tags.assign(name=plain.where(changed, tags["name"]), count=counts)
    return frame.drop(index=list(rows)).reset_index(drop=True), merged


def _blocks(path: pathlib.Path, columns: Collection[str], merged: Mapping[int, int]) -> Iterator[PostBlock]:
    """Merge images and imageTags, both read once in the order of the post id.

    Args:
        merged: ``{tag id: the id that replaces it}``.
    """
    bits = [f"(({_status_sql(field, columns)}) << {bit})" for bit, field in enumerate(STATUS_FIELDS.values())]
    posts_query = (
        f"SELECT image_id, coalesce(unicode({_RATING}), 0), {' | '.join(bits)} {_POSTS} ORDER BY image_id"
    )
    # One text a post, not one row a tag: sqlite3 hands out 4 million tags a second so, 1.5 million as rows.
    tags_query = (
        "SELECT image_id, group_concat(tag_id) FROM imageTags"
        " WHERE typeof(image_id) = 'integer' AND typeof(tag_id) = 'integer'"
        " GROUP BY image_id ORDER BY image_id"
    )
    with sqlite.connect(path) as database:
        tag_texts = _TagTexts(database.execute(tags_query))
        posts, last_id = database.execute(posts_query), None
        while rows := posts.fetchmany(stream.BLOCK_SIZE):
            ids, ratings, status = np.array(rows, np.int64).T.copy()
            # Without a primary key an id may come twice, also across two blocks; the first row counts.
            steps = np.diff(ids, prepend=ids[0] - 1 if last_id is None else last_id)
            _require_order(steps >= 0)
            is_new = steps != 0
            last_id = ids[-1]
            ids, ratings, status = ids[is_new], ratings[is_new], status[is_new]
            if len(ids):
                offsets, tag_ids = _parse_texts(*tag_texts.read(ids), len(ids))
                if merged:
                    tag_ids = np.array([merged.get(tag_id, tag_id) for tag_id in tag_ids.tolist()], np.int64)
                    offsets, tag_ids = sort_each_row(np.diff(offsets), tag_ids)
                yield PostBlock(ids, ratings, status, offsets, tag_ids)


def _status_sql(field: str, columns: Collection[str]) -> str:
    """Return SQL for whether a status field is true; databases write 1, '1', 'true' or 't'."""
    if field not in columns:
        return "0"
    words = ", ".join(f"'{word}'" for word in FALSE_WORDS)
    return f"{field} IS NOT NULL AND lower({field}) NOT IN ({words})"


class _TagTexts:
    """Reads ``(post id, comma-separated tag ids)`` rows in step with blocks of posts."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self._cursor = cursor
        self._ids, self._texts = np.empty(0, np.int64), []  # fetched, but not used yet

    def read(self, ids: np.ndarray) -> tuple[np.ndarray, list[str]]:
        """Return ``(rows of ids that have tags, their texts)``; tags of absent posts are skipped."""
        rows, texts = [], []
        while True:
            end = int(np.searchsorted(self._ids, ids[-1], side="right"))
            place = np.searchsorted(ids, self._ids[:end])
            matches = np.flatnonzero(ids[np.minimum(place, len(ids) - 1)] == self._ids[:end])
            rows.append(place[matches])
            texts += [self._texts[i] for i in matches.tolist()]
            if end < len(self._ids) or not self._fetch():
                self._ids, self._texts = self._ids[end:], self._texts[end:]
                places = np.concatenate(rows)
                _require_order(np.diff(places) > 0)
                return places, texts

    def _fetch(self) -> bool:
        rows = self._cursor.fetchmany(stream.BLOCK_SIZE)
        if rows:
            self._ids = np.array([post_id for post_id, _ in rows], np.int64)
            self._texts = [text for _, text in rows]
        return bool(rows)


def _require_order(in_order: np.ndarray) -> None:
    """Raise sqlite3.DatabaseError where rows are not in the order asked for, as from a damaged index."""
    if not in_order.all():
        raise sqlite3.DatabaseError(
            "an index is damaged: its rows are not in order (see PRAGMA integrity_check)"
        )


def _parse_texts(rows: np.ndarray, texts: list[str], num_posts: int) -> tuple[np.ndarray, np.ndarray]:
    """Turn comma-separated ids into offsets (P + 1,) and ascending, distinct ids (T,)."""
    # Arrow splits and casts all texts of a block in one call each; a loop in Python would be the bottleneck.
    lists = pc.call_function(
        "split_pattern", [pa.array(texts, pa.large_string())], pc.SplitPatternOptions(",")
    )
    sizes = np.zeros(num_posts, np.int64)
    sizes[rows] = np.diff(lists.offsets.to_numpy())
    return sort_each_row(sizes, lists.values.cast(pa.int64()).to_numpy())
