"""Posts in CSV tables: e621's exports ``posts-*.csv.gz``, tag_images' tables, others with an id and tags."""

import pathlib
import re
from collections.abc import Collection, Iterator
from typing import Any

from Utils.command.cli import UserError, progress
from Utils.data.sources import danbooru_post, source_files
from Utils.data.sources.disk_sorter import DiskSorter
from Utils.data.sources.stream import Source
from Utils.files import compressed
from Utils.files.atomic import AnyPath, to_path
from Utils.files.csv_stream import CsvStream
from Utils.images import image_folder
from Utils.images.place import Place

SUFFIXES = (".csv", ".tsv", *compressed.SUFFIXES)
_EXPORT = re.compile(r"posts-(\d{4}-\d\d-\d\d)\.csv")
TAG_EXPORTS = {
    "tags": "tags-*.csv*",
    "aliases": "tag_aliases-*.csv*",
    "implications": "tag_implications-*.csv*",
}
PREDICTION_COLUMNS = ("path", "category", "name", "probability")  # of tag_images: a row for every tag
_LAYOUT_FIELDS = ("locked_tags",)  # not read, but they tell whose export it is


def read_e621(path: AnyPath, images: Place | AnyPath | None = None) -> Source:
    """Read a table of posts, or those in a folder: of several dated exports the newest.

    Columns as in `danbooru_post`. Deleted posts have that status. Categories are in another table
    (``--tags tags-*.csv.gz``), so that all tags are general here. Rows with more or fewer cells than the
    first line, or in another encoding than UTF-8 or UTF-16, are listed as rejected.

    Raises UserError where there is no such table, WorkError where one cannot be read to its end.
    """
    path, sorter = to_path(path), DiskSorter(images=images)
    files, others = find_files(path)
    sorter.note_files([file.name for file in others], "passed by, of older exports or no posts")
    for file in files:
        table, folder = CsvStream(file), source_files.folder_of(file, path)
        for line, record in progress(_records(table), label=file.name, unit="posts"):
            place = f"{file.name}, line {line}"
            if isinstance(record, str):
                sorter.reject(-1, place, record)
            else:
                sorter.add_record(record, place, folder=folder)
    beside = [name for name in TAG_EXPORTS if path.is_dir() and any(path.glob(TAG_EXPORTS[name]))]
    if "tags" in beside:
        sorter.note(f"{path} holds the tags' categories: --tags {path} reads {' and '.join(beside)}")
    return sorter.finish("e621", path)


def _records(table: CsvStream) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield ``(line, record of a post)``, with the reason for a row that cannot be read."""
    if are_predictions(table.columns):
        yield from _predicted(table)
        return
    columns = danbooru_post.select_fields(table.columns, str(table.path))
    columns += [name for name in _LAYOUT_FIELDS if name in table.columns]
    for line, cells in table.rows(columns):
        yield line, cells if isinstance(cells, str) else dict(zip(columns, cells, strict=True))


def are_predictions(columns: Collection[str]) -> bool:
    """Whether a table with these columns is one that tag_images wrote."""
    return set(columns) == set(PREDICTION_COLUMNS)


def _predicted(table: CsvStream) -> Iterator[tuple[int, dict[str, Any] | str]]:
    """Yield the records of tag_images' table, each of the rows in a run that are of one picture.

    Raises UserError where rows of a picture are apart, as in a table that was sorted by another column.
    """
    seen: set[int] = set()  # in 8 bytes a picture
    record, first_line = {}, 0
    for line, cells in table.rows(PREDICTION_COLUMNS):
        if isinstance(cells, str):
            yield line, cells
            continue
        path, category, name, _ = cells
        if path != record.get("path"):
            if record:
                yield first_line, record
            if (key := image_folder.path_id(path)) in seen:
                raise UserError(
                    f"{table.path}, line {line}: rows of {path} are in several places; sort the table by path"
                )
            seen.add(key)
            record, first_line = {"path": path, "rating": None, "tags": {}}, line
        if category == "rating":
            record["rating"] = name
        else:
            record["tags"].setdefault(category, []).append(name)
    if record:
        yield first_line, record


def find_files(path: pathlib.Path) -> tuple[list[pathlib.Path], list[pathlib.Path]]:
    """Return ``(tables of posts, others that are passed by)`` at or below a path; UserError without any."""
    files = source_files.find_files(path, SUFFIXES, "a table of posts (posts-*.csv.gz)")
    dates = {file: match[1] for file in files if (match := _EXPORT.match(file.name))}
    if dates:
        newest = [file for file, date in dates.items() if date == max(dates.values())]
        return newest, [file for file in dates if file not in newest]
    posts = [file for file in files if file == path or _is_of_posts(file)]  # one named alone tells its fault
    if not posts:
        raise UserError(f"none of {len(files)} tables in {path} has an id or a file's name, and tags")
    return posts, [file for file in files if file not in posts]


def _is_of_posts(file: pathlib.Path) -> bool:
    try:
        columns = CsvStream(file).columns
    except UserError:  # it is empty, or has a column twice
        return False
    return danbooru_post.is_post(dict.fromkeys(columns))
