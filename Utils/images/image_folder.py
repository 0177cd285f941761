"""The pictures of a place: which files are pictures, and which post each of them shows."""

import hashlib
import json
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from Utils.command.cli import UserError
from Utils.command.text import composed, printable
from Utils.files import csv_tables
from Utils.files.atomic import AnyPath
from Utils.images import formats
from Utils.images.census import Census
from Utils.images.formats import OTHER_SUFFIXES, SUFFIXES
from Utils.images.places import COMPRESSED_SUFFIXES, HiddenFiles, Place, as_place, is_hidden, join

__all__ = ["Census", "composed", "is_hidden", "join", "printable"]  # for callers that name files

LARGEST_POST_ID = 2**63 - 1  # post ids are stored as int64
_LARGEST_EXACT_FLOAT = 2**53
_WHOLE_NUMBER = re.compile(r"-?[0-9]+(\.0*)?")  # as JSON and tables of floats write it
_SURROGATE = re.compile("[\ud800-\udfff]")
_SUFFIXES = {suffix: row for row, suffix in enumerate(SUFFIXES)}
_MASKS = ("-masklabel.png", "-condlabel.png")
_MOST_JSON = 1 << 24  # bytes of a JSON beside a picture


def post_id(path: AnyPath) -> int:
    """Return the post id of an image, given its path relative to the image folder.

    It is the file's stem where that is a decimal number, else the first 63 bits of the path's SHA-256.
    """
    path = pathlib.PurePath(path)
    number = decimal(path.stem)
    return number if number >= 0 else path_id(path)


def path_id(path: AnyPath) -> int:
    """Return the post id of an image that its stem does not name: from the SHA-256 of its path."""
    return hash63(pathlib.PurePath(path).as_posix())


def parse_id(value: Any) -> int:
    """Return a post id that came as a number or a text; ValueError for anything but 0 to 2**63 - 1."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    try:
        if isinstance(value, str):
            number = int(value.strip().partition(".")[0]) if _WHOLE_NUMBER.fullmatch(value.strip()) else None
        else:
            number = None if isinstance(value, bool) or int(value) != value else int(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None:
        raise ValueError("post id is no whole number")
    if isinstance(value, float) and abs(number) > _LARGEST_EXACT_FLOAT:
        raise ValueError("post id is a decimal fraction too large to be exact")
    if not 0 <= number <= LARGEST_POST_ID:
        raise ValueError("post id is not from 0 to 2**63 - 1")
    return number


def post_ids(paths: Sequence[str], place: Place | None = None) -> list[int]:
    """Return the post ids of all pictures of one place, given their paths in it; `assigned_ids` has the rule.

    Where ``place`` is given, the JSON beside a picture (``x.json`` or ``x.jpg.json``) may say its id, or the
    column ``id`` of its row in a Parquet file.
    """
    numbers = np.array([stem_number(path) for path in paths], np.int64)
    stated, hashes = np.full(len(paths), -1, np.int64), np.zeros(len(paths), np.int64)
    unnamed = np.flatnonzero(~is_only(numbers))
    unnamed_paths = [paths[row] for row in unnamed.tolist()]
    hashes[unnamed] = [path_id(path) for path in unnamed_paths]
    if place is not None and unnamed_paths:
        stated[unnamed] = stated_ids(place, unnamed_paths)
    return assigned_ids(numbers, stated, hashes).tolist()


def stem_number(path: str) -> int:
    """Return the decimal number that is the stem of a picture's path, -1 where it is none."""
    return decimal(pathlib.PurePath(path).stem)


