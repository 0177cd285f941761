"""The files of a drawn booru: every picture encoded, and an SQLite database with the fire-eggs schema."""

import contextlib
import datetime
import hashlib
import sqlite3
from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np

from Utils.demo_booru import vocabulary
from Utils.demo_booru.boxes import Box
from Utils.demo_booru.posts import Post, seeded_random
from Utils.demo_booru.styles import STYLES, Style
from Utils.files.atomic import AnyPath
from Utils.images import codec
from Utils.images.image_folder import bucket_path
from Utils.images.resize import resize

Facts = dict[str, Any]  # columns of a post's row that describe its file: md5, file_size, image_width ...

SIDE = 512
QUALITY = 95
_EPOCH = datetime.datetime(2022, 4, 1)  # the time of post 5,400,000; an id later is 50 seconds later
_SCHEMA = """
PRAGMA page_size = 4096;
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE images(image_id INT PRIMARY KEY, created_at TEXT, uploaded_id INT, score INT, source TEXT,
                    md5 TEXT,
 last_commented_at TEXT, rating TEXT, image_width INT, image_height INT, is_note_locked INT, file_ext TEXT,
 last_noted_at TEXT, is_rating_locked INT, parent_id INT, has_children INT, approver_id INT, file_size INT,
 is_status_locked INT, up_score INT, down_score INT, is_pending INT, is_flagged INT, is_deleted INT,
 updated_at TEXT, is_banned INT, pixiv_id INT, hidden INT DEFAULT 0);
CREATE TABLE tags(tag_id INT PRIMARY KEY, name TEXT, category INT, count INT);
CREATE TABLE imageTags(image_id INT, tag_id INT, PRIMARY KEY(image_id, tag_id));
"""


def picture_files(
    post: Post, seed: int, style: Style = STYLES["faces"]
) -> tuple[dict[str, bytes], Facts, list[Box]]:
    """Return ``({path: bytes}, facts, boxes)`` of a post, a path with its place in the booru's folder.

    The boxes are those of true tags that lie somewhere in the picture, in pixels of its 512 px version.
    """
    original, square, places = _drawn(post, seed, style)
    data = codec.encode_jpeg(square, QUALITY)
    if post.source:
        original, square, places = _drawn(post.source, seed, style)
        data, places = _copy(post, seed, original, square, places)
    place = bucket_path(post.post_id).removesuffix(".jpg")
    files = {f"512px/{place}.jpg": data}
    facts = _facts(data, SIDE, SIDE, "jpg")
    if post.original:
        extension = "png" if post.scene.transparent else "jpg"
        encoded = _encoded(original, extension)
        files[f"original/{place}.{extension}"] = encoded
        facts = _facts(encoded, original.shape[1], original.shape[0], extension)
    true = [box for box in places if box.tag in post.truth and not box.empty]
    return _break(files, post, square), facts, true


def _facts(data: bytes, width: int, height: int, extension: str) -> Facts:
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    shape = {"image_width": width, "image_height": height, "file_ext": extension}
    return {"md5": digest, "file_size": len(data), **shape}


def _drawn(post: Post, seed: int, style: Style) -> tuple[np.ndarray, np.ndarray, list[Box]]:
    """Return the original picture, its square version on white, and the boxes in the latter, in pixels."""
    key = f"{seed}/{(post.source or post).index}/picture"
    places: list[Box] = []
    original = style.render(post.scene, key, post.scale, places)
    if post.scene.size == (SIDE, SIDE) and not post.scene.transparent and post.scale == 1.0:
        return original, original, places
    extension = "png" if post.scene.transparent else "jpg"
    height, width = original.shape[:2]
    longer = max(width, height)
    left, top = (longer - width) // 2, (longer - height) // 2
    places = [box.moved(left, top, (SIDE / longer,) * 2, SIDE) for box in places]
    return original, codec.prepare(_encoded(original, extension), SIDE), places


def _encoded(image: np.ndarray, extension: str) -> bytes:
    if extension == "jpg":
        return codec.encode_jpeg(image, QUALITY)
    return cv2.imencode(".png", image)[1].tobytes()


