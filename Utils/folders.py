"""Image folders: which files are there, and which post each of them is."""

import collections
import dataclasses
import functools
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
    if number is not None:
        return number
    return int.from_bytes(hashlib.sha256(path.as_posix().encode("utf-8")).digest()[:8], "big") >> 1


def _decimal(stem):
    if not (stem.isascii() and stem.isdecimal()):
        return None
    number = int(stem)
    return number if number <= _LARGEST_ID else None


def _split(name):
    """Return ``(stem, suffix)`` of a file name; pathlib takes five times as long for millions of them."""
    return os.path.splitext(name)  # noqa: PTH122


def is_image(name):
    """Whether a file name ends like an image, in capitals or not."""
    return _split(name)[1].lower() in SUFFIXES


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
    _folder: np.ndarray  # (N,) rows of _folders
    _suffix: np.ndarray  # (N,) rows of _suffixes
    _folders: list
    _suffixes: list
    _names: dict  # id -> file name, where that is not the plain number (leading zeros)
    census: dict  # what the folder holds, for messages

    def find(self, ids):
        """Return for every post id the number of its file, -1 where there is none: (P,) int64."""
        if not len(self.ids):
            return np.full(len(ids), -1, np.int64)
        place = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.where(self.ids[place] == ids, place, -1)

    def paths(self, places):
        """Return the paths, relative to the folder, of files given by number."""
        return [self._path(place) for place in np.asarray(places).tolist()]

    def _path(self, place):
        identifier = int(self.ids[place])
        name = self._names.get(identifier) or f"{identifier}{self._suffixes[self._suffix[place]]}"
        return join(self._folders[self._folder[place]], name)

    def __str__(self):
        return describe(self.path, self.census)


def describe(path, census):
    """Say what an image folder holds, for an error: folders, and files by suffix with an example."""
    kinds = [
        f"{count} {suffix} files such as {example}" for suffix, (count, example) in census["files"].items()
    ]
    return f"{path} holds {census['folders']} folders and {', '.join(kinds[:6]) or 'no files'}"


def index(folder):
    """List a folder once and return its images whose stem is a decimal number as an `ImageFolder`.

    Of several files of one post the one at ``0NNN/ID`` wins, then the order of SUFFIXES, then that of paths.
    """
    found, names, census = [], {}, {"folders": -1, "files": {}}
    folders, suffixes = [], collections.defaultdict(lambda: len(suffixes))
    for relative, files in walk(folder):
        census["folders"] += 1
        folders.append(relative)
        rows = []
        for name in files:
            stem, suffix = _split(name)
            count(census, suffix, join(relative, name))
            number = _decimal(stem)
            if number is None or suffix.lower() not in SUFFIXES:
                continue
            rows.append((number, _rank(relative, number, suffix), len(folders) - 1, suffixes[suffix]))
            if stem != str(number):
                names.setdefault((number, len(folders) - 1, suffixes[suffix]), name)
        found.append(np.array(rows, np.int64).reshape(-1, 4))
    ids, _, places, kinds = _first_of_each(found).T
    plain = {key[0]: name for key, name in names.items() if key in _chosen(names, ids, places, kinds)}
    small = functools.partial(np.ndarray.astype, dtype=np.int32)
    return ImageFolder(
        pathlib.Path(folder), ids.copy(), small(places), small(kinds), folders, list(suffixes), plain, census
    )


def count(census, suffix, path):
    """Count one file in a census ``{"folders": n, "files": {suffix: (count, example)}}``."""
    kind = suffix.lower() or "unnamed"
    number, example = census["files"].get(kind, (0, path))
    census["files"][kind] = (number + 1, example)


def _rank(folder, number, suffix):
    usual = folder.rpartition("/")[2] == f"{number % 1000:04d}"
    return (0 if usual else len(SUFFIXES)) + SUFFIXES.index(suffix.lower())


def _first_of_each(found):
    rows = np.concatenate(found) if found else np.empty((0, 4), np.int64)
    rows = rows[np.lexsort((rows[:, 3], rows[:, 2], rows[:, 1], rows[:, 0]))]
    return rows[np.concatenate([[True], rows[1:, 0] != rows[:-1, 0]])] if len(rows) else rows


def _chosen(names, ids, places, kinds):
    wanted = np.array([key[0] for key in names], np.int64)
    rows = np.flatnonzero(np.isin(ids, wanted)) if len(names) else []
    return {(int(ids[row]), int(places[row]), int(kinds[row])) for row in rows}
