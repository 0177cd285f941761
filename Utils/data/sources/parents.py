"""Which posts are children of which: the parent ids that a booru's data has."""

import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from Utils.command.cli import UserError, WorkError
from Utils.data.sources import json_lines, parquet_files, sqlite

_INTEGER = "typeof(image_id) = 'integer' AND typeof(parent_id) = 'integer'"


def parents(kind, path):
    """Return ``{post id: parent id}`` of the posts that have a parent.

    Args:
        kind: one of KINDS.

    Raises UserError where there are no parent ids.
    """
    found = KINDS[kind](pathlib.Path(path))
    return {child: parent for child, parent in found if child != parent and parent > 0}


def _fire_eggs(path):
    columns = sqlite.columns_of(path)
    sqlite.require(path, columns, {"images": ("image_id", "parent_id")})
    with sqlite.opened(path) as database:
        rows = database.execute(f"SELECT image_id, parent_id FROM images WHERE {_INTEGER} ORDER BY 1")
        return rows.fetchall()


def _jsonl(path):
    for file in json_lines.files_of(path):
        for _, post in json_lines.records(file):
            if isinstance(post, dict):
                yield from _numbers([(post.get("id"), post.get("parent_id"))])


def _parquet(path):
    for file in parquet_files.files_of(path):
        try:
            names = pq.read_schema(file).names
            if not {"id", "parent_id"} <= set(names):
                raise UserError(f"{file} needs the columns id and parent_id; it has {', '.join(names)}")
            table = pq.read_table(file, columns=["id", "parent_id"])
        except (pa.ArrowException, OSError) as error:
            raise WorkError(f"{file} cannot be read: {error}") from error
        yield from _numbers(zip(*(column.to_pylist() for column in table.columns), strict=True))


def _numbers(rows):
    """Yield those rows that are two whole numbers, however they are written."""
    for row in rows:
        try:
            child, parent = (int(value) for value in row)
        except (TypeError, ValueError):
            continue
        if max(child, parent) <= np.iinfo(np.int64).max:
            yield child, parent


KINDS = {"fire-eggs": _fire_eggs, "jsonl": _jsonl, "parquet": _parquet}
