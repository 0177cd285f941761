"""Image folders: which files are there, and which post each of them shows."""

import collections
import dataclasses
import hashlib
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa

from Utils.command.cli import UserError
from Utils.files import csv_tables
from Utils.files.atomic import AnyPath
from Utils.images.formats import OTHER_SUFFIXES, SUFFIXES

LARGEST_POST_ID = 2**63 - 1  # post ids are stored as int64
# Folders that systems make beside pictures: thumbnails, trash, and what macOS puts into zip files. Names that
# begin with a point are hidden, too.
SYSTEM_FOLDERS = {
    "@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "recycler", "__macosx", "lost+found",
    "system volume information",
}  # fmt: skip


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


def post_ids(paths: Sequence[str]) -> list[int]:
    """Return the post ids of all images of one folder, given their paths relative to it.

    As `post_id`, but a number that is the stem of several images (``a/1.jpg``, ``b/1.jpg``, ``1.png``) names
    no post: such images get the hash of their path, so that none stands for another.
    """
    numbers = [_decimal(pathlib.PurePath(path).stem) for path in paths]
    counts = collections.Counter(numbers)
    return [
        number if number >= 0 and counts[number] == 1 else path_id(path)
        for number, path in zip(numbers, paths, strict=True)
    ]


def _hash63(text: str) -> int:
    """Return the first 63 bits of a text's SHA-256."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8], "big") >> 1


def stem_key(stem: str) -> int:
    """Return the key of a file whose stem is no post id but, for example, an MD5; see `ImageFolder.find`."""
    return _hash63(stem.lower()) | 1  # never 0, which means a post without another name


def is_unicode(path: str) -> bool:
    """Whether a path is Unicode text; file systems allow any bytes."""
    return path.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in path)


def printable(path: str) -> str:
    """Return a path as text that can be written to any file; bytes that are no UTF-8 become U+FFFD."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


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


def is_hidden(name: str) -> bool:
    """Whether a file or a folder is none of the user's pictures by its name: hidden, or made by a system."""
    return name.startswith(".") or name.casefold() in SYSTEM_FOLDERS


def walk(folder: AnyPath, census: "Census | None" = None) -> Iterator[tuple[str, list[str]]]:
    """Yield ``(relative folder, file names)`` in sorted order, without touching any file.

    Links to folders are followed, and every folder is listed once. What `is_hidden` is left out; ``census``
    counts the pictures in it. Raises UserError where ``folder`` is no folder.
    """
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise UserError(
            f"an image folder was expected at {root}; found {'a file' if root.exists() else 'nothing'}"
        )
    visited = {os.path.realpath(root)}
    for top, folders, names in os.walk(root, followlinks=True):
        if census is not None:
            census.count_hidden(top, folders, names)
        visible = (name for name in folders if not is_hidden(name))
        folders[:] = sorted(name for name in visible if _is_new(f"{top}/{name}", visited))
        relative = os.path.relpath(top, root).replace(os.sep, "/")
        yield ("" if relative == "." else relative), sorted(name for name in names if not is_hidden(name))


def _is_new(path: str, visited: set[str]) -> bool:
    """Whether no link has led to this folder before; only links cost an access to the file system."""
    if not pathlib.Path(path).is_symlink():
        return True
    target = os.path.realpath(path)
    is_new = target not in visited
    visited.add(target)
    return is_new


def join(folder: str, name: str) -> str:
    """Return ``folder/name`` with forward slashes, or the name alone for the top folder."""
    return f"{folder}/{name}" if folder else name


def image_paths(root: AnyPath, say: Callable[[str], None] = lambda text: None) -> list[str]:
    """Return the paths of all images below a folder, relative to it, in the order of `walk`.

    ``say`` gets a sentence about the files that are passed by, where there are some. Raises UserError, which
    says what the folder holds, where there is no image.
    """
    census, paths = Census(), []
    for folder, names in walk(root, census):
        census.count(folder, names)
        paths += [join(folder, name) for name in names if is_image(name)]
    if not paths:
        raise UserError(f"no image found (suffixes {' '.join(SUFFIXES)}); {census.describe(root)}")
    if census.passed_by():
        say(census.passed_by())
    return paths


