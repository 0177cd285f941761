"""Posts in Parquet files whose columns have the names of Danbooru's fields."""

import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

from Utils.command.cli import UserError, WorkError, progress
from Utils.data.sources import danbooru_post, stream
from Utils.data.sources.danbooru_post import BY_CATEGORY, FIELDS, TRUTHS, FieldError
from Utils.data.sources.disk_sorter import Spool


def parquet(path):
    """Read a Parquet file, or all of a folder, batch by batch.

    Columns as in `danbooru_fields`: id, tags in any of their forms (texts or lists), rating, md5, is_deleted
    and its fellows; others are not read. Without a rating column posts pass the rating rule.
    """
    path, spool, rated = pathlib.Path(path), Spool(), False
    for file in files_of(path):
        try:
            with pq.ParquetFile(file) as opened:
                names = _columns(file, opened.schema_arrow.names)
                rated = rated or "rating" in names
                _add(spool, file, opened, names)
        except (pa.ArrowException, OSError) as error:
            raise WorkError(f"{file} cannot be read: {error}") from error
    return spool.finish("parquet", path, keep_unrated=not rated)


def files_of(path):
    """Return the Parquet files: the path itself, or those of a folder, below it too, by name."""
    if path.is_file():
        return [path]
    found = sorted(file for file in path.rglob("*.parquet") if file.is_file()) if path.is_dir() else []
    if not found:
        there = "a folder without any" if path.is_dir() else "nothing"
        raise UserError(f"a Parquet file or a folder of .parquet files was expected at {path}; found {there}")
    return found


def _columns(file, there):
    names = [name for name in (*FIELDS, *TRUTHS.values()) if name in there]
    if "id" not in names or not {"tag_string", "tags", *(name for name, _ in BY_CATEGORY)} & set(names):
        raise UserError(
            f"{file} needs a column id and one of tag_string, tag_string_general, tags; "
            f"it has {', '.join(there)}"
        )
    return names


def _add(spool, file, opened, names):
    batches = opened.iter_batches(batch_size=stream.BLOCK, columns=names)
    total = -(-opened.metadata.num_rows // stream.BLOCK)
    row = 0
    for batch in progress(batches, total=total, label=file.name, unit="block"):
        for values in zip(*(column.to_pylist() for column in batch.columns), strict=True):
            try:
                spool.add(danbooru_post.post_of(dict(zip(batch.schema.names, values, strict=True))))
            except FieldError as error:
                spool.reject(error.post_id, f"{file.name}, row {row}", str(error))
            row += 1
