"""Sources of posts: one function each, all giving a `Source`, read in one ordered pass with bounded memory.

A source of another kind is one more function here and one more row in SOURCES.
"""

import collections
import contextlib
import dataclasses
import pathlib
import sqlite3
import urllib.parse
from collections.abc import Callable

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from Utils import folders
from Utils.commands import UserError, WorkError
from Utils.definitions import LETTERS, STATUSES
from Utils.tags import CATEGORIES, name_id

BLOCK = 8192  # posts; 30 tags each are 2 MB


@dataclasses.dataclass(frozen=True)
class Block:
    """Some posts in the order of their ids; P posts with T tags together."""

    ids: np.ndarray  # (P,) int64, rising
    ratings: np.ndarray  # (P,) the code point of g, s, q, e; 0 where there is no rating
    status: np.ndarray  # (P,) bit i: the post has STATUSES[i]
    offsets: np.ndarray  # (P + 1,) post i has tag_ids[offsets[i]:offsets[i + 1]], rising
    tag_ids: np.ndarray  # (T,) int64
    paths: list | None = None  # relative to the image folder, where the source itself found the files


@dataclasses.dataclass(frozen=True)
class Source:
    """Posts and tags of a booru, a folder, an export."""

    kind: str
    path: str
    tags: pd.DataFrame  # tag_id, name, category, count
    num_posts: int
    blocks: Callable  # () -> iterator of Block, rising ids over all blocks
    rating_counts: Callable  # () -> {letter: posts}
    keep_unrated: bool = False  # whether a post without a rating passes the rating rule
    rejected: tuple = ()  # (post id, path, reason) of what never became a post


def fire_eggs(path):
    """Open an SQLite database of the fire-eggs schema, read-only.

    Needed are images(image_id, rating), tags(tag_id, name) and imageTags(image_id, tag_id); status columns
    that are absent count as empty, an absent category as general, an absent count as the number of posts.
    Posts whose rating is none of g s q e have none, and then pass no rating rule.
    Raises UserError where this is no such database.
    """
    path = pathlib.Path(path)
    columns = _columns(path)
    _require(
        path,
        columns,
        {"images": ("image_id", "rating"), "tags": ("tag_id", "name"), "imageTags": ("image_id", "tag_id")},
    )
    with _opened(path) as database:
        (num_posts,) = database.execute("SELECT count(*) FROM images").fetchone()
        tags = _tags(database, columns["tags"])
    return Source(
        kind="fire-eggs",
        path=str(path),
        tags=tags,
        num_posts=num_posts,
        blocks=lambda: _blocks(path, columns["images"]),
        rating_counts=lambda: _rating_counts(path),
    )


@contextlib.contextmanager
def _opened(path):
    address = f"file:{urllib.parse.quote(str(path.resolve()))}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as database:
        try:
            yield database
        except sqlite3.DatabaseError as error:
            raise WorkError(f"{path} cannot be read: {error}") from error


def _columns(path):
    """Return ``{table: [columns]}``; names as the database spells them."""
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise UserError(f"an SQLite database was expected at {path}; found {found}")
    try:
        with _opened(path) as database:
            names = database.execute(
                "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
            ).fetchall()
            return {
                name: [row[1] for row in database.execute(f'PRAGMA table_info("{name}")')]
                for (name,) in names
            }
    except WorkError as error:
        raise UserError(f"{path} is no SQLite database that can be opened: {error.__cause__}") from error


def _require(path, columns, needed):
    for table, names in needed.items():
        if table not in columns:
            there = ", ".join(columns) or "no tables at all"
            raise UserError(
                f"{path} has no table {table}; needed are {', '.join(needed)}; there are: {there}"
            )
        missing = [name for name in names if name not in columns[table]]
        if missing:
            raise UserError(
                f"{path}: table {table} has no column {' and '.join(missing)}; "
                f"it has {', '.join(columns[table])}"
            )


