"""What a place of pictures holds, counted for messages: files by suffix, and those that are passed by."""

import collections
import sys
from collections.abc import Mapping, Sequence

from Utils.command.text import counted, join_names
from Utils.files.atomic import AnyPath
from Utils.images.formats import SUFFIXES
from Utils.images.place import HiddenFiles, Place, join


class Census:
    """Files of a place by suffix, with an example of each: for messages when nothing was found."""

    def __init__(self) -> None:
        self.folders = -1  # the top one does not count
        self.hidden = 0  # pictures, by name, that are hidden or lie in a system's folder
        self.unreadable: list[OSError] = []  # of folders
        self.unreadable_archives: dict[str, str] = {}  # path -> reason
        self.others: collections.Counter[str] = collections.Counter()  # pictures that are not read, by suffix
        self.missing_plugins: set[str] = set()  # sentences: what would read some of them
        self.notes: tuple[str, ...] = ()  # about archives
        self._rows: dict[str, int] = {}  # suffix -> row of what follows
        self._examples: list[str] = []
        self._counts: list[int] = []

    @property
    def suffixes(self) -> list[str]:
        """Return the suffixes by row, as they are spelled."""
        return list(self._rows)

    def count(self, folder: str, names: Sequence[str]) -> None:
        """Count the files of one folder."""
        self.folders += 1
        for row, number in collections.Counter(self.rows(names, folder)[1]).items():
            self._counts[row] += number

    def rows(self, names: Sequence[str], folder: str = "") -> tuple[list[str], list[int]]:
        """Return the stems of files and the rows of their suffixes; the first of a suffix is its example."""
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
        return stems, rows

    def add_hidden(self, files: HiddenFiles) -> None:
        """Count the pictures, by name, among hidden files, and keep what was said of unreadable folders."""
        self.unreadable += files.unreadable
        self.hidden += sum(count for suffix, count in files.names.items() if suffix in SUFFIXES)

    def add_unreadable(self, place: Place) -> None:
        """Keep which archives of a place were set aside, once it was walked through."""
        self.unreadable_archives |= {join(place.path, path): reason for path, reason in place.unreadable}

    def passed_by(self) -> str:
        """Say which files, that are or may be pictures, are not taken; empty where there are none."""
        parts = [f"{self.hidden} of systems and hidden"] if self.hidden else []
        if self.unreadable:
            first = self.unreadable[0]
            reason = f"{first.strerror}: {first.filename}"
            parts.append(f"{counted(len(self.unreadable), 'folder')} that cannot be read ({reason})")
        parts += [f"{count} {suffix}" for suffix, count in self.others.most_common()]
        sentences = [f"passed by: {', '.join(parts)}"] if parts else []
        if self.unreadable_archives:
            sentences.append(_set_aside(self.unreadable_archives))
        return "\n".join([*sentences, *sorted(self.missing_plugins), *self.notes])

    def describe(self, path: Place | AnyPath) -> str:
        """Say how many folders and files by suffix the folder ``path`` holds."""
        kinds = sorted(zip(self._counts, self.suffixes, self._examples, strict=True), reverse=True)[:6]
        files = [
            f"{counted(count, (suffix or 'other') + ' file')} such as {example}"
            for count, suffix, example in kinds
        ]
        return f"{path} holds {counted(self.folders, 'folder')} and {', '.join(files) or 'no files'}"


_MOST_NAMED = 20  # archives


def _set_aside(archives: Mapping[str, str]) -> str:
    """Say which archives were set aside, why, and what to do."""
    names = join_names([f"{path} ({reason})" for path, reason in archives.items()], _MOST_NAMED)
    number, them = counted(len(archives), "archive"), "them" if len(archives) > 1 else "it"
    return (
        f"set aside: {number} that cannot be read, and all pictures in {them}: {names}. "
        f"Restore {them} and run again to have these, too"
    )


def warn_of_unreadable(place: Place) -> None:
    """Say which archives of a place were set aside, where nothing else of its census is said."""
    census = Census()
    census.add_unreadable(place)
    if census.passed_by():
        print(census.passed_by(), file=sys.stderr)
