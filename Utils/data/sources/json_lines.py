"""Posts as JSON: one a line, or an array, an object by id, an interface's answer; compressed or not.

Gwern's releases, exports, saved answers of boorus' interfaces, ``metadata.jsonl`` of Hugging Face's data
sets, kohya's ``meta_*.json``.
"""

import codecs
import io
import itertools
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

from Utils.command.cli import UserError, WorkError, progress
from Utils.command.text import counted, join_names
from Utils.data.sources import danbooru_post, json_stream, source_files
from Utils.data.sources.disk_sorter import DiskSorter
from Utils.data.sources.stream import Source
from Utils.files import compressed, damage, strict_json
from Utils.files.atomic import AnyPath, to_path
from Utils.images.place import Place

SUFFIXES = (".json", ".jsonl", ".ndjson", *compressed.SUFFIXES, "")

_MAX_LINE = 2**24  # bytes; a post has a few thousand
_HEAD = 2**18  # bytes from which the form of a file is told
_LINES_LOOKED_AT = 10
_MOST_NAMED = 8  # fields, in an error
_MAX_BAD_LINES = 100  # lines without a post before the first post, after which a file is refused
_SPACE = b" \t\r\n\x1e"  # with the record separator of RFC 7464
_FAULT = "cannot be read to its end"

Record = tuple[str, str, Any]  # place for messages, key in an object of records or "", value


def read_json_lines(path: AnyPath, images: Place | AnyPath | None = None) -> Source:
    """Read a file of posts as JSON, or every such file below a folder, in any of the forms above.

    Fields are those of `danbooru_post`. What is no post is listed as rejected; a file whose first object is
    none (an export of tags) is skipped and said. Counts are numbers of posts.

    Raises UserError where there are no posts, WorkError where a file cannot be read to its end.
    """
    path, sorter = to_path(path), DiskSorter(images=images)
    files, skipped = find_files(path), []
    for file in files:
        before, folder = len(sorter) + sorter.num_rejected, source_files.folder_of(file, path)
        for place, key, record in progress(read_records(file, file == path), label=file.name, unit="records"):
            reason = sorter.add_record(record, place, key, folder=folder)
            # Not a file of posts at all: a CSV of gigabytes must not be read to its end to find that out.
            if reason and not len(sorter) and sorter.num_rejected > _MAX_BAD_LINES:
                raise UserError(f"{file} holds no posts: {place}: {reason}")
        if before == len(sorter) + sorter.num_rejected:
            skipped.append(file.name)
    if not len(sorter):
        reasons = "; ".join(f"{place}: {reason}" for _, place, reason in sorter.rejected[:3])
        raise UserError(
            f"no post in {counted(len(files), 'file')} of {path}; needed are JSON objects, one a line, in an "
            "array, or by their id or file, each with an id or a file_name and tags as Danbooru, gallery-dl, "
            f"Gelbooru, e621, Hugging Face or kohya name them. {reasons or _what_files_have(files)}"
        )
    sorter.note_files(skipped, "passed by, without posts")
    return sorter.finish("jsonl", path)


def _what_files_have(files: list[pathlib.Path]) -> str:
    """Return what the first object of files without posts has, and lacks."""
    for file in files:
        if fields := first_fields(file):
            named = join_names(fields, _MOST_NAMED)
            return f"{file.name} has records with {named}: {danbooru_post.lacks(fields) or 'no post below'}"
    return "None has both"


def find_files(path: pathlib.Path) -> list[pathlib.Path]:
    """Return the files of posts at or below a path, without indexes of archives; UserError without any."""
    files = source_files.find_files(path, SUFFIXES, "a file of JSON lines")
    return [file for file in files if file == path or not is_index(file)]


def is_index(file: pathlib.Path) -> bool:
    """Whether a JSON beside an archive of its name says where the archive's members are."""
    is_beside = any(file.with_suffix(suffix).is_file() for suffix in (".tar", ".zip"))
    return is_beside and file.suffix == ".json" and b'"offset"' in compressed.head(file, _HEAD)


def read_records(file: pathlib.Path, is_named: bool = True) -> Iterator[Record]:
    """Yield the records of a file, with None where a line is not JSON; nothing for a file without posts.

    Predictions of tag_images are posts only in a file that the user named (``is_named``): in a folder they
    lie beside what the pictures' own tags are read from.

    Raises WorkError where the file is cut off or damaged: only a line can be left out alone.
    """
    is_first = True
    for place, key, value in read_values(file, danbooru_post.has_tags):
        if is_first and isinstance(value, dict) and not _is_post(key, value, is_named):
            return
        is_first = False
        yield place, key, value


def holds_posts(file: pathlib.Path) -> bool | None:
    """Whether a file is of posts, by its first object; None where no object is among its first records.

    Predictions of tag_images are none.

    Raises WorkError where it cannot be read.
    """
    records = [
        value for _, _, value in itertools.islice(read_records(file, is_named=False), _LINES_LOOKED_AT)
    ]
    if any(isinstance(value, dict) for value in records):
        return True
    return None if records else False


