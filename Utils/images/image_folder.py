"""The pictures of a place: which files are pictures, and which post each of them shows."""

import dataclasses
import hashlib
import json
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from Utils.command.cli import UserError
from Utils.command.text import printable
from Utils.files import csv_tables
from Utils.files.atomic import AnyPath
from Utils.images import formats
from Utils.images.census import Census
from Utils.images.formats import OTHER_SUFFIXES, SUFFIXES
from Utils.images.places import COMPRESSED_SUFFIXES, HiddenFiles, Place, as_place, is_hidden, join

__all__ = ["Census", "is_hidden", "join", "printable"]  # for callers that name files

LARGEST_POST_ID = 2**63 - 1  # post ids are stored as int64
_ANYWHERE = "*/"  # before a name that no other file of the place has
_SUFFIXES = {suffix: row for row, suffix in enumerate(SUFFIXES)}
_MOST_JSON = 1 << 24  # bytes of a JSON beside a picture


def post_id(path: AnyPath) -> int:
    """Return the post id of an image, given its path relative to the image folder.

    It is the file's stem where that is a decimal number, else the first 63 bits of the path's SHA-256.
    """
    path = pathlib.PurePath(path)
    number = _decimal(path.stem)
    return number if number >= 0 else path_id(path)


def path_id(path: AnyPath) -> int:
    """Return the post id of an image that its stem does not name: from the SHA-256 of its path."""
    return _hash63(pathlib.PurePath(path).as_posix())


def post_ids(paths: Sequence[str], place: Place | None = None) -> list[int]:
    """Return the post ids of all pictures of one place, given their paths in it; `assigned_ids` has the rule.

    Where ``place`` is given, the JSON beside a picture (``x.json`` or ``x.jpg.json``) may say its id.
    """
    numbers = np.array([stem_number(path) for path in paths], np.int64)
    stated, hashes = np.full(len(paths), -1, np.int64), np.zeros(len(paths), np.int64)
    unnamed = np.flatnonzero(~_is_only(numbers)).tolist()
    in_json = _json_ids(place, [paths[row] for row in unnamed]) if place is not None and unnamed else {}
    for row in unnamed:
        stated[row], hashes[row] = in_json.get(paths[row], -1), path_id(paths[row])
    return assigned_ids(numbers, stated, hashes).tolist()


def stem_number(path: str) -> int:
    """Return the decimal number that is the stem of a picture's path, -1 where it is none."""
    return _decimal(pathlib.PurePath(path).stem)


def assigned_ids(numbers: np.ndarray, stated: np.ndarray, hashes: np.ndarray) -> np.ndarray:
    """Return the post ids of all pictures of one place: int64 (N,), none twice.

    A picture's id is the number that is its stem, unless several pictures have it (``a/1.jpg``, ``b/1.jpg``,
    ``1.png``): then it is none's. Such pictures, and those with other names, have the id that the JSON beside
    them says, if no other picture has it; the rest have the hash of their path.

    Args:
        numbers: (N,) as `stem_number` returns them.
        stated: (N,) ids in JSON, -1 without one.
        hashes: (N,) as `path_id` returns them; read only of pictures without a number of their own.
    """
    has_number = _is_only(numbers)
    stated = np.where(has_number, -1, stated)
    is_free = _is_only(stated) & ~np.isin(stated, numbers[has_number])
    return np.where(has_number, numbers, np.where(is_free, stated, hashes))


def _is_only(numbers: np.ndarray) -> np.ndarray:
    """Return whether each number is one, and no other one is the same: bool (N,)."""
    ordered = np.sort(numbers)
    count = np.searchsorted(ordered, numbers, "right") - np.searchsorted(ordered, numbers, "left")
    return (numbers >= 0) & (count == 1)


