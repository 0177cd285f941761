"""Places of pictures: a folder, tar and zip files, Parquet files with pictures, or a folder of them.

``members()`` names the files of a place, ``open(member)`` reads one where it lies; nothing is unpacked, and
no member's name is ever written to. A member is named by its path in the place: ``0001/5.jpg`` in a folder,
``data-0.tar/5.jpg`` where the folder holds data-0.tar, ``5.jpg`` where the place is data-0.tar itself.
"""

import functools
import os
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from Utils.command.cli import UserError
from Utils.files import archive_index, archive_scan, atomic, ranges, tar_members
from Utils.files.archive_index import ArchiveIndex
from Utils.files.atomic import AnyPath
from Utils.images import codec, image_reader
from Utils.images.place import HiddenFiles, Place, is_hidden, join

__all__ = ["HiddenFiles", "Place", "is_hidden", "join"]  # of the interface, for callers

COMPRESSED_SUFFIXES = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")  # of archives that are refused
EXPECTED = "an image folder, or a tar, zip or Parquet file of pictures,"


class Archive(Place):
    """One tar, zip or Parquet file, or several of a folder and nothing else in it."""

    def walk(self, hidden: HiddenFiles | None = None) -> Iterator[tuple[str, list[str]]]:
        """Yield the members by folder, as they lie in the file."""
        yield from _walk_index(self._archives(), hidden)

    def _archives(self) -> ArchiveIndex:
        if self._index is None:
            self._index = archive_index.build(self._root, [""], self._kept)
        return self._index

    def _may_be_in_archive(self, member: str) -> bool:
        return True

    def with_archives(self, index: ArchiveIndex | None) -> Place:
        """Return the place with another index."""
        place = Archive(self._root, None)
        place._index = index
        return place


class Folder(Place):
    """A folder of files on this machine, and of archives."""

    def __init__(self, path: AnyPath, kept: AnyPath | None) -> None:
        super().__init__(path, kept)
        self._archive_names: list[str] | None = None

    def walk(self, hidden: HiddenFiles | None = None) -> Iterator[tuple[str, list[str]]]:
        """Yield the files by folder, without touching any; links to folders elsewhere are followed once."""
        archives = []
        for folder, names in self._walk_files(hidden):
            of_folder = [name for name in names if self._is_archive(join(folder, name))]
            archives += [join(folder, name) for name in of_folder]
            yield folder, ([name for name in names if name not in of_folder] if of_folder else names)
        self._archive_names = archives
        if archives:
            yield from _walk_index(self._archives(), hidden)

    def folder_path(self, folder: str) -> pathlib.Path | None:
        """Return the path of a folder of files; None in archives."""
        path = pathlib.Path(self.path, folder)
        return None if self._may_be_in_archive(f"{folder}/") and not path.is_dir() else path

    def _walk_files(self, hidden: HiddenFiles | None) -> Iterator[tuple[str, list[str]]]:
        root = self._root
        visited: set[str] = set()
        real_root = os.path.realpath(root)
        onerror = hidden.unreadable.append if hidden is not None else None
        for top, folders, names in os.walk(root, followlinks=True, onerror=onerror):
            if hidden is not None:
                for name in filter(is_hidden, names):
                    hidden.add(name)
                for folder in filter(is_hidden, folders):
                    for _, _, files in os.walk(f"{top}/{folder}"):
                        for name in files:
                            hidden.add(name)
            visible = sorted(name for name in folders if not is_hidden(name))
            folders[:] = [name for name in visible if _is_followed(f"{top}/{name}", real_root, visited)]
            relative = os.path.relpath(top, root).replace(os.sep, "/")
            yield ("" if relative == "." else relative), sorted(name for name in names if not is_hidden(name))

    def _is_archive(self, member: str) -> bool:
        """Whether a file is an archive by its name, and a Parquet file by its columns, too."""
        if not member.lower().endswith(archive_scan.SUFFIXES):
            return False
        return archive_scan.holds_files(f"{self._root}/{member}")

    def _archives(self) -> ArchiveIndex:
        if self._index is None:
            if self._archive_names is None:
                self._archive_names = [
                    join(folder, name)
                    for folder, names in self._walk_files(None)
                    for name in names
                    if self._is_archive(join(folder, name))
                ]
            self._index = archive_index.build(self._root, self._archive_names, self._kept)
        return self._index

    def _may_be_in_archive(self, member: str) -> bool:
        lowered = member.lower()
        return any(f"{suffix}/" in lowered for suffix in archive_scan.SUFFIXES)

    def with_archives(self, index: ArchiveIndex | None) -> Place:
        """Return the place with another index."""
        place = type(self)(self._root, None)
        place._index = index or archive_index.of_table(self._root, (), archive_scan.EMPTY)
        return place

    def _path_of(self, member: str) -> str:
        if member in ("", ".") or member[0] == "/" or ".." in member.split("/") or "\0" in member:
            raise codec.ImageError("path leads out of the image folder")
        return f"{self._root}/{member}"

    def _open_file(self, member: str) -> bytes:
        return image_reader.read_bytes(self._path_of(member))

    def _head_of_file(self, member: str) -> bytes:
        descriptor = os.open(self._path_of(member), ranges.OPEN_FLAGS)
        try:
            return os.read(descriptor, 64)
        finally:
            os.close(descriptor)

    def _stamp_of_file(self, member: str) -> tuple[int, int]:
        facts = pathlib.Path(self._path_of(member)).stat()
        return facts.st_size, facts.st_mtime_ns

    def _has_file(self, member: str) -> bool:
        try:
            return pathlib.Path(self._path_of(member)).is_file()
        except (codec.ImageError, OSError):
            return False

    def _is_inside(self, member: str) -> bool:
        return pathlib.Path(self._path_of(member)).resolve().is_relative_to(self._root)


