"""Danbooru's posts as JSON, one a line: gwern's releases, current exports, gzipped or not."""

import gzip
import json
import pathlib
import zlib

from Utils.command.cli import UserError, WorkError, progress
from Utils.data.sources import danbooru_post
from Utils.data.sources.danbooru_post import FieldError
from Utils.data.sources.disk_sorter import Spool

SUFFIXES = ("", ".json", ".jsonl", ".ndjson", ".gz")
LONGEST = 2**24  # bytes of a line; a post has a few thousand
_LARGEST_ARRAY = 2**28  # bytes of a file that is one array, which has to be read as a whole
_GIVE_UP = 100  # lines that are no posts, before the first that is one


def jsonl(path):
    """Read a file of posts, one JSON object a line, or every such file of a folder, plain or gzipped.

    Fields are Danbooru's, those of gwern's releases (tags as ``{id, name, category}``) or of current exports
    (`danbooru_fields`). Lines that are no post are listed as rejected; a file whose first object is no post
    (a tags export) is passed over. Counts are numbers of posts.
    """
    path, spool, rated = pathlib.Path(path), Spool(), False
    found = files_of(path)
    for file in found:
        for place, record in progress(records(file), label=file.name, unit="line"):
            try:
                spool.add(danbooru_post.post_of(record))
                rated = rated or "rating" in record
            except FieldError as error:
                spool.reject(error.post_id, place, str(error))
                if not len(spool) and spool.num_rejected > _GIVE_UP:
                    raise UserError(f"{file} holds no posts: {place}: {error}") from error
    if not len(spool):
        reasons = "; ".join(f"{place}: {reason}" for _, place, reason in spool.rejected[:3])
        raise UserError(
            f"no post in {len(found)} files of {path}; needed is one JSON object a line, with id and tags as "
            f"Danbooru names them. {reasons or 'None has both'}"
        )
    return spool.finish("jsonl", path, keep_unrated=not rated)


def files_of(path):
    """Return the files of posts: the path itself, or those of a folder, below it too, by name."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"a file of JSON lines or a folder of such was expected at {path}; found nothing")
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    if not found:
        names = ", ".join(sorted(item.name for item in path.iterdir())[:6]) or "nothing"
        raise UserError(
            f"{path} has no file ending in .json .jsonl .ndjson .gz or in nothing; it holds {names}"
        )
    return found


def records(file):
    """Yield ``(place, value)`` of every line, None for what is no JSON; nothing of a file without posts."""
    is_first = True
    for number, line in enumerate(_lines(file), 1):
        place = f"{file.name}, line {number}"
        line = line.strip().removesuffix(b",")
        if line in (b"", b"[", b"]"):  # an array with an object a line is as good
            continue
        value = _parsed(line)
        if is_first and isinstance(value, list):
            yield from ((f"{place}, item {at}", item) for at, item in enumerate(value, 1))
            continue
        if is_first and isinstance(value, dict) and not danbooru_post.is_post(value):
            return
        is_first = False
        yield place, value


def _parsed(line):
    try:
        return json.loads(line)
    except (ValueError, RecursionError):  # no JSON, no UTF-8, or nested without end
        return None


def _lines(file):
    """Yield the lines of a file; one longer than LONGEST becomes no JSON, unless it is an array."""
    try:
        with file.open("rb") as plain:
            packed = plain.peek(2)[:2] == b"\x1f\x8b"
            source = gzip.GzipFile(fileobj=plain) if packed else plain
            line = source.readline(_LARGEST_ARRAY).removeprefix(b"\xef\xbb\xbf")
            while line:
                if len(line) > LONGEST and not line.lstrip().startswith(b"["):
                    while not line.endswith(b"\n") and line:
                        line = source.readline(LONGEST)
                    line = b"too long\n"
                yield line
                line = source.readline(LONGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise WorkError(f"{file} cannot be read to its end: {error}; fetch it anew") from error