def _json_ids(place: Place, paths: Sequence[str]) -> dict[str, int]:
    """Return ``{path: id}`` of the pictures beside which a JSON with an id lies."""
    ids = {}
    beside = [name for path in paths for name in (f"{path}.json", f"{path.rpartition('.')[0]}.json")]
    is_there = place.has(beside)
    for row, path in enumerate(paths):
        for place_in_row in (2 * row, 2 * row + 1):
            number = _id_in_json(place, beside[place_in_row]) if is_there[place_in_row] else -1
            if number >= 0:
                ids[path] = number
                break
    return ids


def _id_in_json(place: Place, member: str) -> int:
    """Return the ``id`` of a JSON object as a decimal number, -1 where it has none or cannot be read."""
    try:
        data = place.open(member)
        value = json.loads(data) if len(data) <= _MOST_JSON else None
    except (ValueError, RecursionError, OSError):  # the reader of posts says what is wrong with it
        return -1
    number = value.get("id") if isinstance(value, dict) else None
    return -1 if isinstance(number, (bool, float)) else _decimal(str(number))


def _hash63(text: str) -> int:
    """Return the first 63 bits of a text's SHA-256."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8], "big") >> 1


def stem_key(stem: str) -> int:
    """Return the key of a file whose stem is no post id but, for example, an MD5; see `ImageFolder.find`."""
    return _hash63(stem.lower()) | 1  # never 0, which means a post without another name


def file_keys(path: str) -> tuple[int, int]:
    """Return the keys of a file that is known by a name or a path; see `index`.

    The first is that of the path without its suffix, the second that of its name alone, for a path that
    begins elsewhere: it finds a file only if no other of the place has the name.
    """
    path = path.replace("\\", "/").removeprefix("./")
    stem = path.rpartition(".")[0] if "." in path.rpartition("/")[2][1:] else path
    return stem_key(stem), stem_key(f"{_ANYWHERE}{stem.rpartition('/')[2]}")


def is_unicode(path: str) -> bool:
    """Whether a path is Unicode text; file systems allow any bytes."""
    return path.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in path)


REJECTED_COLUMNS = ("post_id", "path", "reason")  # of rejected.csv


def write_rejected(path: AnyPath, rows: Iterable[Iterable[object]]) -> None:
    """Write rejected.csv of ``(post id, path, reason)``, ordered by id and path."""
    csv_tables.write_rows(path, REJECTED_COLUMNS, sorted(map(tuple, rows)))


def _decimal(stem: str) -> int:
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


def walk_pictures(
    place: Place | AnyPath, census: Census | None = None
) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield ``(folder, file names, those of pictures)`` of a place, in the order of `Place.walk`.

    A usual suffix is believed until the file is read. Files with another suffix, or none, are pictures where
    their first bytes are a picture's; names of texts and tables are not looked into.
    """
    place, census = as_place(place), Census() if census is None else census
    for folder, names in walk(place, census):
        census.count(folder, names)
        yield folder, names, [name for name in names if _is_picture(place, folder, name, census)]


def _suffix(name: str) -> str:
    """Return the suffix of a file name in lower case, as `pathlib` does, ten times as fast."""
    dot = name.rfind(".")
    return name[dot:].lower() if 0 < dot < len(name) - 1 else ""


def _stem(name: str) -> str:
    return name[: len(name) - len(_suffix(name))]


def _is_picture(place: Place, folder: str, name: str, census: Census) -> bool:
    suffix = _suffix(name)
    if suffix in _SUFFIXES:
        return True
    if suffix in formats.NO_PICTURES:
        if name.lower().endswith(COMPRESSED_SUFFIXES):
            census.others[f"{suffix} (compressed as a whole: unpack it to a .tar)"] += 1
        return False
    if place.is_row(join(folder, name)):
        return True
    image_format = formats.from_bytes(place.head(join(folder, name)))
    if formats.is_readable(image_format):
        return True
    if suffix in OTHER_SUFFIXES or image_format is not None:
        census.others[suffix if suffix in OTHER_SUFFIXES else f"{image_format} data"] += 1
        census.missing_plugins.update(formats.missing_plugin(image_format))
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


