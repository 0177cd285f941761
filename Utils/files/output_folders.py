"""Output folders: ``--overwrite`` replaces only folders of this project, recognized by their content.

A folder is one of a kind if it has the marker files of that kind and no other files than were written with
it. Everything else belongs to the user and stays, whatever the command line says.
"""

import contextlib
import dataclasses
import fnmatch
import os
import pathlib
import shutil
import tempfile
import typing
from collections.abc import Callable, Collection, Iterator, Mapping

from Utils.command.cli import UserError
from Utils.command.text import join_names
from Utils.files import atomic, leftovers, locking
from Utils.files.atomic import AnyPath, is_remote, read_json, require_absent, to_path, write_json

# Files that operating systems leave in folders that were opened in a file manager.
_SYSTEM_FILES = {".DS_Store", "Thumbs.db", "desktop.ini"}


@dataclasses.dataclass(frozen=True)
class FolderKind:
    """A kind of output folder.

    Args:
        name: what a person calls it, with its article: "a report".
        markers: files that every such folder has.
        files: patterns of all other paths that it may hold, relative, with ``/``; ``*`` matches ``/``, too.
        inventory: a JSON file of the folder that lists, under "files", the size in bytes of every file that
            was written with it. Where it does, only those count as ours, each with its size: a picture that
            a user put among ours is foreign, and so is a model card that a person edited. Older folders
            have no such list, and are judged by the other two.
        names_in: gives the paths that a folder's own tables say it has.
    """

    name: str
    markers: tuple[str, ...]
    files: tuple[str, ...] = ()
    inventory: str | None = None
    names_in: Callable[[pathlib.Path], Collection[str]] = lambda folder: ()

    def require(self, folder: pathlib.Path) -> None:
        """Raise UserError where a folder is not of this kind, or holds what this command did not write."""
        missing = [marker for marker in self.markers if not (folder / marker).is_file()]
        if missing:
            raise UserError(
                f"{folder} is not {self.name} (it has no {' and no '.join(missing)}), and --overwrite "
                "replaces only what this command wrote; give another place"
            )
        sizes = self._listed(folder)
        names, named = list(_files_below(folder)), () if sizes else self.names_in(folder)
        foreign = [name for name in names if name not in named and not self._may_hold(name, sizes)]
        if foreign:
            origin = f"{self.name} does not" if sizes is None else "was not written with it"
            raise UserError(
                f"{folder} holds {join_names(foreign, 3)}, which {origin}; --overwrite would "
                "delete it: move it away, or give another place"
            )
        sizes = sizes or {}
        changed = [name for name in names if name in sizes and _size(folder / name) != sizes[name]]
        if changed:
            raise UserError(
                f"{folder} holds {join_names(changed, 3)} of another size than was written: what somebody "
                "changed is not replaced; move it away, or give another place"
            )

    def _may_hold(self, name: str, sizes: Mapping[str, int] | None) -> bool:
        if sizes is not None:
            return name == self.inventory or name in sizes
        return name in self.markers or any(fnmatch.fnmatchcase(name, pattern) for pattern in self.files)

    def _listed(self, folder: pathlib.Path) -> dict[str, int] | None:
        """Return the size of every file that was written with the folder; None where nothing says so."""
        if self.inventory is None or not (folder / self.inventory).is_file():
            return None
        try:
            value = read_json(folder / self.inventory)
        except UserError:  # a damaged list says nothing
            return None
        sizes = value.get("files") if isinstance(value, dict) else None
        return sizes if isinstance(sizes, dict) else None

    def write_inventory(self, folder: pathlib.Path) -> None:
        """Add the sizes of the folder's files to its inventory, which is made where there is none."""
        if self.inventory is None:
            return
        path = folder / self.inventory
        sizes = {name: _size(folder / name) for name in _files_below(folder) if name != self.inventory}
        write_json(path, {**(read_json(path, dict) if path.exists() else {}), "files": sizes})


def _size(path: pathlib.Path) -> int:
    return path.lstat().st_size


def _files_below(folder: pathlib.Path) -> Iterator[str]:
    """Yield the relative paths of all files and links below a folder; a link to a folder is not followed."""
    for parent, folders, files in os.walk(folder):
        links = [name for name in folders if pathlib.Path(parent, name).is_symlink()]
        for name in sorted([*files, *links]):
            if name not in _SYSTEM_FILES:
                yield pathlib.Path(parent, name).relative_to(folder).as_posix()