def _copy(
    post: Post, seed: int, original: np.ndarray, square: np.ndarray, places: list[Box]
) -> tuple[bytes, list[Box]]:
    """Return the JPEG of a near-duplicate, made from its source's picture, and the boxes in it."""
    rng = seeded_random(seed, post.index, "copy")
    square = codec.decode(codec.encode_jpeg(square, QUALITY))
    quality = QUALITY
    if post.kind == "rescaled":
        square = resize(resize(square, rng.randrange(300, 440)), SIDE)
    elif post.kind == "recompressed":
        quality = rng.randrange(35, 60)
    elif post.kind == "black_padding":
        square = codec.fit(original, SIDE, padding=0)
    else:
        left, top, right, low = (rng.randrange(3, 16) for _ in range(4))  # at most 15 of 512: 3%
        cut = np.ascontiguousarray(square[top : SIDE - low, left : SIDE - right])
        scales = (SIDE / cut.shape[1], SIDE / cut.shape[0])
        places = [box.moved(-left, -top, scales, SIDE) for box in places]
        square = resize(cut, SIDE)
    return codec.encode_jpeg(square, quality), places


def _break(files: dict[str, bytes], post: Post, square: np.ndarray) -> dict[str, bytes]:
    """Return the files as a broken post has them: cut off, wrongly named, empty or missing."""
    if not post.broken:
        return files
    if post.broken == "missing":
        return {}
    ((path, data),) = files.items()
    broken = {"truncated": data[: len(data) * 2 // 5], "empty": b"", "png_named_jpg": _encoded(square, "png")}
    return {path: broken[post.broken]}


def write_database(
    path: AnyPath, posts: list[Post], facts: Mapping[int, Facts], seed: int, style: Style = STYLES["faces"]
) -> None:
    """Write danbooru.db: rows in the order of ids, tags that no post has left out."""
    names = style.all_names()
    tag_ids = {name: 1000 + 7 * at for at, name in enumerate(names)}
    counts = dict.fromkeys(names, 0)
    for post in posts:
        for name in post.labels:
            counts[name] += 1
    parents = {post.parent_id for post in posts}
    rows = [_row(post, facts[post.index], post.post_id in parents, seed) for post in posts]
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(_SCHEMA)
        marks = ", ".join("?" * len(rows[0]))
        insert = f"INSERT INTO images({', '.join(rows[0])}) VALUES ({marks})"
        database.executemany(insert, [tuple(row.values()) for row in rows])
        used = [name for name in names if counts[name]]
        tags = [(tag_ids[name], name, vocabulary.category(name), counts[name]) for name in used]
        database.executemany("INSERT INTO tags VALUES (?, ?, ?, ?)", tags)
        pairs = [(post.post_id, tag_ids[name]) for post in posts for name in post.labels]
        database.executemany("INSERT INTO imageTags VALUES (?, ?)", pairs)
        database.execute("CREATE INDEX imageTags_tag ON imageTags(tag_id)")
        database.commit()


def _row(post: Post, facts: Facts, has_children: bool, seed: int) -> dict[str, Any]:
    rng = seeded_random(seed, post.index, "row")
    created = _EPOCH + datetime.timedelta(seconds=50 * (post.post_id - 5_400_000))
    up, down = int(rng.expovariate(0.08)), int(rng.expovariate(0.7))
    pixiv = rng.randrange(60_000_000, 110_000_000) if rng.random() < 0.6 else None
    return {
        "image_id": post.post_id,
        "created_at": f"{created:%Y-%m-%d %H:%M:%S} UTC",
        "updated_at": f"{created + datetime.timedelta(hours=rng.randrange(1, 900)):%Y-%m-%d %H:%M:%S} UTC",
        "uploaded_id": rng.randrange(1, 400),
        "source": f"https://example.org/art/{post.post_id}",
        "rating": post.rating,
        **facts,
        "parent_id": post.parent_id,
        "has_children": int(has_children),
        "score": up - down,
        "up_score": up,
        "down_score": -down,
        **{f"is_{name}": int(post.status == name) for name in ("pending", "flagged", "deleted", "banned")},
        **{f"is_{name}_locked": 0 for name in ("note", "rating", "status")},
        "pixiv_id": pixiv,
        "hidden": post.hidden,
    }