def assigned_ids(numbers: np.ndarray, stated: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Return the post ids of all pictures of one place: int64 (N,), none twice.

    A picture's id is the number that is its stem, unless several pictures have it (``a/1.jpg``, ``b/1.jpg``,
    ``1.png``): then it is none's. Such pictures, and those with other names, have the id that the JSON beside
    them says, or their row, if no other picture has it; the rest have the hash of their path.

    Args:
        numbers: (N,) as `stem_number` returns them.
        stated: (N,) ids in JSON, -1 without one.
        hashes: (N,) as `path_id` returns them; read only of pictures without a number of their own.
    """
    has_number = is_only(numbers)
    stated = np.where(has_number, -1, stated)
    is_free = is_only(stated) & ~np.isin(stated, numbers[has_number])
    return np.where(has_number, numbers, np.where(is_free, stated, hashes))


def is_only(numbers: np.ndarray) -> np.ndarray:
    """Return whether each number is one (not negative), and no other one is the same: bool (N,)."""
    ordered = np.sort(numbers)
    count = np.searchsorted(ordered, numbers, "right") - np.searchsorted(ordered, numbers, "left")
    return (numbers >= 0) & (count == 1)


def stated_ids(place: Place, paths: Sequence[str]) -> np.ndarray:
    """Return the ids that stand beside pictures, in JSON or in their rows, -1 without one: int64 (N,)."""
    ids = np.array([_id_of(value) for value in place.row_ids(paths)], np.int64)
    names = [json_names(path) if ids[row] < 0 else [] for row, path in enumerate(paths)]
    is_there = iter(place.has([name for of_path in names for name in of_path]))
    for row, of_path in enumerate(names):
        for name in [name for name in of_path if next(is_there)]:
            ids[row] = _id_in_json(place, name)
            if ids[row] >= 0:
                break
    return ids


def json_names(path: str) -> list[str]:
    """Return the names that the JSON beside a picture may have, the preferred first."""
    stems = dict.fromkeys((path, without_suffix(path)))
    return [f"{stem}{suffix}" for stem in stems for suffix in (".json", ".JSON")]


def _id_in_json(place: Place, member: str) -> int:
    """Return the ``id`` of a JSON object, -1 where it has none or cannot be read."""
    try:
        data = place.open(member)
        value = json_record(json.loads(data)) if len(data) <= _MOST_JSON else None
    except (ValueError, RecursionError, OSError):  # the reader of posts says what is wrong with it
        return -1
    return _id_of(value.get("id")) if isinstance(value, dict) else -1


def json_record(value: Any) -> Any:
    """Return the record in a JSON beside a picture; interfaces' answers have it in ``post``, or in a list."""
    if isinstance(value, dict) and "id" not in value:
        value = next(
            (value[key] for key in ("post", "posts") if isinstance(value.get(key), (dict, list))), value
        )
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) else value


def _id_of(value: Any) -> int:
    try:
        return parse_id(value)
    except ValueError:
        return -1


def hash63(text: str) -> int:
    """Return the first 63 bits of a text's SHA-256."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8], "big") >> 1


def without_suffix(path: str) -> str:
    """Return a path without the suffix of its file: ``a.b/c`` has none."""
    folder, slash, name = path.rpartition("/")
    return f"{folder}{slash}{stem_of(name)}"


def is_unicode(path: str) -> bool:
    """Whether a path is Unicode text; file systems allow any bytes."""
    return path.isascii() or not _SURROGATE.search(path)


REJECTED_COLUMNS = ("post_id", "path", "reason")  # of rejected.csv


def unreadable_rows(place: Place) -> list[tuple[int, str, str]]:
    """Return rows of rejected.csv for the archives of a place that were set aside, once it was walked."""
    return [
        (path_id(path), printable(path), f"archive cannot be read: {reason}")
        for path, reason in place.unreadable
    ]


def write_rejected(path: AnyPath, rows: Iterable[Iterable[object]]) -> None:
    """Write rejected.csv of ``(post id, path, reason)``, ordered by id and path."""
    csv_tables.write_rows(path, REJECTED_COLUMNS, sorted(map(tuple, rows)))


def decimal(stem: str) -> int:
    """Return a stem as a decimal number, -1 if it is not one or needs more than 63 bits."""
    if not (stem.isdecimal() and stem.isascii()) or len(stem) > 100:  # int() refuses 4,300 digits
        return -1
    number = int(stem)
    return number if number <= LARGEST_POST_ID else -1


def is_image(name: str) -> bool:
    """Whether a file name ends like an image, in capitals or not."""
    return pathlib.PurePath(name).suffix.lower() in SUFFIXES


def bucket_path(identifier: int) -> str:
    """Return where a booru's image folder keeps a post: ``0NNN/ID.jpg``, NNN = id modulo 1000."""
    return f"{identifier % 1000:04d}/{identifier}.jpg"