class RemoteFolder(Folder):
    """A folder on another file system (``gs://``, ``s3://``, ``memory://``), listed at once."""

    @functools.cached_property
    def _remote(self) -> Any:
        return atomic.to_path(self.path)

    @functools.cached_property
    def _names(self) -> dict[str, list[str]]:
        """Return ``{folder: names}`` of all files, sorted."""
        root = self._remote.path.rstrip("/")
        by_folder: dict[str, list[str]] = {}
        for path in sorted(self._remote.fs.find(self._remote.path)):
            folder, _, name = path[len(root) + 1 :].rpartition("/")
            by_folder.setdefault(folder, []).append(name)
        return by_folder

    def _walk_files(self, hidden: HiddenFiles | None) -> Iterator[tuple[str, list[str]]]:
        for folder in sorted(self._names):
            in_hidden = any(map(is_hidden, folder.split("/")))
            names = [name for name in self._names[folder] if not in_hidden and not is_hidden(name)]
            if hidden is not None and len(names) < len(self._names[folder]):
                for name in set(self._names[folder]) - set(names):
                    hidden.add(name)
            if names:
                yield folder, names

    def _open_file(self, member: str) -> bytes:
        self._path_of(member)
        return self._remote.fs.cat_file(f"{self._remote.path.rstrip('/')}/{member}")

    def _head_of_file(self, member: str) -> bytes:
        self._path_of(member)
        return self._remote.fs.cat_file(f"{self._remote.path.rstrip('/')}/{member}", start=0, end=64)

    def _stamp_of_file(self, member: str) -> tuple[int, int]:
        text = ranges.stamp(self._path_of(member))
        return int(text.split()[0]), archive_scan.key_of(text)

    def _has_file(self, member: str) -> bool:
        folder, _, name = member.rpartition("/")
        return name in self._names.get(folder, ())

    def _is_inside(self, member: str) -> bool:
        return True

    def folder_path(self, folder: str) -> pathlib.Path | None:
        """Return None: nothing is written beside pictures elsewhere."""
        return None


def open_place(path: AnyPath, beside: AnyPath | None = None) -> Place:
    """Return the place of pictures at a path.

    Args:
        path: a folder; a tar, zip or Parquet file; of any file system that fsspec opens.
        beside: an output of the command; the index of archives is kept in its folder as NAME.index.parquet.
            Without it the index is not kept.

    Raises UserError where nothing is there, or a file that is none of these.
    """
    place: Any = atomic.to_path(path)
    is_remote = atomic.is_remote(place)
    kept = None if beside is None else _kept_path(place, atomic.to_path(beside))
    if place.is_dir():
        return RemoteFolder(str(path).rstrip("/"), kept) if is_remote else Folder(path, kept)
    if not place.is_file():
        raise UserError(f"{EXPECTED} was expected at {path}; found nothing")
    if not (str(path).lower().endswith((*archive_scan.SUFFIXES, *COMPRESSED_SUFFIXES)) or _is_archive(path)):
        raise UserError(f"{EXPECTED} was expected at {path}; found a file of another kind")
    return Archive(path, kept)


def of_archives(root: str, archives: Sequence[str], kept: AnyPath | None = None) -> Place:
    """Return the place of some archives of a folder, and of nothing else in it.

    Args:
        root: their folder.
        archives: their paths in it.
        kept: where their index is kept, if it is.
    """
    absolute = root if "://" in root else str(pathlib.Path(root).resolve())
    return of_index(archive_index.build(absolute, archives, kept))


def of_index(index: ArchiveIndex) -> Place:
    """Return the place of the members of an index."""
    place = Archive(index.root, None)
    place._index = index
    return place


def as_place(place: "Place | AnyPath") -> Place:
    """Return a place as it is, or the one at a path."""
    return place if isinstance(place, Place) else open_place(place)


def _kept_path(place: pathlib.Path, output: pathlib.Path) -> pathlib.Path:
    name = place.name or place.resolve().name or "pictures"
    for suffix in archive_scan.SUFFIXES:
        name = name[: -len(suffix)] if name.lower().endswith(suffix) else name
    return output.parent / f"{name}.index.parquet"


def _is_archive(path: AnyPath) -> bool:
    start = ranges.RangeReader(path).read(0, tar_members.BLOCK)
    if start[:4] in (b"PK\x03\x04", b"PAR1"):
        return True
    try:
        return bool(tar_members.parse_header(start).name)
    except tar_members.TarError:
        return False


def _is_followed(path: str, root: str, visited: set[str]) -> bool:
    """Whether a folder is walked into: no link that leads where a walk of ``root`` is, or comes, by itself.

    Else a picture would be there twice, and could be in two splits. Only links cost an access to the file
    system.
    """
    if not pathlib.Path(path).is_symlink():
        return True
    target = pathlib.Path(os.path.realpath(path))
    if target.is_relative_to(root) and not any(map(is_hidden, target.relative_to(root).parts)):
        return False
    is_new = str(target) not in visited and not pathlib.Path(root).is_relative_to(target)
    visited.add(str(target))
    return is_new


def _walk_index(index: ArchiveIndex, hidden: HiddenFiles | None) -> Iterator[tuple[str, list[str]]]:
    """Yield the visible members of archives, as runs of one folder."""
    folder, names, folder_is_hidden = None, [], False
    for member in index.names():
        of_member, _, name = member.rpartition("/")
        if of_member != folder:
            if names:
                yield str(folder), names
            folder, names = of_member, []
            folder_is_hidden = any(map(is_hidden, of_member.split("/")))
        if not (folder_is_hidden or is_hidden(name)):
            names.append(name)
        elif hidden is not None:
            hidden.add(name)
    if names:
        yield str(folder), names