@dataclasses.dataclass(frozen=True)
class ImageFolder:
    """The pictures of a place by post id, in about 20 bytes a file; made by `index`."""

    path: str
    ids: np.ndarray  # (N,) int64, ascending
    census: Census  # what the folder holds, for messages
    _folder_rows: np.ndarray  # (N,) rows of _folders
    _suffix_rows: np.ndarray  # (N,) rows of the census' suffixes
    _folders: list[str]
    # (id, folder row, suffix row) -> file name, where that is not the plain number (leading zeros)
    _names: dict[tuple[int, int, int], str]
    _keys: np.ndarray  # (M,) int64, ascending: stem_key of the files that can be found by another name
    _keyed_paths: pa.StringArray  # (M,)

    def find(self, ids: np.ndarray, keys: np.ndarray | None = None) -> np.ndarray:
        """Return the number of every post's file, -1 for posts without one: (P,) int64.

        Args:
            ids: (P,) post ids.
            keys: (P,) `stem_key` of another name that the file may have, which is looked for first; or (P, K)
                of several such names, the first that is there counts.
        """
        files = _find(self.ids, ids)
        if keys is None:
            return files
        for column in keys.reshape(len(keys), -1).T[::-1]:
            keyed = _find(self._keys, column)
            files = np.where(keyed >= 0, keyed + len(self.ids), files)
        return files

    def paths(self, files: np.ndarray) -> list[str]:
        """Return the paths, relative to the folder, of files given by the numbers that `find` returns."""
        is_keyed = files >= len(self.ids)
        if is_keyed.all():
            return self._keyed_paths.take(files - len(self.ids)).to_pylist()
        rows = np.minimum(files, max(len(self.ids) - 1, 0))
        columns = (self.ids, self._folder_rows, self._suffix_rows)
        paths = [self._path(*key) for key in zip(*(column[rows].tolist() for column in columns), strict=True)]
        for row in np.flatnonzero(is_keyed):
            paths[row] = self._keyed_paths[int(files[row]) - len(self.ids)].as_py()
        return paths

    def _path(self, number: int, folder_row: int, suffix_row: int) -> str:
        name = self._names.get((number, folder_row, suffix_row)) if self._names else None
        return join(self._folders[folder_row], name or f"{number}{self.census.suffixes[suffix_row]}")

    def __str__(self) -> str:
        return self.census.describe(self.path)


