"""The interface of places of pictures; `Utils.images.places` has folders, archives and other file systems."""

import collections
import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from Utils.files.archive_index import ArchiveIndex, MemberError
from Utils.files.atomic import AnyPath
from Utils.images import codec, image_reader

# Folders that systems make beside pictures: thumbnails, trash, and what macOS puts into zip files. Names that
# begin with a point are hidden, too.
SYSTEM_FOLDERS = {
    "@eadir", "@recycle", "@recently-snapshot", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "recycler",
    "__macosx", "lost+found", "system volume information",
}  # fmt: skip


def is_hidden(name: str) -> bool:
    """Whether a file or a folder is none of the user's pictures by its name: hidden, or made by a system."""
    return name.startswith(".") and name not in (".", "..") or name.casefold() in SYSTEM_FOLDERS


def join(folder: str, name: str) -> str:
    """Return ``folder/name`` with forward slashes, or the name alone for the top folder."""
    return f"{folder}/{name}" if folder else name


class Place:
    """Files that can be listed and read in place; made by `open_place`.

    Attributes:
        path: as the user named it.
        notes: sentences about archives, once they have been indexed.
    """

    def __init__(self, path: AnyPath, kept: AnyPath | None) -> None:
        self.path = str(path) if "://" in str(path) else str(pathlib.Path(path))
        # Absolute: parts are sent to other processes and machines.
        self._root = self.path if "://" in self.path else str(pathlib.Path(path).resolve())
        self._kept = kept
        self._index: ArchiveIndex | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """Return what was passed by in archives, as sentences for people."""
        return self._index.notes if self._index is not None else ()

    @property
    def unreadable(self) -> tuple[tuple[str, str], ...]:
        """Return ``(member, reason)`` of archives that were set aside, once the others have been indexed."""
        return self._index.unreadable if self._index is not None else ()

    def walk(self, hidden: "HiddenFiles | None" = None) -> Iterator[tuple[str, list[str]]]:
        """Yield ``(folder, names)`` of the files in it, relative to the place, without what `is_hidden`.

        The order is the same on every system: folders and names sorted, then archives by path, their members
        as they lie there. ``hidden`` gets the hidden files.
        """
        raise NotImplementedError

    def members(self) -> list[str]:
        """Return the names of all members, in the order of `walk`."""
        return [join(folder, name) for folder, names in self.walk() for name in names]

    def open(self, member: str) -> bytes:
        """Return the content of a member; its name is untrusted.

        Raises ImageError with a short reason where the member is unfit, FileNotFoundError where there is none
        of this name, another OSError where it cannot be read, UserError where its archive is damaged.
        """
        row = self._row(member)
        if row < 0:
            return self._open_file(member)
        assert self._index is not None
        try:
            return self._index.read(row, image_reader.MOST_BYTES)
        except MemberError as error:
            raise codec.ImageError(str(error)) from error

    def head(self, member: str) -> bytes:
        """Return the first bytes of a member, 64 or more where it has as many; empty if it cannot be read."""
        row = self._row(member)
        try:
            if row < 0:
                return self._head_of_file(member)
            assert self._index is not None
            return self._index.head(row)
        except (OSError, MemberError, codec.ImageError):
            return b""

    def is_row(self, member: str) -> bool:
        """Return whether a member is a row of a column of pictures: a look into it would read its group."""
        row = self._row(member)
        return row >= 0 and self._index is not None and self._index.is_row(row)

    def row_ids(self, members: Sequence[str]) -> list[Any]:
        """Return the ids that the rows of columns of pictures have, None for other members."""
        places = [place for place, member in enumerate(members) if self._may_be_in_archive(member)]
        ids: list[Any] = [None] * len(members)
        if places:
            rows = self._archives().find([members[place] for place in places])
            present = np.array(places, np.int64)[rows >= 0].tolist()
            values = self._archives().row_ids(rows[rows >= 0])
            for place, value in zip(present, values, strict=True):
                ids[place] = value
        return ids

    def stamp(self, member: str) -> tuple[int, int]:
        """Return two numbers that change when a member does; OSError where it is gone."""
        row = self._row(member)
        if row < 0:
            return self._stamp_of_file(member)
        assert self._index is not None
        return self._index.stamp(row)

    def part(self, members: Sequence[str]) -> "Place":
        """Return a place from which these members can be read: small, to be sent to another process."""
        in_archives = [member for member in members if self._may_be_in_archive(member)]
        if not in_archives:
            return self.with_archives(None)
        rows = self._archives().find(in_archives)
        return self.with_archives(self._archives().part(rows[rows >= 0].tolist()))

    def archived(self, names: Iterable[Sequence[str]]) -> tuple[ArchiveIndex, np.ndarray] | None:
        """Return the index of the archives and the rows in it of members, int64, in blocks of names.

        None where no member of an archive is a row of a Parquet file. Files of their own have no row.
        """
        parts: list[np.ndarray] = []
        for block in names:
            in_archives = [name for name in block if self._may_be_in_archive(name)]
            if in_archives:
                index = self._archives()
                if not index.has_rows:
                    return None
                parts.append(index.find(in_archives))
        rows = np.concatenate([np.zeros(0, np.int64), *parts])
        return (self._archives(), rows[rows >= 0]) if parts else None

    def reading_order(self, members: Sequence[str]) -> list[int] | None:
        """Return in which order members are read fastest; None where any order is as fast."""
        if not any(map(self._may_be_in_archive, members)):
            return None
        rows = self._archives().find(members)
        order = self._archives().reading_order(rows) if (rows >= 0).all() else None
        return None if order is None else order.tolist()

    def has(self, members: Sequence[str]) -> list[bool]:
        """Return whether each name is a member's."""
        in_archives = [member for member in members if self._may_be_in_archive(member)]
        rows = self._archives().find(in_archives) if in_archives else ()
        is_there = {member: row >= 0 for member, row in zip(in_archives, rows, strict=True)}
        return [bool(is_there.get(member)) or self._has_file(member) for member in members]

    def with_archives(self, index: ArchiveIndex | None) -> "Place":
        """Return the place with another index of archives, None for one without any."""
        raise NotImplementedError

    def holds(self, member: str) -> bool:
        """Return whether a member is there and no link leads out of the place."""
        return self._row(member) >= 0 or (self._has_file(member) and self._is_inside(member))

    def folder_path(self, folder: str) -> pathlib.Path | None:
        """Return where files can be written beside members of a folder; None in archives and elsewhere."""
        return None

    def __str__(self) -> str:
        return self.path

    # What follows differs between places.

    def _archives(self) -> ArchiveIndex:
        """Return the index of all archives of the place, made when it is needed first."""
        raise NotImplementedError

    def _may_be_in_archive(self, member: str) -> bool:
        raise NotImplementedError

    def _open_file(self, member: str) -> bytes:
        raise FileNotFoundError(2, "no such member", member)

    def _head_of_file(self, member: str) -> bytes:
        return self._open_file(member)[:64]

    def _stamp_of_file(self, member: str) -> tuple[int, int]:
        raise FileNotFoundError(2, "no such member", member)

    def _has_file(self, member: str) -> bool:
        return False

    def _is_inside(self, member: str) -> bool:
        return True

    def _row(self, member: str) -> int:
        """Return the row of a member in the index of archives, -1 for a file of its own."""
        if not self._may_be_in_archive(member):
            return -1
        return int(self._archives().find([member])[0])


class HiddenFiles:
    """Collects the files that `is_hidden`, by name, and the folders that cannot be listed."""

    def __init__(self) -> None:
        self.names: collections.Counter[str] = collections.Counter()  # by lower-cased suffix
        self.unreadable: list[OSError] = []

    def add(self, name: str) -> None:
        """Count a file."""
        self.names[pathlib.PurePath(name).suffix.lower()] += 1
