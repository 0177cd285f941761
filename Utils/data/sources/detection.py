"""Tells which kind of source lies at a path, from file names, first bytes, and the columns of tables."""

import dataclasses
import functools
import itertools
import os
import pathlib
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

from Utils.command.cli import UserError, WorkError, suggest_beside
from Utils.command.text import counted, join_names
from Utils.data.sources import (
    danbooru_post,
    json_lines,
    parquet_files,
    post_tables,
    sidecar_folders,
    source_files,
    sqlite,
)
from Utils.files import compressed, csv_stream, damage
from Utils.files.atomic import AnyPath, is_remote, to_path
from Utils.images import image_folder

FINDS_PICTURES = ("sidecars", "webdataset")  # sources whose posts are pictures of a place, with their paths

KINDS = {  # what each source looks like, for the error where nothing fits and for docs/data.md
    "fire-eggs": "an SQLite database with the tables images, tags and imageTags",
    "deepdanbooru": "an SQLite database with a table posts",
    "e621": "posts-*.csv or posts-*.csv.gz, or another table with an id or a file's name, and tags",
    "parquet": "Parquet files with an id or a file's name, and tags",
    "webdataset": "tar or zip files with pictures and .json, .txt, .caption or .tags of their names",
    "sidecars": "a folder of pictures with .txt, .caption, .tags or .json of their names",
    "jsonl": "JSON files of posts, one a line, in an array, or by id, compressed or not",
}
DATABASE_SUFFIXES = (".db", ".sqlite", ".sqlite3")
ARCHIVE_SUFFIXES = (".tar", ".zip", ".tar.gz", ".tgz")
_TABLE_SUFFIXES = (".csv", ".tsv")
_JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
_MOST_FILES = 1_000_000  # of a folder that are looked at
_MOST_OPENED = 20  # files of a folder that are opened
_UNREADABLE = "a file that cannot be read"
_PREDICTIONS = "a table of predictions by tag_images"
_NAME_IT = ", which --from reads if it names the file"
_MOST_FOLDERS = 100  # that are looked through for a first picture
_MOST_NAMED = 8  # columns or fields, in a message
_HEAD = 2**16  # bytes of a file that are looked at
_TAR_MAGIC = slice(257, 262)


@dataclasses.dataclass(frozen=True)
class Detected:
    """A kind of source, where it lies and by what it was told."""

    kind: str  # one of SOURCES
    path: str  # the path that was given, or a database in that folder
    reason: str

    def __str__(self) -> str:
        return f"read as {self.kind}: {self.reason}"


def detect(path: AnyPath, pictures_apart: bool = False) -> Detected:
    """Return the kind of source at a path.

    Args:
        path: a file or a folder.
        pictures_apart: whether pictures lie in a place of their own, so that a folder of nothing but texts
            may be their sidecars.

    Raises UserError where nothing is there, or nothing that a source looks like: it says what was looked for
    and what was found.
    """
    path = to_path(path)
    if path.is_dir():
        return _of_folder(path, pictures_apart)
    if not path.exists():
        similar = "" if is_remote(path) else suggest_beside(pathlib.Path(path))
        expected = "a folder of pictures, a database or a file of posts was expected"
        raise UserError(f"{expected} at {path}; found nothing{similar}")
    if not path.is_file():  # to open a pipe would wait for who writes into it
        raise UserError(f"{path} is neither a file nor a folder; a source of posts is one of them")
    kind, reason = _of_file(path)
    if not kind and reason == _PREDICTIONS:  # in a folder they are beside what tags are read from
        return Detected("e621", str(path), reason)
    if not kind:
        raise UserError(f"{path} is no source of posts: it is {reason}. Looked for: {_looked_for()}")
    return Detected(kind, str(path), reason)


