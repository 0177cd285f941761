"""Posts in Parquet files whose columns have the names of a booru's fields, with their pictures or without."""

import json
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from Utils.command.cli import UserError, WorkError, progress
from Utils.data.sources import danbooru_post, source_files, stream
from Utils.data.sources.disk_sorter import DiskSorter
from Utils.data.sources.stream import Source
from Utils.files import damage, parquet_files, parquet_members
from Utils.files.atomic import AnyPath, to_path
from Utils.files.parquet_members import ParquetError
from Utils.files.ranges import RangeReader
from Utils.images import image_folder
from Utils.images.place import Place

_LEAVES = {"image": "path", "file": "md5"}  # what is read of a column that holds objects


def read_parquet(path: AnyPath, images: Place | AnyPath | None = None) -> Source:
    """Read a Parquet file, or all below a folder, batch by batch.

    Columns as in `danbooru_post`: id, tags in any of their forms (texts, lists, lists of objects, objects of
    lists), rating, md5, is_deleted and its like; others are not read. In Hugging Face's shards with pictures
    a row without an id is known by its picture: by the path that it has, else by its row. Files without such
    columns, as indexes of pictures are, are passed by. One of several files with pictures that cannot be read
    is set aside, as archives of pictures are.

    Raises UserError where files or columns are missing, WorkError where a file cannot be read.
    """
    path, sorter = to_path(path), DiskSorter(images=images)
    all_files = find_files(path)
    files = _readable(all_files)
    unreadable = [file.name for file in all_files if file not in files]
    sorter.note_files(unreadable, "set aside with all posts, unreadable")
    posts = [file for file in files if len(files) == 1 or holds_posts(file)] or files[:1]
    for file in posts:
        relative = "" if file == path else file.relative_to(path).as_posix()
        _add_posts(sorter, file, relative, source_files.folder_of(file, path))
    sorter.note_files([f.name for f in files if f not in posts], "passed by, without posts")
    return sorter.finish("parquet", path)


def _readable(files: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """Return the files that can be read; WorkError where some cannot, unless others hold pictures.

    A table of posts without its half would be another booru; a file of pictures is a part like any other.
    """
    readable, faults = [], []
    for file in files:
        try:
            _schema(file)
            readable.append(file)
        except WorkError as error:
            faults.append(error)
    if faults and not any(_picture_column(file) for file in readable):
        raise faults[0]
    return readable


def find_files(path: pathlib.Path) -> list[pathlib.Path]:
    """Return the Parquet files at or below a path; UserError without any."""
    return source_files.find_files(path, (".parquet",), "a Parquet file")


def column_names(file: pathlib.Path) -> list[str]:
    """Return the names of a file's columns; WorkError where it cannot be read."""
    return _schema(file).names


def holds_posts(file: pathlib.Path) -> bool:
    """Whether one of several files is of posts, by its columns; WorkError where it cannot be read."""
    names = _schema(file).names
    return danbooru_post.is_post(dict.fromkeys(names)) or _picture_column(file) is not None


def has_columns(file: pathlib.Path) -> bool:
    """Whether a Parquet file has the columns of posts; UserError or OSError where it cannot be read."""
    try:
        _columns(_schema(file), _picture_column(file), file)
    except (UserError, WorkError):
        return False
    return True


def _schema(file: pathlib.Path) -> pa.Schema:
    with damage.named(file, parquet_files.FAULT, WorkError), file.open("rb") as opened:
        return pq.read_schema(opened)


def _picture_column(file: pathlib.Path) -> str | None:
    """Return the column of a file that holds pictures, which are members of their place; else None."""
    try:
        return parquet_members.image_column(RangeReader(str(file)))
    except ParquetError as error:
        raise WorkError(f"{file} {parquet_files.FAULT}: {error}") from error


def fields_of_posts(names: Sequence[str], pictures: str | None, file: pathlib.Path) -> list[str]:
    """Return the columns that say something of a post, never the ``pictures``; UserError where some lack.

    A column of pictures, whatever its name, says which file each post has.
    """
    others = [name for name in names if not pictures or name not in ("image", pictures)]
    fields = danbooru_post.select_fields([*others, *(["image"] if pictures else [])], str(file))
    return [name for name in fields if not (name == "image" and pictures)]


def _columns(schema: pa.Schema, pictures: str | None, file: pathlib.Path) -> list[str]:
    """Return the columns to read; of objects only the part that says something."""
    columns = []
    for name in fields_of_posts(schema.names, pictures, file):
        kind, leaf = schema.field(name).type, _LEAVES.get(name)
        if leaf is None or not (pa.types.is_struct(kind) or parquet_members.is_bytes(kind)):
            columns.append(name)
        elif pa.types.is_struct(kind) and leaf in [child.name for child in kind]:
            columns.append(f"{name}.{leaf}")
    return columns


def _class_names(schema: pa.Schema) -> dict[str, list[str]]:
    """Return ``{column: names}`` of the columns whose numbers Hugging Face names (ClassLabel)."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        described = {column: feature.get("feature", feature) for column, feature in features.items()}
        return {column: feature["names"] for column, feature in described.items() if "names" in feature}
    except (KeyError, ValueError, AttributeError, TypeError, RecursionError):  # not written by Hugging Face
        return {}


def _named(value: Any, names: Sequence[str]) -> Any:
    """Return a number, or a list of numbers, as the names that they stand for; anything else as it is."""
    numbers = value if isinstance(value, list) else [value]
    if not all(isinstance(number, int) and 0 <= number < len(names) for number in numbers):
        return value
    return [names[number] for number in numbers] if isinstance(value, list) else names[value]


def _add_posts(sorter: DiskSorter, file: pathlib.Path, relative: str, folder: str) -> None:
    schema = _schema(file)
    pictures = _picture_column(file)
    columns = _columns(schema, pictures, file)
    members = parquet_members.scan(RangeReader(str(file))) if pictures else iter(())
    total = -(-parquet_files.num_rows(file, WorkError) // stream.BLOCK_SIZE)
    class_names = {name: names for name, names in _class_names(schema).items() if name in columns}
    for row, record in enumerate(_records(file, columns, total)):
        member = ""
        picture = next(members, None)
        for name, names in class_names.items():
            record[name] = _named(record[name], names)
        if picture is not None:
            member = image_folder.join(relative, picture.name)
            record["image"] = None if picture.is_nameless else member
        place = f"{file.name}, row {row}"
        sorter.add_record(record, place, member=member, folder="" if member else folder)


def _as_text(column: pa.Array) -> pa.Array:
    """Return a column of bytes as text, as some programs do not say that it is one; others as they are."""
    if not parquet_members.is_bytes(column.type):
        return column
    try:
        return column.cast(pa.large_string())
    except pa.ArrowInvalid:  # no UTF-8
        return column


def _records(file: pathlib.Path, columns: Sequence[str], total: int) -> Iterator[dict[str, Any]]:
    batches = parquet_files.batches(file, "posts (.parquet)", lambda _: columns, stream.BLOCK_SIZE, WorkError)
    for batch in progress(batches, total=total, label=file.name, unit="blocks"):
        with damage.named(file, "cannot be read", WorkError):
            # All cells at once: batch.to_pylist() would look every column up again for every row.
            cells = [_as_text(column).to_pylist() for column in batch.columns]
        for values in zip(*cells, strict=True):
            yield dict(zip(batch.schema.names, values, strict=True))
