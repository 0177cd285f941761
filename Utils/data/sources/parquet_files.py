"""Posts in Parquet files whose columns have the names of Danbooru's fields."""

import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

from Utils.command.cli import WorkError, progress
from Utils.data.sources import danbooru_post, source_files, stream
from Utils.data.sources.disk_sorter import DiskSorter
from Utils.data.sources.stream import Source
from Utils.files.atomic import AnyPath


def read_parquet(path: AnyPath) -> Source:
    """Read a Parquet file, or all below a folder, batch by batch.

    Columns as in `danbooru_post`: id, tags in any of their forms (texts or lists), rating, md5, is_deleted
    and its like; others are not read.

    Raises UserError where files or columns are missing, WorkError where a file cannot be read.
    """
    path, sorter = pathlib.Path(path), DiskSorter()
    for file in find_files(path):
        try:
            with pq.ParquetFile(file) as opened:
                _add_posts(sorter, file, opened)
        except (pa.ArrowException, OSError) as error:
            raise WorkError(f"{file} cannot be read: {error}") from error
    return sorter.finish("parquet", path)


def find_files(path: pathlib.Path) -> list[pathlib.Path]:
    """Return the Parquet files at or below a path; UserError without any."""
    return source_files.find_files(path, (".parquet",), "a Parquet file")


def _add_posts(sorter: DiskSorter, file: pathlib.Path, opened: pq.ParquetFile) -> None:
    fields = danbooru_post.select_fields(opened.schema_arrow.names, str(file))
    batches = opened.iter_batches(batch_size=stream.BLOCK_SIZE, columns=fields)
    total = -(-opened.metadata.num_rows // stream.BLOCK_SIZE)
    row = 0
    for batch in progress(batches, total=total, label=file.name, unit="blocks"):
        # All cells of a batch at once: batch.to_pylist() would look every column up again for every row.
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            sorter.add_record(dict(zip(batch.schema.names, values, strict=True)), f"{file.name}, row {row}")
            row += 1
