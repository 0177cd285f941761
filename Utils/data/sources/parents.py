"""Parent ids of posts, read from a booru's database or export."""

import functools
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from Utils.command.cli import UserError, WorkError
from Utils.data.danbooru_fields import FieldError, parse_post_id
from Utils.data.sources import json_lines, parquet_files, post_tables, sqlite
from Utils.files import damage
from Utils.files import parquet_files as files
from Utils.files.atomic import AnyPath
from Utils.files.csv_stream import CsvStream

_PARENT_COLUMNS = ("id", "parent_id")
_HAS_PARENT = "typeof(image_id) = 'integer' AND typeof(parent_id) = 'integer'"


def read_parents(kind: str, path: AnyPath) -> dict[int, int]:
    """Return ``{post id: parent id}`` of the posts that have a parent.

    Args:
        kind: one of PARENT_READERS, the sources with parent ids.

    Raises UserError where the data have no parent ids.
    """
    pairs = PARENT_READERS[kind](pathlib.Path(path))
    # 0 stands for no parent in some exports; a post that is its own parent is a mistake of the booru.
    return {child: parent for child, parent in pairs if child != parent and parent > 0}


def _of_fire_eggs(path: pathlib.Path) -> Iterable[tuple[int, int]]:
    sqlite.require_columns(path, sqlite.read_schema(path), {"images": ("image_id", "parent_id")})
    with sqlite.connect(path) as database:
        query = f"SELECT image_id, parent_id FROM images WHERE {_HAS_PARENT} ORDER BY 1"
        return database.execute(query).fetchall()


def _of_json_lines(path: pathlib.Path) -> Iterable[tuple[int, int]]:
    for file in json_lines.find_files(path):
        records = (record for _, _, record in json_lines.read_records(file))
        yield from _parse(
            (record.get("id"), _parent_in(record)) for record in records if isinstance(record, dict)
        )


def _parent_in(record: dict[str, Any]) -> Any:
    """Return the parent's id of a record: ``parent_id``, or e621's ``relationships.parent_id``."""
    relations = record.get("relationships")
    return relations.get("parent_id") if isinstance(relations, dict) else record.get("parent_id")


def _of_parquet(path: pathlib.Path) -> Iterable[tuple[int, int]]:
    all_files = parquet_files.find_files(path)
    for file in all_files:
        has_parents = {*_PARENT_COLUMNS} <= {*parquet_files.column_names(file)}
        if len(all_files) > 1 and not (has_parents or parquet_files.holds_posts(file)):
            continue  # as an index of pictures is, which the source passes by, too
        batches = files.batches(
            file, "posts (.parquet)", functools.partial(_id_columns, file), 1 << 16, WorkError
        )
        for batch in batches:
            with damage.named(file, "cannot be read", WorkError):
                columns = [column.to_pylist() for column in batch.columns]
            yield from _parse(zip(*columns, strict=True))


def _of_tables(path: pathlib.Path) -> Iterable[tuple[int, int]]:
    for file in post_tables.find_files(path)[0]:
        table = CsvStream(file)
        table.require(_PARENT_COLUMNS)
        yield from _parse(cells for _, cells in table.rows(_PARENT_COLUMNS) if not isinstance(cells, str))


def _id_columns(file: pathlib.Path, names: list[str]) -> list[str]:
    if not {*_PARENT_COLUMNS} <= {*names}:
        raise UserError(f"{file} needs the columns id and parent_id; it has {', '.join(names)}")
    return list(_PARENT_COLUMNS)


def _parse(rows: Iterable[Sequence[Any]]) -> Iterator[tuple[int, int]]:
    """Yield the rows that are two post ids, numbers or texts; most posts have no parent."""
    for child, parent in rows:
        try:
            yield parse_post_id(child), parse_post_id(parent)
        except FieldError:
            continue


PARENT_READERS: dict[str, Callable[[pathlib.Path], Iterable[tuple[int, int]]]] = {
    "fire-eggs": _of_fire_eggs,
    "jsonl": _of_json_lines,
    "parquet": _of_parquet,
    "e621": _of_tables,
}
