"""The SQLite schema of DeepDanbooru and DanbooruDownloader: one table ``posts`` with Danbooru's fields."""

import pathlib

from Utils.command.cli import progress
from Utils.command.text import NO_UTF8, printable
from Utils.data.sources import danbooru_post, sqlite, stream
from Utils.data.sources.disk_sorter import DiskSorter
from Utils.data.sources.stream import Source
from Utils.files.atomic import AnyPath
from Utils.images import image_folder


def read_deepdanbooru(path: AnyPath) -> Source:
    """Read an SQLite database with a table ``posts``, read-only, in one pass.

    Needed are id and tag_string (or ``tag_string_general`` and its like, which tell categories too). Optional
    are md5 (the name of the image file, an MD5 or not), rating, is_deleted and its like. Tag ids are made
    from names, counts are numbers of posts. Rows with bytes that are no UTF-8 are listed as rejected.

    Raises UserError where this is no such database.
    """
    path = pathlib.Path(path)
    tables = sqlite.read_schema(path)
    sqlite.require_columns(path, tables, {"posts": ("id",)})
    fields = danbooru_post.select_fields(tables["posts"], f"{path}: table posts")
    sorter = DiskSorter()
    with sqlite.connect(path) as database:
        total = database.execute("SELECT count(*) FROM posts").fetchone()[0]
        cursor = database.execute(f"SELECT {', '.join(fields)} FROM posts ORDER BY id")
        cursor.arraysize = stream.BLOCK_SIZE
        for row in progress(cursor, total=total, label="reading", unit="posts"):
            place = printable(f"row {str(row[0])[:40]}")
            if image_folder.is_unicode("".join(map(str, row))):
                sorter.add_record(dict(zip(fields, row, strict=True)), place)
            else:
                sorter.reject(-1, place, NO_UTF8)
    return sorter.finish("deepdanbooru", path)