def default_pictures(kind: str, path: AnyPath) -> str:
    """Return the place of a source's pictures where the user names none: PATH, or the folder of that file.

    Raises UserError where no picture is there.
    """
    origin = to_path(path)
    if kind in FINDS_PICTURES:
        return str(path)
    for place in (origin, *([origin.parent] if origin.is_file() else [])):
        if _has_pictures(place):
            return str(place)
    raise UserError(
        f"--images PLACE is needed with --source {kind}: posts without a file are left out, and no picture "
        f"is at {path}"
    )


def _has_pictures(path: pathlib.Path) -> bool:
    """Whether a picture is among the first files of a folder, or an archive, which is not looked into."""
    if path.is_dir():
        names = list(itertools.islice(_file_names(path), _MOST_FILES))
        if any(image_folder.is_image(name) or name.lower().endswith(ARCHIVE_SUFFIXES) for name in names):
            return True
    try:
        folders = itertools.islice(image_folder.walk_pictures(path), _MOST_FOLDERS)
        return any(pictures for _, _, pictures in folders)
    except UserError:  # a file that is no place
        return False


def _looked_for() -> str:
    return "; ".join(f"{what} ({kind})" for kind, what in KINDS.items())


def _of_file(path: pathlib.Path) -> tuple[str, str]:
    """Return ``(kind, what the file is)``; the kind is empty where no source looks like this."""
    try:
        head = compressed.head(path, _HEAD)
    except (WorkError, OSError) as error:
        return "", f"{_UNREADABLE} ({damage.reason(error)})"
    if head.startswith(b"SQLite format 3\0"):
        return _of_database(path)
    if head.startswith(b"PAR1"):
        return "parquet", f"{path.name} is a Parquet file"
    if head.startswith(b"PK\x03\x04"):
        return "webdataset", f"{path.name} is a zip file"
    if head[_TAR_MAGIC] == b"ustar":
        return "webdataset", f"{path.name} is a tar file"
    return _of_text(path, head)


def _of_text(path: pathlib.Path, head: bytes) -> tuple[str, str]:
    text = json_lines.as_utf8(head).decode("utf-8", "replace").lstrip()
    if text.startswith(("{", "[")):
        return "jsonl", f"{path.name} holds JSON"
    header, _, rest = text.partition("\n")
    if stated := csv_stream.stated_delimiter(header):
        header = rest.partition("\n")[0]
    cells = header.strip().split(stated or csv_stream.delimiter_of(header))
    columns = [name.strip().strip('"').lower() for name in cells]
    if len(columns) > 1 and danbooru_post.is_post(dict.fromkeys(columns)):
        return "e621", f"{path.name} is a table of posts with {join_names(columns)}"
    if post_tables.are_predictions(columns):
        return "", _PREDICTIONS
    if len(columns) > 1 and all(columns):
        named = join_names(columns, _MOST_NAMED)
        return "", f"a text whose first line names {named}: {danbooru_post.lacks(columns)}"
    if not head:
        return "", "an empty file"
    if "\0" in text:
        return "", f"a file that begins with {head[:16]!r}"
    return "", f"a text that begins with {text[:60]!r}"


def _of_database(path: pathlib.Path) -> tuple[str, str]:
    if is_remote(path):
        return "", "an SQLite database on another file system; copy it to this machine"
    try:
        tables = sqlite.read_schema(path)
    except (UserError, sqlite3.Error) as error:
        return "", f"{_UNREADABLE} ({error})"
    if {"images", "tags", "imageTags"} <= set(tables):
        return "fire-eggs", f"{path.name} has the tables images, tags and imageTags"
    if "posts" in tables:
        return "deepdanbooru", f"{path.name} has a table posts"
    return "", f"an SQLite database with the tables {join_names(tables)}"


@dataclasses.dataclass
class _Folder:
    """The first files of a folder, relative to it."""

    path: pathlib.Path
    names: list[str]

    @functools.cached_property
    def pictures(self) -> set[str]:
        """Return the names of the pictures, with and without their suffix."""
        names = {image_folder.composed(name) for name in self.names if image_folder.is_image(name)}
        return names | {_stem(name) for name in names}

    def with_suffix(self, suffixes: tuple[str, ...]) -> list[str]:
        """Return the names with a suffix, with that of a compression behind it or not."""
        ends = tuple(f"{end}{more}" for end in suffixes for more in ("", *compressed.SUFFIXES))
        return [name for name in self.names if name.lower().endswith(ends)]


