"""Image folders: which files are there, and which post each of them is."""

import collections
import dataclasses
import hashlib
import os
import pathlib

import numpy as np
import pyarrow as pa

from Utils.command.cli import UserError
from Utils.files import csv_tables
from Utils.images.codec import SUFFIXES

LARGEST_POST_ID = 2**63 - 1  # post ids are stored as int64


def post_id(path):
    """Return the post id of an image, given its path relative to the image folder.

    The file's stem where that is a decimal number, else the first 63 bits of the path's SHA-256.
    """
    path = pathlib.PurePath(path)
    number = _decimal(path.stem)
    if number >= 0:
        return number
    return _number_of(path.as_posix())


def _number_of(text):
    """Return the first 63 bits of a text's SHA-256."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()[:8], "big") >> 1


def stem_key(stem):
    """Return what an `ImageFolder` finds a file by that is named otherwise than by its post id: its MD5."""
    return _number_of(stem.lower()) | 1  # never 0


def is_unicode(path):
    """Whether a path is Unicode; file systems allow any bytes."""
    return path.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in path)


def printable(path):
    """Return a path as text that every file can hold."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def write_rejected(path, rows):
    """Write rejected.csv of ``(post id, path, reason)``, ordered by id and path."""
    csv_tables.write_rows(path, ("post_id", "path", "reason"), sorted(map(tuple, rows)))


def _decimal(stem):
    """Return the number a stem stands for, -1 where it is none that fits 63 bits."""
    if not (stem.isdecimal() and stem.isascii()) or len(stem) > 100:
        return -1
    number = int(stem)
    return number if number <= LARGEST_POST_ID else -1


def is_image(name):
    """Whether a file name ends like an image, in capitals or not."""
    return pathlib.PurePath(name).suffix.lower() in SUFFIXES


def bucket_path(identifier):
    """Return where a booru's image folder keeps a post: ``0NNN/ID.jpg``, NNN = id modulo 1000."""
    return f"{identifier % 1000:04d}/{identifier}.jpg"


def walk(folder):
    """Yield ``(relative folder, file names)`` in sorted order; links to folders are followed, each once.

    Every folder is listed once, no file is touched. Raises UserError where ``folder`` is no folder.
    """
    root = pathlib.Path(folder)
    if not root.is_dir():
        raise UserError(
            f"an image folder was expected at {root}; found {'a file' if root.exists() else 'nothing'}"
        )
    seen = {os.path.realpath(root)}
    for top, folders, names in os.walk(root, followlinks=True):
        folders[:] = sorted(name for name in folders if _is_new(f"{top}/{name}", seen))
        relative = os.path.relpath(top, root).replace(os.sep, "/")
        yield ("" if relative == "." else relative), sorted(names)


def _is_new(path, seen):
    if not pathlib.Path(path).is_symlink():
        return True
    real = os.path.realpath(path)
    new = real not in seen
    seen.add(real)
    return new


def join(folder, name):
    """Return ``folder/name`` with forward slashes, or the name alone for the top folder."""
    return f"{folder}/{name}" if folder else name


def image_paths(root):
    """Return the paths of all images below a folder, relative to it, in the order of `walk`.

    Raises UserError, with what the folder holds, where there is none.
    """
    census, paths = Census(), []
    for top, names in walk(root):
        census.note(top, names)
        paths += [join(top, name) for name in names if is_image(name)]
    if not paths:
        raise UserError(f"no image found (suffixes {' '.join(SUFFIXES)}); {census.describe(root)}")
    return paths


@dataclasses.dataclass(frozen=True)
class ImageFolder:
    """The images of a folder by post id, in about 20 bytes a file; made by `index`."""

    path: pathlib.Path
    ids: np.ndarray  # (N,) int64, rising
    census: "Census"  # what the folder holds, for messages
    _places: np.ndarray  # (N,) rows of _folders
    _kinds: np.ndarray  # (N,) rows of the census' suffixes
    _folders: list
    _names: dict  # (id, folder row, kind) -> file name, where that is not the plain number (leading zeros)
    _keys: np.ndarray  # (M,) int64, rising: stem_key of the files that can be found by another name
    _named: pa.StringArray  # (M,) their paths

    def find(self, ids, keys=None):
        """Return for every post the number of its file, -1 where there is none: (P,) int64.

        Args:
            ids: (P,) post ids.
            keys: (P,) `stem_key` of another name that the file may have, looked for first.
        """
        found = _find(self.ids, ids)
        if keys is None:
            return found
        named = _find(self._keys, keys)
        return np.where(named >= 0, named + len(self.ids), found)

    def paths(self, files):
        """Return the paths, relative to the folder, of files given by number."""
        numbered = np.minimum(files, max(len(self.ids) - 1, 0))
        named = files >= len(self.ids)
        if named.all():
            return self._named.take(files - len(self.ids)).to_pylist()
        keys = zip(
            self.ids[numbered].tolist(),
            self._places[numbered].tolist(),
            self._kinds[numbered].tolist(),
            strict=True,
        )
        paths = [self._path(*key) for key in keys]
        for row in np.flatnonzero(named):
            paths[row] = self._named[int(files[row]) - len(self.ids)].as_py()
        return paths

    def _path(self, number, place, kind):
        name = self._names.get((number, place, kind)) if self._names else None
        return join(self._folders[place], name or f"{number}{self.census.suffixes[kind]}")

    def __str__(self):
        return self.census.describe(self.path)


