"""Danbooru's posts as JSON, one a line: gwern's releases and current exports, gzipped or not."""

import gzip
import json
import pathlib
import zlib
from collections.abc import Iterator
from typing import Any

from Utils.command.cli import UserError, WorkError, progress
from Utils.data.sources import danbooru_post, source_files
from Utils.data.sources.disk_sorter import DiskSorter
from Utils.data.sources.stream import Source
from Utils.files.atomic import AnyPath

SUFFIXES = (".json", ".jsonl", ".ndjson", ".gz", "")

_GZIP_MAGIC = b"\x1f\x8b"
_MAX_LINE = 2**24  # bytes; a post has a few thousand
_MAX_ARRAY = 2**28  # bytes of a file that is one array in one line, which has to be read as a whole
_MAX_BAD_LINES = 100  # lines without a post before the first post, after which a file is refused


def read_json_lines(path: AnyPath) -> Source:
    """Read a file of posts, one JSON object a line, or every such file below a folder, plain or gzipped.

    Fields are Danbooru's (`danbooru_post`), as in gwern's releases or current exports. Lines that are no post
    are listed as rejected; a file whose first object is no post (an export of tags) is skipped. Counts are
    numbers of posts.

    Raises UserError where there are no posts, WorkError where a file cannot be read to its end.
    """
    path, sorter = pathlib.Path(path), DiskSorter()
    files = find_files(path)
    for file in files:
        for place, record in progress(read_records(file), label=file.name, unit="lines"):
            reason = sorter.add_record(record, place)
            # Not a file of posts at all: a CSV of gigabytes must not be read to its end to find that out.
            if reason and not len(sorter) and sorter.num_rejected > _MAX_BAD_LINES:
                raise UserError(f"{file} holds no posts: {place}: {reason}")
    if not len(sorter):
        reasons = "; ".join(f"{place}: {reason}" for _, place, reason in sorter.rejected[:3])
        raise UserError(
            f"no post in {len(files)} files of {path}; needed is one JSON object a line, with id and tags as "
            f"Danbooru names them. {reasons or 'None has both'}"
        )
    return sorter.finish("jsonl", path)


def find_files(path: pathlib.Path) -> list[pathlib.Path]:
    """Return the files of posts at or below a path; UserError without any."""
    return source_files.find_files(path, SUFFIXES, "a file of JSON lines")


def read_records(file: pathlib.Path) -> Iterator[tuple[str, Any]]:
    """Yield ``(place, value)`` of every line, None where it is not JSON; nothing for a file without posts.

    An array is read too: in one line, or with an object a line.
    """
    is_first = True
    for number, line in enumerate(_read_lines(file), 1):
        place = f"{file.name}, line {number}"
        line = line.strip().removesuffix(b",")
        if line in (b"", b"[", b"]"):
            continue
        value = _parse(line)
        if is_first and isinstance(value, list):
            yield from ((f"{place}, item {item}", record) for item, record in enumerate(value, 1))
            continue
        if is_first and isinstance(value, dict) and not danbooru_post.is_post(value):
            return
        is_first = False
        yield place, value


def _parse(line: bytes) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):  # no JSON, no UTF-8, or nested too deep
        return None


def _read_lines(file: pathlib.Path) -> Iterator[bytes]:
    """Yield the lines of a file; one above _MAX_LINE is replaced by invalid JSON, unless it is an array."""
    try:
        with file.open("rb") as plain:
            is_packed = plain.peek(2)[:2] == _GZIP_MAGIC
            source = gzip.GzipFile(fileobj=plain) if is_packed else plain
            line = source.readline(_MAX_ARRAY).removeprefix(b"\xef\xbb\xbf")  # the byte order mark of UTF-8
            while line:
                if len(line) > _MAX_LINE and not line.lstrip().startswith(b"["):
                    while not line.endswith(b"\n") and line:
                        line = source.readline(_MAX_LINE)
                    line = b"too long\n"
                yield line
                line = source.readline(_MAX_LINE + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise WorkError(f"{file} cannot be read to its end: {error}; download it again") from error