def _of_folder(path: pathlib.Path, pictures_apart: bool) -> Detected:
    folder = _Folder(path, list(itertools.islice(_file_names(path), _MOST_FILES)))
    for look in (*_LOOKS, *([_texts] if pictures_apart else [])):
        detected = look(folder)
        if detected is not None:
            return _with_unread_texts(detected, folder)
    census = image_folder.Census()
    for top, names in image_folder.walk(path):
        census.count(top, names)
    near = "; ".join(_near_misses(folder))
    raise UserError(
        f"no source of posts is at {path}{f': {near}' if near else ''}. Looked for: {_looked_for()}. "
        f"{census.describe(path)}"
    )


def _near_misses(folder: _Folder) -> Iterator[str]:
    """Yield why files that may be meant as posts or captions are none, of each kind the first."""
    for name in folder.with_suffix(_TABLE_SUFFIXES)[:1]:
        reason = _of_file(folder.path / name)[1]
        yield f"{name} is {reason}{_NAME_IT if reason == _PREDICTIONS else ''}"
    for name in _other_json(folder)[:1]:
        try:
            fields = json_lines.first_fields(folder.path / name)
        except (UserError, WorkError):
            continue
        if fields:
            named = f"{name} has records with {join_names(fields, _MOST_NAMED)}"
            is_prediction = set(fields) == danbooru_post.PREDICTION_FIELDS
            yield f"{named}: {_PREDICTIONS + _NAME_IT if is_prediction else danbooru_post.lacks(fields)}"
    endings = tuple(end for end in sidecar_folders.SUFFIXES if end not in _JSON_SUFFIXES)
    texts = [name for name in folder.with_suffix(endings) if _stem(name) not in folder.pictures]
    if texts and folder.pictures:
        picture = next(name for name in folder.names if image_folder.is_image(name))
        yield (
            f"{counted(len(texts), 'text has', 'texts have')} the name of no picture, such as {texts[0]}; "
            f"that of {picture} is {image_folder.stem_of(picture)}.txt or {picture}.txt"
        )


def _with_unread_texts(detected: Detected, folder: _Folder) -> Detected:
    """Return what was found; the reason also says where it passes by texts beside pictures."""
    texts = None if detected.kind in FINDS_PICTURES else _sidecars(folder)
    if texts is None:
        return detected
    reason = f"{detected.reason}. Not read: {texts.reason}; --source sidecars reads these instead"
    return dataclasses.replace(detected, reason=reason)


def _file_names(path: pathlib.Path) -> Iterator[str]:
    """Yield the files of a folder and of those below it, those higher up first."""
    if is_remote(path):
        remote: Any = path
        names = (name[len(remote.path.rstrip("/")) + 1 :] for name in sorted(remote.fs.find(remote.path)))
        yield from (name for name in names if not any(map(image_folder.is_hidden, name.split("/"))))
        return
    waiting = [""]
    while waiting:
        relative, folders = waiting.pop(0), []
        with os.scandir(path / relative) as scan:
            entries = sorted(scan, key=lambda entry: entry.name)
        if relative and source_files.is_output(entry.name for entry in entries):
            continue
        for entry in entries:
            if image_folder.is_hidden(entry.name):
                continue
            name = image_folder.join(relative, entry.name)
            if entry.is_dir(follow_symlinks=False):
                folders.append(name)
            elif _is_file(entry):
                yield name
        waiting += folders