def _find(rising, wanted):
    """Return the place of every wanted number among rising ones, -1 where it is not there."""
    if not len(rising):
        return np.full(len(wanted), -1, np.int64)
    place = np.minimum(np.searchsorted(rising, wanted), len(rising) - 1)
    return np.where(rising[place] == wanted, place, -1)


class Census:
    """What a folder holds, in files by suffix: for messages when nothing was found."""

    def __init__(self):
        self.folders = -1  # the top one does not count
        self.kinds = {}  # suffix -> kind
        self.examples, self.counts = [], []  # by kind

    @property
    def suffixes(self):
        """Return the suffixes by kind, as they are spelled."""
        return list(self.kinds)

    def note(self, folder, names):
        """Count the files of one folder; return their stems and kinds."""
        self.folders += 1
        stems, kinds = [], []
        for name in names:
            stem, dot, end = name.rpartition(".")
            kind = self.kinds.get(dot + end) if dot else self.kinds.get("")
            if kind is None:
                kind = self.kinds.setdefault(dot + end if dot else "", len(self.kinds))
                self.examples.append(join(folder, name))
                self.counts.append(0)
            stems.append(stem if dot else end)
            kinds.append(kind)
        for kind, number in collections.Counter(kinds).items():
            self.counts[kind] += number
        return stems, kinds

    def describe(self, path):
        """Say what the folder ``path`` holds: how many folders, and files by suffix with an example."""
        kinds = sorted(zip(self.counts, self.suffixes, self.examples, strict=True), reverse=True)[:6]
        files = [f"{count} {suffix or 'other'} files such as {example}" for count, suffix, example in kinds]
        return f"{path} holds {self.folders} folders and {', '.join(files) or 'no files'}"


def index(folder, named=False):
    """List a folder once and return its images whose stem is a decimal number as an `ImageFolder`.

    Of several files of one post the one at ``0NNN/ID`` wins, then the order of SUFFIXES, then that of paths.

    Args:
        named: whether files are to be found by any other stem too (`stem_key`), for another 60 bytes a file.
    """
    census, folders, names, found, others = Census(), [], {}, [], []
    for relative, files in walk(folder):
        if not is_unicode(relative):
            continue
        stems, kinds = census.note(relative, files)
        numbers = [_decimal(stem) for stem in stems]
        for number, stem, kind, name in zip(numbers, stems, kinds, files, strict=True):
            if number >= 0 and stem[0] == "0" and stem != "0":
                names.setdefault((number, len(folders), kind), name)
        found.append(_rows(numbers, kinds, len(folders), relative))
        folders.append(relative)
        if named:
            others.append(_named(relative, files))
    ranks = [SUFFIXES.index(suffix.lower()) if suffix.lower() in SUFFIXES else -1 for suffix in census.kinds]
    ids, places, kinds = _first_of_each(np.concatenate(found), np.array(ranks, np.int64))
    keys, paths = _first_named(others)
    return ImageFolder(pathlib.Path(folder), ids, census, places, kinds, folders, names, keys, paths)


def _named(folder, files):
    """Return ``(keys, ranks of the suffixes, paths)`` of the images of one folder."""
    images = [name for name in files if is_image(name) and is_unicode(name)]
    stems = [name.rpartition(".") for name in images]
    keys = np.array([stem_key(stem) for stem, _, _ in stems], np.int64)
    ranks = np.array([SUFFIXES.index(f".{end.lower()}") for _, _, end in stems], np.int64)
    return keys, ranks, pa.array([join(folder, name) for name in images], pa.string())


def _first_named(parts):
    """Return rising keys and the path of the best file of each."""
    if not parts:
        return np.zeros(0, np.int64), pa.array([], pa.string())
    keys, ranks = (np.concatenate([part[i] for part in parts]) for i in (0, 1))
    order = np.lexsort((np.arange(len(keys)), ranks, keys))
    order = order[np.diff(keys[order], prepend=-1) != 0]
    return keys[order], pa.concat_arrays([part[2] for part in parts]).take(order)


def _rows(numbers, kinds, place, folder):
    """Return (id, kind, place, 0 where the folder is the usual one else 1) of the numbered files: (n, 4)."""
    ids, kinds = np.array(numbers, np.int64), np.array(kinds, np.int64)
    last = folder.rpartition("/")[2]
    usual = int(last) if len(last) == 4 and last.isdecimal() else -1
    rows = np.stack([ids, kinds, np.full(len(ids), place), (ids % 1000 != usual)], axis=1)
    return rows[ids >= 0]


def _first_of_each(rows, ranks):
    """Return ids, places and kinds of the best file of each id, ids rising."""
    rows = rows[ranks[rows[:, 1]] >= 0] if len(ranks) else rows
    rows = rows[np.lexsort((rows[:, 2], ranks[rows[:, 1]], rows[:, 3], rows[:, 0]))]
    rows = rows[np.diff(rows[:, 0], prepend=-1) != 0]
    return rows[:, 0].copy(), rows[:, 2].astype(np.int32), rows[:, 1].astype(np.int32)
