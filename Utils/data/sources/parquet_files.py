"""Posts in Parquet files whose columns have the names of Danbooru's fields."""

import pathlib

from Utils.command.cli import WorkError, progress
from Utils.data.sources import danbooru_post, source_files, stream
from Utils.data.sources.disk_sorter import DiskSorter
from Utils.data.sources.stream import Source
from Utils.files import damage, parquet_files
from Utils.files.atomic import AnyPath


def read_parquet(path: AnyPath) -> Source:
    """Read a Parquet file, or all below a folder, batch by batch.

    Columns as in `danbooru_post`: id, tags in any of their forms (texts or lists), rating, md5, is_deleted
    and its like; others are not read.

    Raises UserError where files or columns are missing, WorkError where a file cannot be read.
    """
    path, sorter = pathlib.Path(path), DiskSorter()
    for file in find_files(path):
        _add_posts(sorter, file)
    return sorter.finish("parquet", path)


def find_files(path: pathlib.Path) -> list[pathlib.Path]:
    """Return the Parquet files at or below a path; UserError without any."""
    return source_files.find_files(path, (".parquet",), "a Parquet file")


def _add_posts(sorter: DiskSorter, file: pathlib.Path) -> None:
    def fields(names: list[str]) -> list[str]:
        return danbooru_post.select_fields(names, str(file))

    batches = parquet_files.batches(file, "posts (.parquet)", fields, stream.BLOCK_SIZE, WorkError)
    total = -(-parquet_files.num_rows(file, WorkError) // stream.BLOCK_SIZE)
    row = 0
    for batch in progress(batches, total=total, label=file.name, unit="blocks"):
        with damage.named(file, "cannot be read", WorkError):
            # All cells at once: batch.to_pylist() would look every column up again for every row.
            columns = [column.to_pylist() for column in batch.columns]
        for values in zip(*columns, strict=True):
            sorter.add_record(dict(zip(batch.schema.names, values, strict=True)), f"{file.name}, row {row}")
            row += 1