def _is_file(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_file()
    except OSError:  # a link that leads to itself
        return False


def _database(folder: _Folder) -> Detected | None:
    names = folder.with_suffix(DATABASE_SUFFIXES)[:_MOST_OPENED]
    kinds = [(name, *_of_file(folder.path / name)) for name in names]
    databases = [(name, kind, reason) for name, kind, reason in kinds if kind]
    if len(databases) > 1:
        raise UserError(
            f"{folder.path} holds several databases of posts, "
            f"{join_names(name for name, _, _ in databases)}; name one of them"
        )
    if not databases:
        return None
    name, kind, reason = databases[0]
    return Detected(kind, str(folder.path / name), reason)


def _tables(folder: _Folder) -> Detected | None:
    tables = folder.with_suffix(_TABLE_SUFFIXES)[:_MOST_OPENED]
    name = next((name for name in tables if _is_table_of_posts(folder.path / name)), "")
    return Detected("e621", str(folder.path), f"{name} is a table of posts") if name else None


def _is_table_of_posts(path: pathlib.Path) -> bool:
    kind, reason = _of_file(path)
    return kind == "e621" or (path.name.startswith("posts") and reason.startswith(_UNREADABLE))


def _parquet(folder: _Folder) -> Detected | None:
    names = [name for name in folder.names if name.lower().endswith(".parquet")]
    if not any(_has_columns_of_posts(folder.path / name) for name in names[:_MOST_OPENED]):
        return None
    return Detected("parquet", str(folder.path), f"{len(names)} Parquet files such as {names[0]}")


def _has_columns_of_posts(path: pathlib.Path) -> bool:
    try:
        return parquet_files.has_columns(path)
    except OSError:
        return False


def _metadata(folder: _Folder) -> Detected | None:
    """Look for ``metadata.jsonl`` of a Hugging Face folder, or other JSON that is no picture's sidecar."""
    name = next((name for name in _other_json(folder) if _holds_posts(folder.path / name)), "")
    return Detected("jsonl", str(folder.path), f"{name} holds posts as JSON") if name else None


def _damaged_metadata(folder: _Folder) -> Detected | None:
    """Look for JSON that cannot be read: where nothing else fits it may be posts, and its reader names it."""
    name = next((name for name in _other_json(folder) if _holds_posts(folder.path / name) is None), "")
    return Detected("jsonl", str(folder.path), f"{name} may hold posts as JSON") if name else None


def _other_json(folder: _Folder) -> list[str]:
    texts = [name for name in folder.with_suffix(_JSON_SUFFIXES) if _stem(name) not in folder.pictures]
    return texts[:_MOST_OPENED]


def _holds_posts(path: pathlib.Path) -> bool | None:
    """Whether the first object of a JSON file is a post; None where the file, or its start, is damaged."""
    try:
        return not json_lines.is_index(path) and json_lines.holds_posts(path)
    except (UserError, WorkError):
        return None


def _archives(folder: _Folder) -> Detected | None:
    names = [name for name in folder.names if name.lower().endswith(ARCHIVE_SUFFIXES)]
    if not names:
        return None
    return Detected("webdataset", str(folder.path), f"{counted(len(names), 'archive')} such as {names[0]}")


def _sidecars(folder: _Folder) -> Detected | None:
    texts = [name for name in folder.names if name.lower().endswith(sidecar_folders.SUFFIXES)]
    beside = [name for name in texts if _stem(name) in folder.pictures]
    if not beside:
        return None
    return Detected(
        "sidecars",
        str(folder.path),
        f"{counted(len(beside), 'picture has', 'pictures have')} a text such as {beside[0]}",
    )


def _texts(folder: _Folder) -> Detected | None:
    """Look for texts of pictures that lie elsewhere, as ``tag_images -o FOLDER`` writes them."""
    texts = [name for name in folder.names if name.lower().endswith(sidecar_folders.SUFFIXES)]
    if not texts or folder.pictures:
        return None
    return Detected("sidecars", str(folder.path), f"{counted(len(texts), 'text')} such as {texts[0]}")


def _stem(name: str) -> str:
    return image_folder.composed(name.rpartition(".")[0])


# In this order: what says most about its posts comes first.
_LOOKS: tuple[Callable[[_Folder], Detected | None], ...] = (
    _database, _tables, _parquet, _metadata, _sidecars, _archives, _damaged_metadata,
)  # fmt: skip
