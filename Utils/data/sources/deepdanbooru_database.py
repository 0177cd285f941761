"""The SQLite schema of DeepDanbooru and DanbooruDownloader: one table ``posts`` with Danbooru's fields."""

import pathlib

from Utils.command.cli import UserError, progress
from Utils.data.sources import danbooru_post, sqlite, stream
from Utils.data.sources.danbooru_post import BY_CATEGORY, FIELDS, TRUTHS, FieldError
from Utils.data.sources.disk_sorter import Spool


def deepdanbooru(path):
    """Open an SQLite database with a table ``posts``, read-only, in one pass.

    Needed are id and tag_string (or ``tag_string_general`` and its fellows, which also tell categories); read
    where they are there: md5 (the name of the file, be it an MD5 or not), rating, is_deleted and its fellows.
    Without a rating column posts pass the rating rule. Tag ids are made from names, counts are of posts.
    """
    path = pathlib.Path(path)
    columns = sqlite.columns_of(path)
    sqlite.require(path, columns, {"posts": ("id",)})
    there = columns["posts"]
    names = [name for name in (*FIELDS, *TRUTHS.values()) if name in there]
    if not {"tag_string", "tags", *(name for name, _ in BY_CATEGORY)} & set(names):
        raise UserError(f"{path}: table posts has no column tag_string; it has {', '.join(there)}")
    spool = Spool()
    with sqlite.opened(path) as database:
        total = database.execute("SELECT count(*) FROM posts").fetchone()[0]
        cursor = database.execute(f"SELECT {', '.join(names)} FROM posts ORDER BY id")
        cursor.arraysize = stream.BLOCK
        for row in progress(cursor, total=total, label="reading", unit="post"):
            try:
                spool.add(danbooru_post.post_of(dict(zip(names, row, strict=True))))
            except FieldError as error:
                spool.reject(error.post_id, f"row {str(row[0])[:40]}", str(error))
    return spool.finish("deepdanbooru", path, keep_unrated="rating" not in there)
