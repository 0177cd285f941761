"""What a drawn booru has on disk: the bytes of every picture, and an SQLite database of fire-eggs' schema."""

import contextlib
import datetime
import hashlib
import sqlite3

import cv2
import numpy as np

from Utils.demo_booru import pictures, tagging, vocabulary
from Utils.demo_booru.posts import lot
from Utils.images import codec
from Utils.images.resize import resize

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


def folder_of(post_id):
    """Return the folder of a post's file: ``0NNN``, its id modulo 1000."""
    return f"{post_id % 1000:04d}"


def picture_files(post, seed):
    """Return ``({path: bytes}, facts)`` of a post; facts are its row's md5, file_size, image_width ..."""
    original, square = _drawn(post, seed)
    data = codec.encode_jpeg(square, QUALITY)
    if post.source:
        data = _copy(post, seed, *_drawn(post.source, seed))
    place = f"{folder_of(post.post_id)}/{post.post_id}"
    files = {f"512px/{place}.jpg": data}
    facts = _facts(data, SIDE, SIDE, "jpg")
    if post.original:
        extension = "png" if post.scene.transparent else "jpg"
        bytes_ = _encoded(original, extension)
        files[f"original/{place}.{extension}"] = bytes_
        facts = _facts(bytes_, original.shape[1], original.shape[0], extension)
    return _break(files, post, square), facts


def _facts(data, width, height, extension):
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    shape = {"image_width": width, "image_height": height, "file_ext": extension}
    return {"md5": digest, "file_size": len(data), **shape}


def _drawn(post, seed):
    """Return the original picture and its square version on white, in pixels."""
    key = f"{seed}/{(post.source or post).index}/picture"
    original = pictures.render(post.scene, key, post.scale)
    if post.scene.size == (SIDE, SIDE) and not post.scene.transparent and post.scale == 1.0:
        return original, original
    extension = "png" if post.scene.transparent else "jpg"
    return original, codec.prepare(_encoded(original, extension), SIDE)


def _encoded(image, extension):
    if extension == "jpg":
        return codec.encode_jpeg(image, QUALITY)
    return cv2.imencode(".png", image)[1].tobytes()


def _copy(post, seed, original, square):
    """Return the JPEG of a near-duplicate, made from its source's picture."""
    rng = lot(seed, post.index, "copy")
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
        square = resize(np.ascontiguousarray(square[top : SIDE - low, left : SIDE - right]), SIDE)
    return codec.encode_jpeg(square, quality)


def _break(files, post, square):
    """Return the files as a broken post has them: cut off, of another format, empty, or not there."""
    if not post.broken:
        return files
    if post.broken == "missing":
        return {}
    ((path, data),) = files.items()
    broken = {"truncated": data[: len(data) * 2 // 5], "empty": b"", "png_named_jpg": _encoded(square, "png")}
    return {path: broken[post.broken]}


def write_database(path, posts, facts, seed):
    """Write danbooru.db: rows in the order of ids, counts of tags as they are in imageTags."""
    names = tagging.all_names()
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
        found = [name for name in names if counts[name]]
        tags = [(tag_ids[name], name, vocabulary.category(name), counts[name]) for name in found]
        database.executemany("INSERT INTO tags VALUES (?, ?, ?, ?)", tags)
        pairs = [(post.post_id, tag_ids[name]) for post in posts for name in post.labels]
        database.executemany("INSERT INTO imageTags VALUES (?, ?)", pairs)
        database.execute("CREATE INDEX imageTags_tag ON imageTags(tag_id)")
        database.commit()


def _row(post, facts, has_children, seed):
    rng = lot(seed, post.index, "row")
    made = _EPOCH + datetime.timedelta(seconds=50 * (post.post_id - 5_400_000))
    up, down = int(rng.expovariate(0.08)), int(rng.expovariate(0.7))
    pixiv = rng.randrange(60_000_000, 110_000_000) if rng.random() < 0.6 else None
    return {
        "image_id": post.post_id,
        "created_at": f"{made:%Y-%m-%d %H:%M:%S} UTC",
        "updated_at": f"{made + datetime.timedelta(hours=rng.randrange(1, 900)):%Y-%m-%d %H:%M:%S} UTC",
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
