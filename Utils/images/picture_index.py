"""The pictures of a place by post: by number, by the id in the JSON beside them, by MD5, by name or path."""

import array
import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from Utils.command.text import counted
from Utils.files.atomic import AnyPath
from Utils.images import image_folder
from Utils.images.census import Census
from Utils.images.formats import SUFFIXES
from Utils.images.image_folder import hash63, is_only, is_unicode, join
from Utils.images.place import Place
from Utils.images.places import as_place

_FROM_ROOT = "./"  # before a path without its suffix: 1.jpg is no file a/1.jpg
_ANYWHERE = "*/"  # before a name that no other file of the place has
_EXACT = "/"  # behind a path with its suffix
_RANKS = {suffix: rank for rank, suffix in enumerate(SUFFIXES)}
# Columns of the pictures that are listed while a place is walked through.
_ID, _SUFFIX, _FOLDER, _IS_ELSEWHERE, _PATH = range(5)


def stem_key(stem: str) -> int:
    """Return the key of a file whose stem is no post id but, for example, an MD5; see `PictureIndex.find`."""
    return hash63(image_folder.composed(stem).lower()) | 1  # never 0, which means a post without another name


NUM_KEYS = 4  # of a file that is known by a name or a path
NO_KEYS = (0,) * NUM_KEYS
_NUM_ENDS = 2  # of these: of the end of its path, which only one file may have


def file_keys(path: str) -> tuple[int, int, int, int]:
    """Return the keys of a file that is known by a name or a path, the surest first; see `index`.

    They are those of the path, of the path without its suffix, as pictures get converted, and, for a path
    that begins elsewhere, of its name with the folder that it lies in and of its name alone: these find a
    file only if no other of the place has them.
    """
    path = path.replace("\\", "/").removeprefix("./")
    stem = path.rpartition(".")[0] if "." in path.rpartition("/")[2][1:] else path
    folder, _, name = stem.rpartition("/")
    end = f"{folder.rpartition('/')[2]}/{name}" if folder else name
    return (
        stem_key(f"{path}{_EXACT}"),
        stem_key(f"{_FROM_ROOT}{stem}"),
        stem_key(f"{_ANYWHERE}{end}"),
        stem_key(f"{_ANYWHERE}{name}"),
    )


@dataclasses.dataclass(frozen=True)
class PictureIndex:
    """The pictures of a place by post id, in about 24 bytes a file; made by `index`."""

    path: str
    ids: np.ndarray  # (N,) int64, ascending
    census: Census  # what the place holds, for messages
    _folder_rows: np.ndarray  # (N,) rows of _folders
    _suffix_rows: np.ndarray  # (N,) rows of the census' suffixes
    _path_rows: np.ndarray  # (N,) rows of _paths, -1 where the name is the plain number
    _folders: list[str]
    _paths: pa.StringArray
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
        for column in (keys if keys.ndim == 2 else keys[:, None]).T[::-1]:
            keyed = _find(self._keys, column)
            files = np.where(keyed >= 0, keyed + len(self.ids), files)
        return files

    def paths(self, files: np.ndarray) -> list[str]:
        """Return the paths, relative to the place, of files given by the numbers that `find` returns."""
        is_keyed = files >= len(self.ids)
        if is_keyed.all():
            return self._keyed_paths.take(files - len(self.ids)).to_pylist()
        rows = np.minimum(files, max(len(self.ids) - 1, 0))
        columns = (self.ids, self._folder_rows, self._suffix_rows, self._path_rows)
        paths = [self._path(*key) for key in zip(*(column[rows].tolist() for column in columns), strict=True)]
        for row in np.flatnonzero(is_keyed):
            paths[row] = self._keyed_paths[int(files[row]) - len(self.ids)].as_py()
        return paths

    def _path(self, number: int, folder_row: int, suffix_row: int, path_row: int) -> str:
        if path_row >= 0:
            return self._paths[path_row].as_py()
        return _plain_path(self._folders[folder_row], number, self.census.suffixes[suffix_row])

    def __str__(self) -> str:
        return self.census.describe(self.path)


