"""Image folders: which files are there, and which post each of them is."""

import collections
import dataclasses
import hashlib
import os
import pathlib

import numpy as np

from Utils.commands import UserError
from Utils.images import SUFFIXES

_LARGEST_ID = 2**63 - 1


def post_id(path):
    """Return the post id of an image, given its path relative to the image folder.

    The file's stem where that is a decimal number, else the first 63 bits of the path's SHA-256.
    """
    path = pathlib.PurePath(path)
    number = _decimal(path.stem)
    if number >= 0:
        return number
    return int.from_bytes(hashlib.sha256(path.as_posix().encode("utf-8")).digest()[:8], "big") >> 1


def _decimal(stem):
    """Return the number a stem stands for, -1 where it is none that fits 63 bits."""
    if not (stem.isdecimal() and stem.isascii()) or len(stem) > 100:
        return -1
    number = int(stem)
    return number if number <= _LARGEST_ID else -1


def is_image(name):
    """Whether a file name ends like an image, in capitals or not."""
    return pathlib.PurePath(name).suffix.lower() in SUFFIXES


def usual_path(identifier):
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

    def find(self, ids):
        """Return for every post id the number of its file, -1 where there is none: (P,) int64."""
        if not len(self.ids):
            return np.full(len(ids), -1, np.int64)
        place = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[place] == ids, place, -1)

    def paths(self, files):
        """Return the paths, relative to the folder, of files given by number."""
        keys = zip(
            self.ids[files].tolist(), self._places[files].tolist(), self._kinds[files].tolist(), strict=True
        )
        return [self._path(*key) for key in keys]

    def _path(self, number, place, kind):
        name = self._names.get((number, place, kind)) if self._names else None
        return join(self._folders[place], name or f"{number}{self.census.suffixes[kind]}")

    def __str__(self):
        return self.census.describe(self.path)


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


def index(folder):
    """List a folder once and return its images whose stem is a decimal number as an `ImageFolder`.

    Of several files of one post the one at ``0NNN/ID`` wins, then the order of SUFFIXES, then that of paths.
    """
    census, folders, names, found = Census(), [], {}, []
    for relative, files in walk(folder):
        stems, kinds = census.note(relative, files)
        numbers = [_decimal(stem) for stem in stems]
        for number, stem, kind, name in zip(numbers, stems, kinds, files, strict=True):
            if number >= 0 and stem[0] == "0" and stem != "0":
                names.setdefault((number, len(folders), kind), name)
        found.append(_rows(numbers, kinds, len(folders), relative))
        folders.append(relative)
    ranks = [SUFFIXES.index(suffix.lower()) if suffix.lower() in SUFFIXES else -1 for suffix in census.kinds]
    ids, places, kinds = _first_of_each(np.concatenate(found), np.array(ranks, np.int64))
    return ImageFolder(pathlib.Path(folder), ids, census, places, kinds, folders, names)


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
