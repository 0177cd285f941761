"""Files and folders that are complete or absent, on this machine and on other file systems.

Here they are written beside their place and renamed into it. On other file systems (``gs://``, ``s3://``,
``memory://``, whatever fsspec opens) they are written here and sent whole: an object appears there when its
last byte has arrived.
"""

import contextlib
import errno
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import typing
from collections.abc import Iterator

from Utils.command.cli import UserError, found
from Utils.files import damage, shapes, strict_json

AnyPath = str | os.PathLike[str]
MOST_NAME_BYTES = 255  # of a file name, on every usual file system
_KEPT = "{path} exists already and is kept; give another place or --overwrite"
_MOST_END_BYTES = 64  # of what is added to it beside an output: a process, "part", a suffix
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
ROOT = pathlib.Path(__file__).resolve().parents[2]


def to_path(path: AnyPath) -> pathlib.Path:
    """Return ``path`` as a pathlib.Path, or as a UPath where it names another file system (``gs://...``).

    The annotation says Path for both: a UPath has the same methods. Raises UserError where the file system
    is unknown or its package is missing.
    """
    if "://" not in str(path):
        return pathlib.Path(path)
    import upath  # here: fsspec takes its time, and few commands need it

    try:
        remote: typing.Any = upath.UPath(path)
        remote.fs  # noqa: B018  the property looks up the package of the file system
    except (ImportError, ValueError) as error:
        raise UserError(f"{path} cannot be opened: {error}") from error
    return remote


def glob(pattern: AnyPath) -> list[str]:
    """Return the sorted paths of another file system that match ``scheme://folder/*.ending``."""
    folder, _, names = str(pattern).rpartition("/")
    return sorted(str(path) for path in to_path(folder).glob(names))


def is_remote(path: object) -> bool:
    """Whether a path that `to_path` returned is on another file system."""
    return not isinstance(path, pathlib.PurePath)


def absolute(path: pathlib.Path) -> str:
    """Return a path as text that means the same in other processes and on other machines."""
    return str(path) if is_remote(path) else str(path.resolve())


def remove_tree(path: pathlib.Path) -> None:
    """Remove a folder with all in it, on any file system; nothing where there is none."""
    if not is_remote(path):
        shutil.rmtree(path, ignore_errors=True)
        return
    remote: typing.Any = path
    with contextlib.suppress(FileNotFoundError):
        remote.fs.rm(remote.path, recursive=True)


@contextlib.contextmanager
def local(path: AnyPath) -> Iterator[pathlib.Path]:
    """Yield a local path with the content of a file: its own path, or a copy that lasts for the block."""
    path = to_path(path)
    if not is_remote(path):
        yield path
        return
    remote: typing.Any = path
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder, path.name)
        remote.fs.get_file(remote.path, str(copy))
        yield copy


@contextlib.contextmanager
def replacing(path: AnyPath, flush: bool = True, is_new: bool = False) -> Iterator[pathlib.Path]:
    """Yield a temporary local path to write to; it replaces ``path`` when the block ends without an error.

    Without ``flush`` a machine that loses power may leave the file empty. That is faster where very many
    small files are written. With ``is_new`` a file that came to ``path`` meanwhile is kept, and a UserError
    says so; not on file systems without hard links, nor on other machines.
    """
    path = to_path(path)
    if is_remote(path):
        remote: typing.Any = path
        with tempfile.TemporaryDirectory() as folder:
            temporary = pathlib.Path(folder, path.name)
            yield temporary
            path.parent.mkdir(parents=True, exist_ok=True)
            remote.fs.put_file(str(temporary), remote.path)
        return
    if path.is_dir():  # now, and by its own name: renaming would fail after the work
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    require_no_device(path)
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(_temporary_name(path))
    try:
        with naming(path, temporary):
            yield temporary
            if flush:
                flush_file(temporary)
            if is_new and _is_linked(temporary, path):
                temporary.unlink()
            else:
                temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _is_linked(file: pathlib.Path, path: pathlib.Path) -> bool:
    """Give a file one more name; False where the system cannot. UserError where something has that name."""
    try:
        path.hardlink_to(file)
    except FileExistsError as error:
        raise UserError(_KEPT.format(path=path)) from error
    except OSError:
        return False
    return True


@contextlib.contextmanager
def naming(path: pathlib.Path, temporary: pathlib.Path) -> Iterator[None]:
    """Let the system's errors of a block that writes name ``path``, not what stands for it meanwhile.

    That a disk is full comes from the system without any name.
    """
    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno in NO_ROOM:
            error.filename = str(path)
        elif isinstance(error.filename, str):
            error.filename = error.filename.replace(str(temporary), str(path))
        raise