def first_fields(file: pathlib.Path) -> list[str]:
    """Return the fields of the first object of a file, [] where none is among its first records.

    Raises WorkError where it cannot be read.
    """
    values = itertools.islice(read_values(file, danbooru_post.has_tags), _LINES_LOOKED_AT)
    return next((list(value) for _, _, value in values if isinstance(value, dict)), [])


def read_values(
    file: pathlib.Path,
    is_record: Callable[[dict[str, Any]], bool],
    error_type: type[Exception] = WorkError,
) -> Iterator[Record]:
    """Yield the records of a JSON file in any form, of whatever they are.

    Args:
        is_record: as `json_stream.records` takes it.
        error_type: raised where the file is cut off or damaged.
    """
    head = as_utf8(compressed.head(file, _HEAD, error_type))
    if _is_one_a_line(head):
        return _records_of_lines(file, error_type)
    return _records_of_values(file, is_record, error_type)


def _is_post(key: str, record: dict[str, Any], is_named: bool) -> bool:
    """Whether a record is a post; its key may be its id or its file."""
    if not is_named and danbooru_post.is_prediction(record):
        return False
    return danbooru_post.is_post({"file_name": key} | record if key else record)


def as_utf8(data: bytes) -> bytes:
    """Return the start of a text as UTF-8 without a byte order mark."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data[: len(data) // 2 * 2].decode("utf-16", "replace").encode()
    return data.removeprefix(codecs.BOM_UTF8)


def _is_one_a_line(head: bytes) -> bool:
    """Whether a file that begins so has a record in each of several lines, maybe between ``[`` and ``]``."""
    if not head.lstrip().startswith((b"{", b"[")):
        return True  # no JSON: the error is told by line
    lines = [line for line in head.split(b"\n") if line.strip()][: _LINES_LOOKED_AT + 1]
    values = [_parse(_record_text(line)) for line in lines]
    has_records = any(
        isinstance(value, dict) and value for value in values
    )  # {} may stand in an indented one
    return len(lines) > 1 and has_records and not _is_answer(values[0])


def _is_answer(value: Any) -> bool:
    """Whether a value is an interface's answer, with its posts below a key: one a line, as curl adds them."""
    keys = json_stream.LIST_KEYS
    return (
        isinstance(value, dict)
        and not danbooru_post.has_tags(value)
        and any(isinstance(value.get(key), (list, dict)) for key in keys)
    )


def _record_text(line: bytes) -> bytes:
    return line.strip(_SPACE).removesuffix(b",")


def _parse(line: bytes) -> Any:
    try:
        return strict_json.loads_unique(line.decode("utf-8"))  # bytes could be taken for UTF-16
    except (ValueError, RecursionError):  # no JSON, no UTF-8, a name twice, or nested too deep
        return None


def _records_of_lines(file: pathlib.Path, error_type: type[Exception]) -> Iterator[Record]:
    for number, line in enumerate(_read_lines(file, error_type), 1):
        line = _record_text(line)
        if line not in (b"", b"[", b"]"):
            yield f"{file.name}, line {number}", "", _parse(line)


def _read_lines(file: pathlib.Path, error_type: type[Exception]) -> Iterator[bytes]:
    """Yield the lines of a file as UTF-8; one above _MAX_LINE is replaced by invalid JSON."""
    with compressed.opened(file, error_type) as stream:
        encoding = _encoding(stream)
        is_utf8 = encoding == "utf-8-sig"
        readline = stream.readline if is_utf8 else _encoded(io.TextIOWrapper(stream, encoding).readline)
        line = readline(_MAX_LINE + 1).removeprefix(codecs.BOM_UTF8)
        while line:
            if len(line) > _MAX_LINE:
                while not line.endswith(b"\n") and line:
                    line = readline(_MAX_LINE)
                line = b"too long\n"
            yield line
            line = readline(_MAX_LINE + 1)


def _encoding(stream: Any) -> str:
    """Return the encoding that the first bytes of a stream tell."""
    is_utf16 = stream.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    return "utf-16" if is_utf16 else "utf-8-sig"


def _encoded(readline: Callable[[int], str]) -> Callable[[int], bytes]:
    return lambda size: readline(size).encode("utf-8", "surrogatepass")


def _records_of_values(
    file: pathlib.Path, is_record: Callable[[dict[str, Any]], bool], error_type: type[Exception]
) -> Iterator[Record]:
    with compressed.opened(file, error_type) as stream:
        decoded = io.TextIOWrapper(stream, _encoding(stream))
        text = json_stream.JsonText(decoded.read)
        records = json_stream.records(text, is_record)
        for number, (key, value) in enumerate(damage.iterate(records, file, _FAULT, error_type), 1):
            place = f"{file.name}, record {number}{f' ({key[:80]!r})' if key else ''}"
            yield place, key, value
