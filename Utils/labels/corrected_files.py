"""Writes decisions into copies of files of posts: JSON in any form that is read, and Parquet."""

import contextlib
import gzip
import io
import itertools
import json
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from Utils.command.cli import UserError
from Utils.data.danbooru_fields import FieldError
from Utils.data.sources import danbooru_post, json_lines, source_files
from Utils.files import compressed, damage, json_format
from Utils.files.atomic import replacing
from Utils.files.outputs import FolderKind, replacing_folder
from Utils.images import image_folder
from Utils.labels import record_edits
from Utils.labels.corrected_sidecars import Corrections, Verdicts

COPIES = FolderKind("a folder of corrected copies", ())
_ROWS = 8192  # of a Parquet file at a time
_LINES_LOOKED_AT = 11  # for a record in a line of its own


class _Corrector:
    """Edits records of posts and counts what changes."""

    def __init__(self, verdicts: Verdicts, folder: str = "") -> None:
        self._folder = folder
        self._of_post: dict[int, dict[str, bool]] = {}
        for (post, _), (name, has_tag) in verdicts.items():
            self._of_post.setdefault(post, {})[name] = has_tag
        self.corrections = Corrections()

    def edited(self, record: Any, key: str = "") -> Any:
        """Return a record with the verdicts on its post; the same object where nothing changes."""
        for post in self._posts_of(record, key):
            of_tag = self._of_post.get(post)
            if of_tag is None:
                continue
            self.corrections.posts.add(post)
            present = record_edits.fields_of(record)
            add = {name: None for name, has_tag in of_tag.items() if has_tag and name not in present}
            remove = [name for name, has_tag in of_tag.items() if not has_tag and name in present]
            if add or remove:
                self.corrections.added += len(add)
                self.corrections.removed += len(remove)
                self.corrections.changed.append(str(post))
                return record_edits.edit(record, add, remove)
        return record

    def _posts_of(self, record: Any, key: str) -> list[int]:
        """Return the ids that a record's post may have: its own, or those that its file's name gives."""
        try:
            post = danbooru_post.parse_post(record, name=key, folder=self._folder)
        except FieldError:
            return []
        if post.post_id >= 0:
            return [post.post_id]
        return [image_folder.post_id(post.name), image_folder.path_id(post.name)]


def correct_json(
    source: pathlib.Path, target: pathlib.Path, verdicts: Verdicts, folder: str = ""
) -> Corrections:
    """Write a corrected copy of a file of posts as JSON; lines and formats stay as they are.

    Names of files in it are relative to ``folder`` of their place. A copy whose name ends in ``.gz`` is
    compressed. Raises UserError where the file holds no posts.
    """
    corrector = _Corrector(verdicts, folder)
    if next(json_lines.read_records(source), None) is None:
        raise UserError(f"{source} holds no posts as JSON")
    with compressed.opened(source) as stream, replacing(target) as temporary:
        texts = io.TextIOWrapper(stream, encoding="utf-8", newline="")  # pyright: ignore[reportArgumentType]
        with _writer(temporary, target) as output:
            for text in _corrected(texts, source, corrector):
                output.write(text.encode("utf-8"))
    return corrector.corrections


@contextlib.contextmanager
def _writer(path: pathlib.Path, target: pathlib.Path) -> Iterator[Any]:
    """Yield what writes bytes to ``path``, compressed where ``target`` is called so."""
    with path.open("wb") as file:
        if target.suffix != ".gz":
            yield file
            return
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", mtime=0) as packed:
            yield packed


def _corrected(texts: Any, source: pathlib.Path, corrector: _Corrector) -> Iterator[str]:
    """Yield the text of the copy: line by line where a line is a record, else as one value."""
    lines = damage.iterate(texts, source, "cannot be read as JSON")
    head = list(itertools.islice(lines, _LINES_LOOKED_AT))
    if any(_record_in(line) is not None for line in head):
        yield from (_corrected_line(line, corrector) for line in itertools.chain(head, lines))
        return
    text = "".join([*head, *lines])
    with damage.named(source, "is no JSON"):
        value = json.loads(text.removeprefix("\ufeff"))
    corrected = _in_value(value, corrector)
    yield text if corrected == value else json_format.like(text, corrected)