def _tags(database, columns):
    category = "coalesce(category, 0)" if "category" in columns else "0"
    query = (
        f"SELECT tag_id, CAST(name AS TEXT), {category}, {{}} FROM tags {{}} WHERE name NOTNULL ORDER BY 1"
    )
    if "count" in columns:
        query = query.format("coalesce(count, 0)", "")
    else:
        posts = "(SELECT tag_id AS tag, count(DISTINCT image_id) AS posts FROM imageTags GROUP BY tag_id)"
        query = query.format("coalesce(posts, 0)", f"LEFT JOIN {posts} ON tag = tag_id")
    frame = pd.DataFrame(database.execute(query).fetchall(), columns=["tag_id", "name", "category", "count"])
    return frame.astype({"tag_id": np.int64, "name": "str", "category": np.int64, "count": np.int64})


def _rating_counts(path):
    query = "SELECT lower(substr(rating, 1, 1)), count(*) FROM images GROUP BY 1"
    with _opened(path) as database:
        return {letter: count for letter, count in database.execute(query) if letter in LETTERS}


def _blocks(path, columns):
    """Merge images and imageTags, both read once in the order of the post id."""
    bits = [f"(({_truth(name, columns)}) << {bit})" for bit, name in enumerate(STATUSES)]
    posts_query = (
        f"SELECT image_id, coalesce(unicode(lower(rating)), 0), {' | '.join(bits)}"
        " FROM images WHERE image_id IS NOT NULL ORDER BY image_id"
    )
    tags_query = (  # one text a post: sqlite3 hands out 4 million tags a second so, 1.5 million as rows
        "SELECT image_id, group_concat(tag_id) FROM imageTags"
        " WHERE image_id IS NOT NULL AND tag_id IS NOT NULL GROUP BY image_id ORDER BY image_id"
    )
    with _opened(path) as database:
        texts = _Texts(database.execute(tags_query))
        posts = database.execute(posts_query)
        while rows := posts.fetchmany(BLOCK):
            ids, ratings, status = np.array(rows, np.int64).T.copy()
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
        fresh = self._cursor.fetchmany(BLOCK)
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


def rising(sizes, values):
    """Sort the values of every post and drop repeated ones, where that is not so already."""
    post = np.repeat(np.arange(len(sizes)), sizes)
    inside = post[1:] == post[:-1]
    if (inside & (values[1:] <= values[:-1])).any():
        order = np.lexsort((values, post))
        values, post = values[order], post[order]
        fresh = np.concatenate([[True], (post[1:] != post[:-1]) | (values[1:] != values[:-1])])
        values, post = values[fresh], post[fresh]
        sizes = np.bincount(post, minlength=len(sizes))
    return np.concatenate([[0], np.cumsum(sizes)]), values


NAMESPACES = {
    "general": "general", "artist": "artist", "creator": "artist", "copyright": "copyright",
    "series": "copyright", "character": "character", "meta": "meta", "rating": "rating",
}  # fmt: skip
_OLD_RATINGS = {"safe": "s"}


def sidecars(path, images=None):
    """Read images with text files beside them: ``x.txt`` (kohya) or ``x.jpg.txt`` (Hydrus) for x.jpg.

    Tags are separated by commas or line ends; spaces within become underscores, ``\\(`` becomes ``(``. The
    namespaces ``character:`` and ``series:`` (also ``copyright: artist: creator: meta: general:``) give the
    category, ``rating:`` the rating; posts without one are kept. Tag ids are made from names, counts are
    numbers of posts.

    Args:
        path: the folder of text files.
        images: the folder of images, where it is another one of the same structure.
    """
    root = pathlib.Path(path)
    pairs, rejected = _pairs(root, pathlib.Path(images or path))
    posts, ratings, vocabulary, more = _read_texts(root, pairs)
    frame, tag_ids = _vocabulary(vocabulary)
    return Source(
        kind="sidecars",
        path=str(path),
        tags=frame,
        num_posts=len(posts),
        blocks=lambda: _sidecar_blocks(posts, tag_ids),
        rating_counts=lambda: dict(ratings),
        keep_unrated=True,
        rejected=tuple(rejected + more),
    )