def _find(ascending: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return the position of every number among ascending ones, -1 for those that are not there."""
    if not len(ascending):
        return np.full(len(numbers), -1, np.int64)
    positions = np.minimum(np.searchsorted(ascending, numbers), len(ascending) - 1)
    return np.where(ascending[positions] == numbers, positions, -1)


def index(root: Place | AnyPath, named: bool = False, by_path: bool = False) -> ImageFolder:
    """List a place once and return its pictures whose stem is a decimal number as an `ImageFolder`.

    Of several files of one post the one at ``0NNN/ID`` wins, then the order of SUFFIXES, then that of paths.

    Args:
        root: of images, with all below it.
        named: whether files can be found by any other stem too (`stem_key`), for 60 more bytes a file.
        by_path: whether they can be found by `file_keys`, too, for twice as many more.
    """
    census, folders, names, numbered, keyed = Census(), [], {}, [], []
    for relative, _, pictures in walk_pictures(root, census):
        if not is_unicode(relative):
            continue
        stems, suffix_rows = census.rows(pictures)
        numbers = [_decimal(stem) for stem in stems]
        for number, stem, row, name in zip(numbers, stems, suffix_rows, pictures, strict=True):
            if number >= 0 and stem[0] == "0" and stem != "0":
                names.setdefault((number, len(folders), row), name)
        numbered.append(_numbered_files(numbers, suffix_rows, len(folders), relative))
        folders.append(relative)
        if named:
            keyed.append(_keyed_files(relative, pictures))
    ranks = np.array([_rank(suffix) for suffix in census.suffixes], np.int64)
    ids, folder_rows, suffix_rows = _first_of_each(
        np.concatenate([*numbered, np.zeros((0, 4), np.int64)]), ranks
    )
    keys, paths = _first_of_each_key([*keyed, *(_keys_of_paths(keyed) if by_path else [])])
    return ImageFolder(str(root), ids, census, folder_rows, suffix_rows, folders, names, keys, paths)


def _rank(suffix: str) -> int:
    """Return the place of a suffix among those of pictures, the one after them for any other."""
    return _SUFFIXES.get(suffix.lower(), len(SUFFIXES))


def _keyed_files(folder: str, files: Sequence[str]) -> tuple[np.ndarray, np.ndarray, pa.StringArray]:
    """Return ``(keys, ranks of the suffixes, paths)`` of the images of one folder."""
    images = [name for name in files if is_unicode(name)]
    suffixes = [_suffix(name) for name in images]
    keys = np.array([stem_key(_stem(name)) for name in images], np.int64)
    ranks = np.array([_rank(suffix) for suffix in suffixes], np.int64)
    return keys, ranks, pa.array([join(folder, name) for name in images], pa.string())


def _keys_of_paths(
    parts: Sequence[tuple[np.ndarray, np.ndarray, pa.StringArray]],
) -> Iterator[tuple[np.ndarray, np.ndarray, pa.StringArray]]:
    """Yield the same files with the keys of their paths, and of their names where no other file has them."""
    paths_of_names: dict[int, set[int]] = {}  # keys
    for _, ranks, paths in parts:
        keys = np.array([file_keys(path) for path in paths.to_pylist()], np.int64).reshape(-1, 2)
        yield keys[:, 0], ranks, paths
        for of_path, of_name in keys.tolist():
            paths_of_names.setdefault(of_name, set()).add(of_path)
    for _, ranks, paths in parts:
        keys = np.array([file_keys(path)[1] for path in paths.to_pylist()], np.int64)
        alone = np.array([len(paths_of_names[key]) == 1 for key in keys.tolist()], bool)
        yield keys[alone], ranks[alone], paths.filter(pa.array(alone))


def _first_of_each_key(
    parts: Sequence[tuple[np.ndarray, np.ndarray, pa.StringArray]],
) -> tuple[np.ndarray, pa.StringArray]:
    """Return ascending keys and the path of the best file of each."""
    if not parts:
        return np.zeros(0, np.int64), pa.array([], pa.string())
    keys, ranks = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    order = np.lexsort((np.arange(len(keys)), ranks, keys))
    order = order[np.diff(keys[order], prepend=-1) != 0]
    return keys[order], pa.concat_arrays([part[2] for part in parts]).take(order)


def _numbered_files(
    numbers: Sequence[int], suffix_rows: Sequence[int], folder_row: int, folder: str
) -> np.ndarray:
    """Return rows (id, suffix row, folder row, 0 in the post's bucket else 1) of the numbered files."""
    ids, suffixes = np.array(numbers, np.int64), np.array(suffix_rows, np.int64)
    name = folder.rpartition("/")[2]
    bucket = int(name) if len(name) == 4 and name.isdecimal() else -1
    rows = np.stack([ids, suffixes, np.full(len(ids), folder_row), (ids % 1000 != bucket)], axis=1)
    return rows[ids >= 0]


def _first_of_each(rows: np.ndarray, ranks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ids, folder rows and suffix rows of the best file of each id, ids ascending.

    Args:
        rows: (N, 4) as `_numbered_files` returns them.
        ranks: of the suffixes.
    """
    rows = rows[np.lexsort((rows[:, 2], ranks[rows[:, 1]], rows[:, 3], rows[:, 0]))]
    rows = rows[np.diff(rows[:, 0], prepend=-1) != 0]
    return rows[:, 0].copy(), rows[:, 2].astype(np.int32), rows[:, 1].astype(np.int32)
