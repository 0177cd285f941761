"""Writes decisions into copies of files of posts: JSON in any form that is read, and Parquet."""

import codecs
import contextlib
import functools
import gzip
import io
import itertools
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from Utils.command.cli import UserError
from Utils.data.danbooru_fields import FieldError
from Utils.data.sources import danbooru_post, json_lines, parquet_files
from Utils.files import compressed, damage, json_format, parquet_members, strict_json
from Utils.files.atomic import replacing
from Utils.files.output_folders import FolderKind, replacing_folder
from Utils.files.ranges import RangeReader
from Utils.images import image_folder, picture_index
from Utils.labels import record_edits
from Utils.labels.corrected_sidecars import Corrections, Verdicts, by_post

COPIES = FolderKind("a folder of corrected copies", ())
_ROWS, _BATCH_BYTES = 8192, 1 << 26  # of a Parquet file at a time
_UTF_16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}  # which keep the mark
_LINES_LOOKED_AT = 11  # for a record in a line of its own


class Pictures:
    """The ids of the pictures of a place, which is looked through when the first is asked for."""

    def __init__(self, place: str) -> None:
        self._place = place

    @functools.cached_property
    def _named(self) -> picture_index.NamedPictures:
        return picture_index.NamedPictures(self._place)

    def id_of(self, name: str) -> int:
        """Return the id of the picture that a record names; -1 without one."""
        return self._named.ids([name])[0]


class _Corrector:
    """Edits records of posts and counts what changes.

    Args:
        verdicts: of all posts.
        folder: of the records' file in its place.
        pictures: gives the ids of pictures by their names; None where their place is not known.
    """

    def __init__(self, verdicts: Verdicts, folder: str, pictures: "Pictures | None") -> None:
        self._folder, self._pictures = folder, pictures
        self._of_post = by_post(verdicts)
        self.corrections = Corrections()

    def edited(self, record: Any, key: str = "", member: str = "") -> Any:
        """Return a record with the verdicts on its post; the same object where nothing changes.

        ``key`` is that of a record among others, ``member`` the path in its place of a picture that it holds.
        """
        for post in self._posts_of(record, key, member):
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

    def _posts_of(self, record: Any, key: str, member: str) -> list[int]:
        """Return the ids that a record's post may have: its own, or those that its file's name gives."""
        try:
            folder = "" if member else self._folder
            post = danbooru_post.parse_post(record, name=key or member, folder=folder)
        except FieldError:
            return []
        if post.post_id >= 0:
            return [post.post_id]
        name = member or post.name
        ids = [image_folder.post_id(name), image_folder.path_id(name)]
        if self._pictures is not None and self._of_post.keys().isdisjoint(ids):
            ids.append(self._pictures.id_of(name))
        return ids


def correct_json(
    source: pathlib.Path,
    target: pathlib.Path,
    verdicts: Verdicts,
    relative: str = "",
    pictures: Pictures | None = None,
) -> Corrections:
    """Write a corrected copy of a file of posts as JSON; lines and formats stay as they are.

    ``relative`` is its path in its place, to whose folder names of files in it are relative. A copy that is
    called ``.gz`` is compressed. Raises UserError where the file holds no posts, and where a record that
    changes has what would be lost (`strict_json`).
    """
    corrector = _Corrector(verdicts, relative.rpartition("/")[0], pictures)
    if not json_lines.holds_posts(source):
        raise UserError(
            f"{source} holds no posts as JSON; decisions are written into JSON, Parquet (--parquet), "
            "captions (--images) and databases (--db), not into CSV"
        )
    with compressed.opened(source) as stream, replacing(target) as temporary:
        encoding = _UTF_16.get(stream.peek(2)[:2], "utf-8")
        texts = io.TextIOWrapper(stream, encoding=encoding, newline="")  # pyright: ignore[reportArgumentType]
        with _writer(temporary, target) as output:
            for text in _corrected(texts, source, corrector):
                output.write(text.encode(encoding))
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
    has_answers = _are_answers(head)
    if has_answers or any(_record_in(line) is not None for line in head):
        correct = _corrected_answer if has_answers else _corrected_line
        for number, line in enumerate(itertools.chain(head, lines), 1):
            with damage.named(f"{source}, line {number}", "cannot be rewritten"):
                corrected = correct(line, corrector)
            yield corrected
        return
    whole = "".join([*head, *lines])
    text = whole.removeprefix("\ufeff")
    with damage.named(source, "is no JSON"):
        value = json.loads(text)
    corrected = _in_value(value, corrector)
    if corrected == value:
        yield whole
        return
    with damage.named(source, "cannot be rewritten"):
        strict_json.loads(text)
    yield whole[: len(whole) - len(text)] + json_format.like(text, corrected)


def _body_of(line: str) -> str:
    return line.strip().removeprefix("\ufeff").removesuffix(",")


def _value_in(line: str) -> Any:
    """Return the value of a line, maybe with the comma of an array behind it; None for other lines."""
    try:
        return json.loads(_body_of(line))
    except (ValueError, RecursionError):
        return None


def _record_in(line: str) -> dict[str, Any] | None:
    """Return the record of a line, None for other lines."""
    value = _value_in(line)
    return value if isinstance(value, dict) and danbooru_post.is_post(value) else None


def _are_answers(lines: Sequence[str]) -> bool:
    """Whether each of several lines is an array, or an object that is no post: answers with posts in them."""
    values = [_value_in(line) for line in lines if line.strip()]
    return len(values) > 1 and all(
        isinstance(value, list) or (isinstance(value, dict) and not danbooru_post.is_post(value))
        for value in values
    )