def _pairs(root, images):
    """Return ``[(post id, image path, text path)]`` by id, and what has no partner or no id of its own."""
    texts = {
        folders.join(top, name)
        for top, names in folders.walk(root)
        for name in names
        if name.endswith(".txt")
    }
    found, rejected, used, census = {}, [], set(), folders.Census()
    for top, names in folders.walk(images):
        census.note(top, names)
        for name in names:
            path = folders.join(top, name)
            if not folders.is_image(name):
                continue
            number = folders.post_id(path)
            text = next((t for t in (f"{path}.txt", f"{path.rpartition('.')[0]}.txt") if t in texts), None)
            used.add(text)
            if text is None:
                rejected.append((number, path, "no sidecar"))
            elif number in found:
                rejected.append((number, path, f"post id taken by {found[number][0]}"))
            else:
                found[number] = (path, text)
    if not found:
        raise UserError(
            f"no image with a text file of its name (x.jpg and x.txt, or x.jpg.txt): of {len(texts)} text "
            f"files in {root} none belongs to an image; {census.describe(images)}"
        )
    rejected += [(folders.post_id(text[:-4]), text, "file missing") for text in sorted(texts - used)]
    return [(number, *found[number]) for number in sorted(found)], rejected


def _read_texts(root, pairs):
    posts, rejected, ratings, vocabulary = [], [], collections.Counter(), {}
    for number, path, text in pairs:
        try:
            content = (root / text).read_text(encoding="utf-8-sig")
        except (UnicodeDecodeError, OSError) as error:
            rejected.append((number, path, f"sidecar unreadable: {type(error).__name__}"))
            continue
        rating, names = parse_sidecar(content)
        ratings.update([rating] if rating else [])
        rows = [_note(vocabulary, name, category) for name, category in names.items()]
        posts.append((number, path, ord(rating) if rating else 0, np.array(rows, np.int32)))
    return posts, ratings, vocabulary, rejected


def _note(vocabulary, name, category):
    """Count a tag and return its row; a name that is general here and a character there is a character."""
    row = vocabulary.setdefault(name, [len(vocabulary), category, 0])
    row[1] = row[1] or category
    row[2] += 1
    return row[0]


def parse_sidecar(text):
    """Return ``(rating letter or "", {tag name: category code})`` of a sidecar's text."""
    rating, names = "", {}
    for part in text.replace(",", "\n").splitlines():
        tag = "_".join(part.split()).replace("\\(", "(").replace("\\)", ")")
        space, colon, rest = tag.partition(":")
        category = NAMESPACES.get(space.lower()) if colon and rest.strip("_") else None
        name = rest.strip("_") if category else tag
        if category == "rating":
            letter = _OLD_RATINGS.get(name.lower(), name[:1].lower())
            rating = letter if letter in LETTERS else rating
        elif name:
            names[name] = names.get(name) or CATEGORIES[category or "general"]
    return rating, names


def _vocabulary(vocabulary):
    names = list(vocabulary)
    tag_ids = np.array([name_id(name) for name in names], np.int64)
    if len(np.unique(tag_ids)) < len(names):
        raise WorkError("two tag names have the same 52 bits of SHA-256; rename one of them")
    _, categories, counts = np.array(list(vocabulary.values()), np.int64).reshape(-1, 3).T
    frame = pd.DataFrame({"tag_id": tag_ids, "name": names, "category": categories, "count": counts})
    return frame.sort_values("tag_id", ignore_index=True), tag_ids


def _sidecar_blocks(posts, tag_ids):
    for start in range(0, len(posts), BLOCK):
        ids, paths, ratings, rows = zip(*posts[start : start + BLOCK], strict=True)
        sizes = np.array([len(part) for part in rows], np.int64)
        offsets, values = rising(sizes, tag_ids[np.concatenate(rows).astype(np.int64)])
        zeros = np.zeros(len(ids), np.int64)
        yield Block(np.array(ids, np.int64), np.array(ratings, np.int64), zeros, offsets, values, list(paths))


SOURCES = {"fire-eggs": fire_eggs, "sidecars": sidecars}