def require_replaceable_folder(path: AnyPath, kind: FolderKind, overwrite: bool) -> pathlib.Path:
    """Return the resolved path of a folder that may be written, before any work.

    Raises UserError where something is there and ``overwrite`` is false, where that is not of the kind or on
    another file system, which cannot exchange folders at once, where it is the working folder or contains
    it, and where another process writes it.
    """
    path = to_path(path)
    if is_remote(path):
        require_absent(path, overwrite)
        if path.exists():
            raise UserError(
                f"--overwrite replaces {kind.name} on this machine only; delete {path} first, or give "
                "another place"
            )
        return path
    resolved = path.resolve()
    # Renaming it would leave the shell, and relative paths, in a folder that is gone.
    if pathlib.Path.cwd().is_relative_to(resolved):
        raise UserError(f"{path} is the folder that you are in, or one above it; give another folder")
    if any(map(locking.is_held, leftovers.beside(resolved, "part"))):
        raise UserError(f"{path} is being written by another process; wait for it or give another place")
    _restore(resolved)
    _require_replaceable(resolved, kind, overwrite, path)
    if resolved.is_dir():
        with locking.holding(resolved):
            pass
    return resolved


def _require_replaceable(path: pathlib.Path, kind: FolderKind, overwrite: bool, name: AnyPath) -> None:
    """Raise UserError, in which ``path`` is called ``name``, where what is there may not be replaced."""
    require_absent(name, overwrite)
    if path.is_dir() and any(path.iterdir()):
        kind.require(path)
    elif path.exists() and not path.is_dir():
        raise UserError(f"{name} is a file; {kind.name} is a folder: give another place")


@contextlib.contextmanager
def replacing_folder(path: AnyPath, kind: FolderKind, overwrite: bool = False) -> Iterator[pathlib.Path]:
    """Yield a temporary folder beside ``path``, renamed to ``path`` when the block ends without an error.

    At every moment one whole output is there, or the next call puts it back: the old folder is renamed aside,
    the new one renamed in, and only then the old one deleted. A link to a folder stays, and what it leads to
    is replaced. On another file system the folder is sent when it is complete, its markers last, and none
    is replaced. Raises UserError as `require_replaceable_folder`, before any work; and after it, where
    something has come to ``path`` meanwhile that may not be replaced.
    """
    path = require_replaceable_folder(path, kind, overwrite)
    if is_remote(path):
        with tempfile.TemporaryDirectory() as folder:
            yield pathlib.Path(folder)
            kind.write_inventory(pathlib.Path(folder))
            _send(pathlib.Path(folder), path, kind)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    stem = f".{atomic.short_name(path.name)}.{os.getpid()}"
    temporary, aside = path.with_name(f"{stem}.part"), path.with_name(f"{stem}.old")
    with atomic.naming(path, temporary):
        temporary.mkdir()
    try:
        with contextlib.ExitStack() as held:
            held.enter_context(locking.holding(temporary))
            if path.exists():
                held.enter_context(locking.holding(path))
            with atomic.naming(path, temporary):
                yield temporary
                kind.write_inventory(temporary)
            _require_replaceable(path, kind, overwrite, path)  # somebody may have put something there
            if path.exists():
                path.rename(aside)
                _require_replaceable(aside, kind, overwrite, aside)  # or did so at the last moment
            temporary.rename(path)
            if aside.exists():
                # Named as temporary before it is deleted: after a kill half of it must not be restored.
                aside.rename(temporary)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if aside.exists():  # the new folder could not be renamed in
            _put_back(aside, path)


def _put_back(aside: pathlib.Path, path: pathlib.Path) -> None:
    try:
        aside.rename(path)
    except OSError:
        kept = path.with_name(f"{path.name}.{os.getpid()}.old")
        aside.rename(kept)
        raise UserError(
            f"something came to {path} while it was being replaced, and is kept; what was there is now {kept}"
        ) from None


def _send(folder: pathlib.Path, target: typing.Any, kind: FolderKind) -> None:
    """Copy a folder to another file system; what says that it is complete comes last."""
    last = (*kind.markers, kind.inventory)
    for name in sorted(_files_below(folder), key=lambda name: (name in last, name)):
        copy = target / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.fs.put_file(str(folder / name), copy.path)


def _restore(path: pathlib.Path) -> None:
    """Put back, or remove, what killed processes left beside ``path``; leave alone what living ones use."""
    for end in ("old", "part"):
        for folder in leftovers.abandoned(path, end):
            if end == "old" and not path.exists():
                folder.rename(path)
            else:
                shutil.rmtree(folder, ignore_errors=True)