def _corrected_line(line: str, corrector: _Corrector) -> str:
    record = _record_in(line)
    edited = corrector.edited(record) if record is not None else None
    return line if edited is None or edited is record else _rewritten(line, edited)


def _corrected_answer(line: str, corrector: _Corrector) -> str:
    value = _value_in(line)
    edited = _in_value(value, corrector)
    return line if edited == value else _rewritten(line, edited)


def _rewritten(line: str, value: Any) -> str:
    """Return a line with another value, in its format; ValueError where something would be lost."""
    body = _body_of(line)
    strict_json.loads(body)
    return line.replace(body, json_format.like(body, value), 1)


def _in_value(value: Any, corrector: _Corrector) -> Any:
    """Return a JSON value with the records in it corrected: an array, an object by id, or what holds one."""
    if isinstance(value, list):
        # Arrays in it are pages of answers, or messages of gallery-dl.
        return [
            corrector.edited(item) if isinstance(item, dict) else _in_value(item, corrector) for item in value
        ]
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
    source: pathlib.Path,
    target: pathlib.Path,
    verdicts: Verdicts,
    relative: str = "",
    pictures: Pictures | None = None,
) -> Corrections:
    """Write a corrected copy of a Parquet file of posts: same columns, types, row order and compression.

    ``relative`` is its path in its place, "" for the place itself: pictures in its rows are named by it, as
    `read_parquet` names them, and names of files are relative to its folder.
    """
    corrector = _Corrector(verdicts, relative.rpartition("/")[0], pictures)
    with (
        damage.named(source, "is damaged or no Parquet file"),
        pq.ParquetFile(source, page_checksum_verification=True) as parquet,
    ):
        schema, reader = parquet.schema_arrow, RangeReader(str(source))
        images = parquet_members.image_column(reader)
        fields = parquet_files.fields_of_posts(schema.names, images, source)
        members = (image_folder.join(relative, member.name) for member in parquet_members.scan(reader))
        names = members if images else itertools.repeat("")
        how = {"compression": _compression(parquet), "use_dictionary": _with_dictionary(schema, images)}
        with replacing(target) as temporary, pq.ParquetWriter(temporary, schema, **how) as writer:
            for batch in parquet.iter_batches(_rows_at_once(parquet)):
                writer.write_batch(_corrected_batch(batch, fields, names, corrector))
    return corrector.corrections


def _rows_at_once(parquet: pq.ParquetFile) -> int:
    """Return how many rows are held in memory: fewer where they hold pictures."""
    metadata = parquet.metadata
    size = sum(metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups))
    return max(1, min(_ROWS, _BATCH_BYTES * metadata.num_rows // max(1, size)))


def _with_dictionary(schema: pa.Schema, pictures: str | None) -> Any:
    """Return the columns that are written with a dictionary; pictures, which all differ, without."""
    return True if pictures is None else [name for name in schema.names if name != pictures]


def _compression(parquet: pq.ParquetFile) -> str:
    has_rows = parquet.metadata.num_row_groups and parquet.metadata.num_columns
    name = parquet.metadata.row_group(0).column(0).compression if has_rows else "SNAPPY"
    return "NONE" if name == "UNCOMPRESSED" else name


def _corrected_batch(
    batch: pa.RecordBatch, fields: Sequence[str], names: Iterator[str], corrector: _Corrector
) -> pa.RecordBatch:
    """Return a batch with the records in ``fields`` corrected; names: of the pictures in the rows, or ""."""
    columns = [batch.column(name).to_pylist() for name in fields]
    before = [dict(zip(fields, values, strict=True)) for values in zip(*columns, strict=True)]
    after = [corrector.edited(record, member=next(names)) for record in before]
    if all(new is old for new, old in zip(after, before, strict=True)):
        return batch
    arrays = [
        pa.array([record[field.name] for record in after], field.type) if field.name in fields else column
        for field, column in zip(batch.schema, batch.columns, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=batch.schema)


Writer = Callable[[pathlib.Path, pathlib.Path, Verdicts, str, Pictures | None], Corrections]
_HOLD_POSTS: dict[Writer, Callable[[pathlib.Path], bool | None]] = {
    correct_json: json_lines.holds_posts,
    correct_parquet: parquet_files.holds_posts,
}


def correct_files(
    sources: Sequence[pathlib.Path],
    root: pathlib.Path,
    output: pathlib.Path,
    verdicts: Verdicts,
    write: Writer,
    pictures: Pictures | None = None,
) -> Corrections:
    """Write corrected copies of several files and return what changed in all of them.

    Args:
        sources: files below ``root``, or that file itself.
        root: what the user named.
        output: the file, or the folder, to write; a folder is there when all its files are.
        verdicts: of all posts.
        write: `correct_json` or `correct_parquet`. Files of a folder that hold no posts, which the sources
            pass by, too, are copied as they are.
        pictures: of the posts, for records that have no id and name their files otherwise than their place.

    Raises UserError where no file holds posts.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    total = Corrections()
    with replacing_folder(output, COPIES) if root.is_dir() else contextlib.nullcontext(output) as place:
        for source in sources:
            target = place if source == root else place / source.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            if len(sources) > 1 and not _HOLD_POSTS[write](source):
                shutil.copyfile(source, target)
                total.copied.append(source.name)
                continue
            relative = "" if source == root else source.relative_to(root).as_posix()
            part = write(source, target, verdicts, relative, pictures)
            total.added += part.added
            total.removed += part.removed
            total.changed += part.changed
            total.posts |= part.posts
        if len(total.copied) == len(sources):
            raise UserError(f"none of the {len(sources)} files of {root} holds posts")
    return total