@dataclasses.dataclass(frozen=True)
class ImageFolder:
    """The images of a folder by post id, in about 20 bytes a file; made by `index`."""

    path: pathlib.Path
    ids: np.ndarray  # (N,) int64, ascending
    census: "Census"  # what the folder holds, for messages
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
            keys: (P,) `stem_key` of another name that the file may have, which is looked for first.
        """
        files = _find(self.ids, ids)
        if keys is None:
            return files
        keyed = _find(self._keys, keys)
        return np.where(keyed >= 0, keyed + len(self.ids), files)

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


class Census:
    """Files of a folder by suffix, with an example of each: for messages when nothing was found."""

    def __init__(self) -> None:
        self.folders = -1  # the top one does not count
        self.hidden = 0  # pictures, by name, that are hidden or lie in a system's folder
        self._rows: dict[str, int] = {}  # suffix -> row of what follows
        self._examples: list[str] = []
        self._counts: list[int] = []

    @property
    def suffixes(self) -> list[str]:
        """Return the suffixes by row, as they are spelled."""
        return list(self._rows)

    def count(self, folder: str, names: Sequence[str]) -> tuple[list[str], list[int]]:
        """Count the files of one folder; return their stems and the rows of their suffixes."""
        self.folders += 1
        stems, rows = [], []
        for name in names:
            stem, dot, end = name.rpartition(".")
            row = self._rows.get(dot + end) if dot else self._rows.get("")
            if row is None:
                row = self._rows.setdefault(dot + end if dot else "", len(self._rows))
                self._examples.append(join(folder, name))
                self._counts.append(0)
            stems.append(stem if dot else end)
            rows.append(row)
        for row, number in collections.Counter(rows).items():
            self._counts[row] += number
        return stems, rows

    def count_hidden(self, top: str, folders: Sequence[str], names: Sequence[str]) -> None:
        """Count the pictures of one folder that are hidden, or lie in a hidden folder below it."""
        self.hidden += sum(is_hidden(name) and is_image(name) for name in names)
        for folder in filter(is_hidden, folders):
            for _, _, files in os.walk(f"{top}/{folder}"):
                self.hidden += sum(map(is_image, files))

    def passed_by(self) -> str:
        """Say which files, that are or may be pictures, are not taken; empty where there are none."""
        others: collections.Counter[str] = collections.Counter()
        for count, suffix in zip(self._counts, self.suffixes, strict=True):
            if suffix.lower() in OTHER_SUFFIXES:
                others[suffix.lower()] += count
        parts = [f"{self.hidden} of systems and hidden"] if self.hidden else []
        parts += [f"{count} {suffix}" for suffix, count in others.most_common()]
        return f"passed by: {', '.join(parts)}" if parts else ""

    def describe(self, path: AnyPath) -> str:
        """Say how many folders and files by suffix the folder ``path`` holds."""
        kinds = sorted(zip(self._counts, self.suffixes, self._examples, strict=True), reverse=True)[:6]
        files = [f"{count} {suffix or 'other'} files such as {example}" for count, suffix, example in kinds]
        return f"{path} holds {self.folders} folders and {', '.join(files) or 'no files'}"


def index(folder: AnyPath, named: bool = False) -> ImageFolder:
    """List a folder once and return its images whose stem is a decimal number as an `ImageFolder`.

    Of several files of one post the one at ``0NNN/ID`` wins, then the order of SUFFIXES, then that of paths.

    Args:
        folder: of images, with all below it.
        named: whether files can be found by any other stem too (`stem_key`), for 60 more bytes a file.
    """
    census, folders, names, numbered, keyed = Census(), [], {}, [], []
    for relative, files in walk(folder, census):
        if not is_unicode(relative):
            continue
        stems, suffix_rows = census.count(relative, files)
        numbers = [_decimal(stem) for stem in stems]
        for number, stem, row, name in zip(numbers, stems, suffix_rows, files, strict=True):
            if number >= 0 and stem[0] == "0" and stem != "0":
                names.setdefault((number, len(folders), row), name)
        numbered.append(_numbered_files(numbers, suffix_rows, len(folders), relative))
        folders.append(relative)
        if named:
            keyed.append(_keyed_files(relative, files))
    lowered = [suffix.lower() for suffix in census.suffixes]
    ranks = [SUFFIXES.index(suffix) if suffix in SUFFIXES else -1 for suffix in lowered]
    ids, folder_rows, suffix_rows = _first_of_each(np.concatenate(numbered), np.array(ranks, np.int64))
    keys, paths = _first_of_each_key(keyed)
    return ImageFolder(
        pathlib.Path(folder), ids, census, folder_rows, suffix_rows, folders, names, keys, paths
    )


def _keyed_files(folder: str, files: Sequence[str]) -> tuple[np.ndarray, np.ndarray, pa.StringArray]:
    """Return ``(keys, ranks of the suffixes, paths)`` of the images of one folder."""
    images = [name for name in files if is_image(name) and is_unicode(name)]
    stems = [name.rpartition(".") for name in images]
    keys = np.array([stem_key(stem) for stem, _, _ in stems], np.int64)
    ranks = np.array([SUFFIXES.index(f".{end.lower()}") for _, _, end in stems], np.int64)
    return keys, ranks, pa.array([join(folder, name) for name in images], pa.string())


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
        ranks: of the suffixes, -1 for those of no image.
    """
    rows = rows[ranks[rows[:, 1]] >= 0] if len(ranks) else rows
    rows = rows[np.lexsort((rows[:, 2], ranks[rows[:, 1]], rows[:, 3], rows[:, 0]))]
    rows = rows[np.diff(rows[:, 0], prepend=-1) != 0]
    return rows[:, 0].copy(), rows[:, 2].astype(np.int32), rows[:, 1].astype(np.int32)