def walk(place: Place | AnyPath, census: Census | None = None) -> Iterator[tuple[str, list[str]]]:
    """Yield ``(folder, file names)`` of a place, as `Place.walk`; ``census`` counts the hidden pictures."""
    place, hidden = as_place(place), HiddenFiles()
    try:
        yield from place.walk(hidden if census is not None else None)
    finally:  # also where the caller has seen enough
        if census is not None:
            census.add_hidden(hidden)
            census.notes += place.notes
            census.add_unreadable(place)


def walk_pictures(
    place: Place | AnyPath, census: Census | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield ``(folder, file names, those of pictures)`` of a place, in the order of `Place.walk`.

    A usual suffix is believed until the file is read. Files with another suffix, or none, are pictures where
    their first bytes are a picture's; names of texts and tables are not looked into. ``1-masklabel.png``
    beside ``1.jpg`` is no picture.
    """
    place, census = as_place(place), Census() if census is None else census
    for folder, names in walk(place, census):
        census.count(folder, names)
        pictures = [name for name in names if _is_picture(place, folder, name, census)]
        yield folder, names, _without_masks(pictures, census)


def _without_masks(pictures: list[str], census: Census) -> list[str]:
    """Return the pictures of a folder without the masks that OneTrainer keeps beside them."""
    if not any(name.endswith(_MASKS) for name in pictures):
        return pictures
    stems = {stem_of(name) for name in pictures}
    masks = {name for name in pictures for end in _MASKS if name.removesuffix(end) in stems}
    census.others.update({"masks of OneTrainer": len(masks)} if masks else {})
    return [name for name in pictures if name not in masks]


def suffix_of(name: str) -> str:
    """Return the suffix of a file name in lower case, as `pathlib` does, ten times as fast."""
    dot = name.rfind(".")
    return name[dot:].lower() if 0 < dot < len(name) - 1 else ""


def stem_of(name: str) -> str:
    return name[: len(name) - len(suffix_of(name))]


def _is_picture(place: Place, folder: str, name: str, census: Census) -> bool:
    suffix = suffix_of(name)
    if suffix in _SUFFIXES:
        return True
    if suffix in formats.NO_PICTURES:
        if suffix in formats.UNFINISHED and formats.from_bytes(place.head(join(folder, name))) is not None:
            census.others[f"{suffix} (not downloaded to its end)"] += 1
        elif name.lower().endswith(COMPRESSED_SUFFIXES):
            census.others[f"{suffix} (compressed as a whole: unpack it to a .tar)"] += 1
        return False
    if place.is_row(join(folder, name)):
        return True
    image_format = formats.from_bytes(place.head(join(folder, name)))
    if formats.is_readable(image_format):
        return True
    if suffix in OTHER_SUFFIXES or image_format is not None:
        census.others[suffix if suffix in OTHER_SUFFIXES else f"{image_format} data"] += 1
        census.missing_plugins.update(formats.advice(image_format))
    return False


def image_paths(root: Place | AnyPath, say: Callable[[str], None] = lambda text: None) -> list[str]:
    """Return the paths of all pictures of a place, relative to it, in the order of `walk`.

    ``say`` gets a sentence about the files that are passed by, where there are some. Raises UserError, which
    says what the place holds, where there is no picture.
    """
    census = Census()
    paths = [join(folder, name) for folder, _, pictures in walk_pictures(root, census) for name in pictures]
    if not paths:
        passed_by = census.passed_by().replace("\n", "; ")
        raise UserError(
            f"no image found (suffixes {' '.join(SUFFIXES)}); {census.describe(root)}"
            f"{'; ' * bool(passed_by)}{passed_by}"
        )
    if census.passed_by():
        say(census.passed_by())
    return paths