def _record_in(line: str) -> dict[str, Any] | None:
    """Return the record of a line, maybe with the comma of an array behind it; None for other lines."""
    try:
        value = json.loads(line.strip().removeprefix("\ufeff").removesuffix(","))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) and danbooru_post.is_post(value) else None


def _corrected_line(line: str, corrector: _Corrector) -> str:
    record = _record_in(line)
    edited = corrector.edited(record) if record is not None else None
    if edited is None or edited is record:
        return line
    body = line.strip().removeprefix("\ufeff").removesuffix(",")
    return line.replace(body, json_format.like(body, edited), 1)


def _in_value(value: Any, corrector: _Corrector) -> Any:
    """Return a JSON value with the records in it corrected: an array, an object by id, or what holds one."""
    if isinstance(value, list):
        return [corrector.edited(item) if isinstance(item, dict) else item for item in value]
    if isinstance(value, dict) and danbooru_post.is_post(value):
        return corrector.edited(value)
    if isinstance(value, dict):
        return {
            key: corrector.edited(item, key) if _is_post(key, item) else _in_value(item, corrector)
            for key, item in value.items()
        }
    return value


def _is_post(key: str, value: Any) -> bool:
    return isinstance(value, dict) and danbooru_post.is_post({"file_name": key} | value)


def correct_parquet(
    source: pathlib.Path, target: pathlib.Path, verdicts: Verdicts, folder: str = ""
) -> Corrections:
    """Write a corrected copy of a Parquet file of posts: same columns, types, row order and compression.

    Names of files in it are relative to ``folder`` of their place.
    """
    corrector = _Corrector(verdicts, folder)
    with damage.named(source, "is damaged or no Parquet file"), pq.ParquetFile(source) as parquet:
        schema = parquet.schema_arrow
        danbooru_post.select_fields(schema.names, str(source))
        compression = _compression(parquet)
        with (
            replacing(target) as temporary,
            pq.ParquetWriter(temporary, schema, compression=compression) as writer,
        ):
            for batch in parquet.iter_batches(_ROWS):
                writer.write_batch(_corrected_batch(batch, corrector))
    return corrector.corrections


def _compression(parquet: pq.ParquetFile) -> str:
    has_rows = parquet.metadata.num_row_groups and parquet.metadata.num_columns
    name = parquet.metadata.row_group(0).column(0).compression if has_rows else "SNAPPY"
    return "NONE" if name == "UNCOMPRESSED" else name


def _corrected_batch(batch: pa.RecordBatch, corrector: _Corrector) -> pa.RecordBatch:
    names = danbooru_post.select_fields(batch.schema.names, "the table")
    columns = {name: batch.column(name).to_pylist() for name in names}
    before = [dict(zip(names, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    after = [corrector.edited(record) for record in before]
    if all(new is old for new, old in zip(after, before, strict=True)):
        return batch
    arrays = [
        pa.array([record[field.name] for record in after], field.type) if field.name in names else column
        for field, column in zip(batch.schema, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)


Writer = Callable[[pathlib.Path, pathlib.Path, Verdicts, str], Corrections]


def correct_files(
    sources: Sequence[pathlib.Path],
    root: pathlib.Path,
    output: pathlib.Path,
    verdicts: Verdicts,
    write: Writer,
) -> Corrections:
    """Write corrected copies of several files and return what changed in all of them.

    Args:
        sources: files below ``root``, or that file itself.
        root: what the user named.
        output: the file, or the folder, to write; a folder is there when all its files are.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    total = Corrections()
    with replacing_folder(output, COPIES) if root.is_dir() else contextlib.nullcontext(output) as place:
        for source in sources:
            target = place if source == root else place / source.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            part = write(source, target, verdicts, source_files.folder_of(source, root))
            total.added += part.added
            total.removed += part.removed
            total.changed += part.changed
            total.posts |= part.posts
    return total
