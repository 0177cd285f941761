"""Output files: ``--overwrite`` replaces only files of this project, recognized by their content.

A file is one of a kind if its content passes the test of that kind. Everything else belongs to the user and
stays, whatever the command line says.
"""

import contextlib
import dataclasses
import json
import pathlib
import zipfile
from collections.abc import Callable, Iterable, Iterator

from Utils.command.cli import UserError
from Utils.files import atomic, leftovers
from Utils.files.atomic import AnyPath, is_remote, require_absent, to_path


@dataclasses.dataclass(frozen=True)
class FileKind:
    """A kind of output file: its name with an article, "a table of thresholds", and a test of its content."""

    name: str
    is_kind: Callable[[pathlib.Path], bool]


def require_replaceable_file(path: AnyPath, kind: FileKind, overwrite: bool) -> None:
    """Raise UserError where ``path`` may not be written, before any work; remove what kills left beside it.

    That is where something is there and ``overwrite`` is false, and where that is not of the kind.
    """
    path = to_path(path)
    require_absent(path, overwrite)
    if not is_remote(path):
        leftovers.remove_unfinished(path)
    require_replaceable_still(path, kind, overwrite)


@contextlib.contextmanager
def replacing_file(path: AnyPath, kind: FileKind, overwrite: bool) -> Iterator[pathlib.Path]:
    """Yield a temporary path as `atomic.replacing` does; what has come to ``path`` meanwhile is kept.

    Raises UserError as `require_replaceable_file`, when the block ends.
    """
    with atomic.replacing(path, is_new=not overwrite) as temporary:
        yield temporary
        require_replaceable_still(path, kind, overwrite)


def require_replaceable_still(path: AnyPath, kind: FileKind, overwrite: bool) -> None:
    """Raise UserError as `require_replaceable_file`, after the work: temporary files are left alone."""
    path = to_path(path)
    require_absent(path, overwrite)
    if is_remote(path):
        if path.exists():
            with atomic.local(path) as copy:
                _require_kind(copy, kind, path)
        return
    if path.is_symlink() and not path.exists():
        raise UserError(f"{path} is a link to what is not there; remove it, or give another place")
    if path.is_dir():
        raise UserError(f"{path} is a folder; {kind.name} is a file: give another place")
    _require_kind(path, kind, path)


def _require_kind(path: pathlib.Path, kind: FileKind, name: pathlib.Path) -> None:
    # An empty file has nothing to lose: a shell's redirection or a killed program leaves such.
    if path.is_file() and path.stat().st_size and not _is_of_kind(kind, path):
        raise UserError(
            f"{name} is not {kind.name}, and --overwrite replaces only what this command wrote; "
            "give another place"
        )


def _is_of_kind(kind: FileKind, path: pathlib.Path) -> bool:
    # The file may be anything. What cannot be parsed is not ours; deep JSON exceeds the recursion limit.
    try:
        return kind.is_kind(path)
    except (OSError, ValueError, RecursionError, zipfile.BadZipFile):
        return False


def begins_with(*starts: bytes) -> Callable[[pathlib.Path], bool]:
    """Return a test for files that begin with one of some bytes."""

    def is_kind(path: pathlib.Path) -> bool:
        with path.open("rb") as file:
            return file.read(max(map(len, starts))).startswith(starts)

    return is_kind


def has_header(columns: Iterable[str]) -> Callable[[pathlib.Path], bool]:
    """Return a test for CSV files whose first line begins with these columns."""
    return begins_with(*(start.encode() for start in _headers(list(columns))))


def _headers(columns: list[str]) -> list[str]:
    return [",".join(columns), ",".join(f'"{name}"' for name in columns)]  # quoted where a cell has a return


def first_line_has(*names: str) -> Callable[[pathlib.Path], bool]:
    """Return a test for files of JSON lines whose first object has these names."""

    def is_kind(path: pathlib.Path) -> bool:
        with path.open("rb") as file:
            value = json.loads(file.readline(1 << 20))
        return isinstance(value, dict) and set(names) <= set(value)

    return is_kind


def has_members(*names: str) -> Callable[[pathlib.Path], bool]:
    """Return a test for zip files that have these members."""

    def is_kind(path: pathlib.Path) -> bool:
        with zipfile.ZipFile(path) as file:
            return set(names) <= set(file.namelist())

    return is_kind