def _plain_path(folder: str, number: int, suffix: str) -> str:
    return join(folder, f"{number}{suffix}")


def _find(ascending: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Return the position of every number among ascending ones, -1 for those that are not there."""
    if not len(ascending):
        return np.full(len(numbers), -1, np.int64)
    positions = np.minimum(np.searchsorted(ascending, numbers), len(ascending) - 1)
    return np.where(ascending[positions] == numbers, positions, -1)


def index(root: Place | AnyPath, named: bool = False, by_path: bool = False) -> PictureIndex:
    """List a place once and return the pictures whose number, or the JSON beside them, says their post.

    A picture's post is that of `image_folder.post_ids`. Unlike there, several files may be of one post, as a
    booru keeps them: the one at ``0NNN/ID`` wins, then the order of SUFFIXES, then that of paths.

    Args:
        root: of images, with all below it.
        named: whether files can be found by any other stem too (`stem_key`), for 60 more bytes a file.
        by_path: whether they can be found by `file_keys`, too, for three times as many more.
    """
    place, census, keyed = as_place(root), Census(), []
    listing = _Listing(place, census)
    for folder, names, pictures in image_folder.walk_pictures(place, census):
        if not is_unicode(folder):
            continue
        pictures = [name for name in pictures if is_unicode(name)]
        listing.add(folder, names, pictures)
        if named:
            keyed.append(_keyed_files(folder, pictures))
    rows, odd_paths = listing.posts(say_ties=not by_path)
    keys, paths = _first_of_each_key([*keyed, *(_keys_of_paths(keyed) if by_path else [])])
    return PictureIndex(
        str(root),
        rows[:, _ID].copy(),
        census,
        rows[:, _FOLDER].astype(np.int32),
        rows[:, _SUFFIX].astype(np.int32),
        rows[:, _PATH].astype(np.int32),
        listing.folders,
        odd_paths,
        keys,
        paths,
    )


class NamedPictures:
    """The post ids of a place's pictures, as `image_folder.post_ids` has them, by what others call these.

    Args:
        root: of the pictures.
    """

    def __init__(self, root: Place | AnyPath) -> None:
        place = as_place(root)
        self._files = index(place, named=True, by_path=True)
        walk = image_folder.walk_pictures(place)
        paths = [join(folder, name) for folder, _, pictures in walk for name in pictures]
        self._id_of = dict(zip(paths, image_folder.post_ids(paths, place), strict=True))

    def ids(self, names: Sequence[str]) -> list[int]:
        """Return the ids of pictures known by a name or a path, -1 for a name of no picture."""
        keys = np.array([file_keys(name) for name in names], np.int64).reshape(-1, NUM_KEYS)
        numbers = self._files.find(np.full(len(names), -1, np.int64), keys)
        is_there = numbers >= 0
        paths = iter(self._files.paths(numbers[is_there]))
        return [self._id_of[next(paths)] if has_file else -1 for has_file in is_there.tolist()]


def ids_of_names(root: Place | AnyPath, names: Sequence[str]) -> list[int]:
    """Return the post ids of pictures known by a name or a path, as `NamedPictures`.

    A name of no picture of the place gets the id of its path.
    """
    ids = NamedPictures(root).ids(names)
    return [image_folder.path_id(name) if post < 0 else post for name, post in zip(names, ids, strict=True)]


class _Listing:
    """The pictures of a place while it is walked through, in 40 bytes each.

    The paths of those whose name is no plain number are kept, too, if a JSON may say their post.
    """

    def __init__(self, place: Place, census: Census) -> None:
        self.folders: list[str] = []
        self._place, self._census = place, census
        self._parts: list[np.ndarray] = [np.zeros((0, 5), np.int64)]
        self._paths: list[pa.Array] = [pa.array([], pa.string())]
        self._num_paths = 0
        self._described = array.array("q")  # hash63 of what a JSON is named after
        self._has_rows = False  # whether some are rows of Parquet files

    def add(self, folder: str, names: Sequence[str], pictures: Sequence[str]) -> None:
        """Add the pictures among the files of a folder."""
        described = [join(folder, name[:-5]) for name in names if name[-5:].lower() == ".json"]
        self._described.extend(hash63(path) for path in described)
        self._has_rows = self._has_rows or self._place.is_row(join(folder, next(iter(pictures), "")))
        may_have_json = bool(described) or self._place.folder_path(folder) is None
        stems, suffix_rows = self._census.rows(pictures)
        odd, rows = [], []
        for name, stem, suffix_row in zip(pictures, stems, suffix_rows, strict=True):
            number = image_folder.decimal(stem)
            if number >= 0 and stem == str(number):
                rows.append((number, suffix_row, -1))
            elif number >= 0 or may_have_json:
                rows.append((number, suffix_row, self._num_paths + len(odd)))
                odd.append(join(folder, name))
        self._add_rows(folder, np.array(rows, np.int64).reshape(-1, 3))
        self._paths.append(pa.array(odd, pa.string()))
        self._num_paths += len(odd)

    def _add_rows(self, folder: str, rows: np.ndarray) -> None:
        name = folder.rpartition("/")[2]
        bucket = int(name) if len(name) == 4 and name.isdecimal() else -1
        ids, folder_rows = rows[:, 0], np.full(len(rows), len(self.folders))
        self._parts.append(np.stack([ids, rows[:, 1], folder_rows, ids % 1000 != bucket, rows[:, 2]], axis=1))
        self.folders.append(folder)

    def posts(self, say_ties: bool = False) -> tuple[np.ndarray, pa.StringArray]:
        """Return the rows of the best picture of each post, by id, and the paths that they refer to.

        Args:
            say_ties: whether the census notes posts that have several pictures of one rank.
        """
        rows, paths = np.concatenate(self._parts), pa.concat_arrays(self._paths)
        has_own_id = is_only(rows[:, _ID])
        may_have_more = len(self._described) or self._has_rows
        unnamed = np.flatnonzero(~has_own_id) if may_have_more else np.empty(0, np.int64)
        members = [self._path(row, paths) for row in rows[unnamed].tolist()]
        stated = self._stated_ids(members)
        changed = unnamed[stated >= 0]
        is_taken = np.isin(stated, rows[has_own_id, _ID])
        rows[changed, _ID] = np.where(is_taken, -1, stated)[stated >= 0]
        rows[changed, _PATH] = len(paths) + np.arange(len(changed))
        paths = pa.concat_arrays([paths, pa.array(members, pa.string()).filter(pa.array(stated >= 0))])
        has_own_id[changed] = True
        rows = rows[self._order(rows, has_own_id)]
        if say_ties:
            self._note_ties(rows, paths)
        rows = rows[(rows[:, _ID] >= 0) & (np.diff(rows[:, _ID], prepend=-1) != 0)]
        is_odd = rows[:, _PATH] >= 0
        paths = paths.take(rows[is_odd, _PATH])
        rows[is_odd, _PATH] = np.arange(len(paths))
        return rows, paths

    def _note_ties(self, rows: np.ndarray, paths: pa.StringArray) -> None:
        """Note posts whose picture is only the first of several by path: these may be of other posts."""
        ranked = np.stack([rows[:, _ID], rows[:, _IS_ELSEWHERE], self._ranks(rows)], axis=1)
        is_first = np.diff(rows[:, _ID], prepend=-1) != 0
        is_tied = is_first[:-1] & (ranked[1:] == ranked[:-1]).all(axis=1) & (rows[:-1, _ID] >= 0)
        if is_tied.any():
            place = int(np.argmax(is_tied))
            first, second = (self._path(row, paths) for row in rows[place : place + 2].tolist())
            self._census.notes += (
                f"{counted(int(is_tied.sum()), 'number is', 'numbers are')} the name of several pictures, "
                f"such as {first} and {second}; the post with this id gets the first of them",
            )

    def _stated_ids(self, members: Sequence[str]) -> np.ndarray:
        """Return the ids that stand beside pictures, -1 without; only JSON that was listed is looked for."""
        if self._has_rows:
            return image_folder.stated_ids(self._place, members)
        stems = [(hash63(path), hash63(image_folder.without_suffix(path))) for path in members]
        described = np.frombuffer(self._described, np.int64) if len(members) else np.empty(0, np.int64)
        has_json = np.isin(np.array(stems, np.int64).reshape(-1, 2), described).any(axis=1)
        ids = np.full(len(members), -1, np.int64)
        rows = np.flatnonzero(has_json)
        ids[rows] = image_folder.stated_ids(self._place, [members[row] for row in rows.tolist()])
        return ids

    def _path(self, row: Sequence[int], paths: pa.StringArray) -> str:
        if row[_PATH] >= 0:
            return paths[row[_PATH]].as_py()
        return _plain_path(self.folders[row[_FOLDER]], row[_ID], self._census.suffixes[row[_SUFFIX]])

    def _order(self, rows: np.ndarray, has_own_id: np.ndarray) -> np.ndarray:
        """Return the order of rows by id, the best of each id first."""
        return np.lexsort(
            (rows[:, _FOLDER], self._ranks(rows), rows[:, _IS_ELSEWHERE], ~has_own_id, rows[:, _ID])
        )

    def _ranks(self, rows: np.ndarray) -> np.ndarray:
        return np.array([_rank(suffix) for suffix in self._census.suffixes], np.int64)[rows[:, _SUFFIX]]


def _rank(suffix: str) -> int:
    """Return the place of a suffix among those of pictures, the one after them for any other."""
    return _RANKS.get(suffix.lower(), len(SUFFIXES))


def _keyed_files(folder: str, files: Sequence[str]) -> tuple[np.ndarray, np.ndarray, pa.StringArray]:
    """Return ``(keys, ranks of the suffixes, paths)`` of the images of one folder."""
    images = [name for name in files if is_unicode(name)]
    suffixes = [image_folder.suffix_of(name) for name in images]
    keys = np.array([stem_key(image_folder.stem_of(name)) for name in images], np.int64)
    ranks = np.array([_rank(suffix) for suffix in suffixes], np.int64)
    return keys, ranks, pa.array([join(folder, name) for name in images], pa.string())


def _keys_of_paths(
    parts: Sequence[tuple[np.ndarray, np.ndarray, pa.StringArray]],
) -> Iterator[tuple[np.ndarray, np.ndarray, pa.StringArray]]:
    """Yield the same files with the keys of their paths, and of the ends of these that no other file has."""
    paths_of_ends: dict[int, set[int]] = {}  # keys
    for _, ranks, paths in parts:
        keys = _file_keys_of(paths)
        yield keys[:, 0], ranks, paths
        yield keys[:, 1], ranks, paths
        for _, of_path, *of_ends in keys.tolist():
            for key in of_ends:
                paths_of_ends.setdefault(key, set()).add(of_path)
    for _, ranks, paths in parts:
        for column in _file_keys_of(paths)[:, -_NUM_ENDS:].T:
            alone = np.array([len(paths_of_ends[key]) == 1 for key in column.tolist()], bool)
            yield column[alone], ranks[alone], paths.filter(pa.array(alone))


def _file_keys_of(paths: pa.StringArray) -> np.ndarray:
    return np.array([file_keys(path) for path in paths.to_pylist()], np.int64).reshape(-1, NUM_KEYS)


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