def no_room(error: Exception, path: AnyPath) -> OSError | None:
    """Return the system's error where a library's has it in its text only, for a full disk; else None."""
    number = next((number for number in NO_ROOM if os.strerror(number) in str(error)), None)
    return None if number is None else OSError(number, os.strerror(number), str(path))


def _temporary_name(path: pathlib.Path) -> str:
    """Return the name of a temporary file beside ``path``, as long as file systems allow.

    The suffix stays the last part of the name: numpy, Keras and others choose or append one by it.
    """
    end = f".{os.getpid()}.part"
    if len(os.fsencode(path.suffix)) < _MOST_END_BYTES - len(end):
        end += path.suffix
    return f".{short_name(path.name)}{end}"


def short_name(name: str) -> str:
    """Return a name to which a dot and an end of `_MOST_END_BYTES` can be added: itself, or its hash."""
    if len(os.fsencode(name)) < MOST_NAME_BYTES - _MOST_END_BYTES:
        return name
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:16]


def process_is_alive(pid: int) -> bool:
    """Whether a process of this number runs, of any user; True on Windows, where asking would end it."""
    if os.name == "nt":
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # it lives and belongs to another user
        return True
    return True


def flush_file(path: pathlib.Path) -> None:
    """Flush a file to the disk: after a crash, a rename may have got there before the file's data."""
    with path.open("r+b") as file:  # Windows flushes what is open for writing only
        os.fsync(file.fileno())


def require_absent(path: AnyPath, overwrite: bool = False) -> None:
    """Raise UserError where ``path`` is a file or a folder that is not empty, unless ``overwrite``.

    Also where nothing can be written there, as in a folder of another user.
    """
    path = to_path(path)
    if not is_remote(path):
        require_no_device(path)
        _require_writable(path)
    if overwrite or not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    raise UserError(_KEPT.format(path=path))


def _require_writable(path: pathlib.Path) -> None:
    """Raise UserError where the nearest folder above an output that is there cannot be written to."""
    place = path.resolve() if path.is_dir() else path.absolute()
    folder = next((folder for folder in place.parents if folder.exists()), None)
    if folder is not None and folder.is_dir() and not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{path} cannot be written: {folder} is not writable; give another place")


def require_no_device(path: pathlib.Path) -> None:
    """Raise UserError where ``path`` is a pipe, a socket or a device, or leads to one.

    A file that is renamed there would take its place: the system's administrator would lose ``/dev/null``.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        raise UserError(f"{path} is a pipe, a socket or a device, not a file; give another place")


def require_file(path: AnyPath, what: str) -> pathlib.Path:
    """Return ``path`` as `to_path` does; UserError that says ``what`` was expected, if it is not a file."""
    path = to_path(path)
    if not path.is_file():
        raise UserError(f"{what} expected at {path}; found {found(path)}")
    return path


def read_json(path: AnyPath, shape: shapes.Shape = object) -> typing.Any:
    """Return the value of a JSON file.

    Args:
        path: of the file, in UTF-8, or in UTF-16 or UTF-32, with a byte order mark or not.
        shape: that the value must have (`Utils.files.shapes.require`); any without it.

    Raises UserError that names the file and the place that is no JSON, nested too deep, of another shape, or
    has a name twice in one object: of two values one would be lost.
    """
    with damage.named(path, "is no JSON"):
        value = strict_json.loads_unique(to_path(path).read_bytes())
    if shape is not object:
        shapes.require(path, value, shape)
    return value


def write_json(path: AnyPath, value: typing.Any) -> None:
    """Write ``value`` as JSON, complete or not at all; the same value gives the same bytes."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    with replacing(path) as temporary:
        # A file's name may be no Unicode text; an escape of JSON is read back as what it was.
        temporary.write_bytes(text.encode("utf-8", "backslashreplace"))


def sha256_of(path: AnyPath) -> str:
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with to_path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def provenance() -> dict[str, typing.Any]:
    """Return the code and command that make a file: ``{"git": commit or None, "command": words}``.

    It holds no time, so that the same command gives the same bytes.
    """
    words = [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv else []
    return {"git": git_commit(), "command": words}


def git_commit() -> str | None:
    """Return the commit of the repository, with ``+`` where files differ from it; None outside a checkout."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*words: str) -> str | None:
    try:
        result = subprocess.run(
            # Without locks: a user's own git, in the checkout at this moment, would be refused.
            ["git", "--no-optional-locks", "-C", ROOT, *words],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return result.stdout.strip() if result.returncode == 0 else None
