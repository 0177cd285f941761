"""Files that are complete or absent, here and on other file systems.

Written beside their place, then renamed into it; on other file systems (``gs://``, ``s3://``, ``memory://``,
what fsspec opens) written here, then sent whole: an object appears there when its last byte has arrived.
"""

import contextlib
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import typing

from Utils.command.cli import UserError

AnyPath = str | os.PathLike[str]  # also a UPath, of another file system
ROOT = pathlib.Path(__file__).resolve().parents[2]


def to_path(path: AnyPath) -> pathlib.Path:
    """Return ``path`` as a pathlib.Path, or as a UPath where it names another file system (``gs://...``).

    The annotation says Path for both: a UPath has the same methods, and ``fs`` besides. Raises UserError
    where the file system is unknown or its package is missing.
    """
    if "://" not in str(path):
        return pathlib.Path(path)
    import upath

    try:
        remote: typing.Any = upath.UPath(path)
        remote.fs  # noqa: B018  looks the file system's package up
    except (ImportError, ValueError) as error:
        raise UserError(f"{path} cannot be opened: {error}") from error
    return remote


def glob(pattern):
    """Return the sorted paths, as text, of another file system that match ``scheme://folder/*.ending``."""
    folder, _, names = str(pattern).rpartition("/")
    return sorted(str(path) for path in to_path(folder).glob(names))


def is_remote(path):
    """Whether ``to_path`` gave a path of another file system."""
    return not isinstance(path, pathlib.PurePath)


@contextlib.contextmanager
def local(path):
    """Yield a local path with the content of the file ``path``: itself, or a copy while the block runs."""
    path = to_path(path)
    if not is_remote(path):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = pathlib.Path(folder, path.name)
        path.fs.get_file(path.path, str(copy))
        yield copy


@contextlib.contextmanager
def replacing(path, flush=True):
    """Yield a temporary local path; what is there takes the place of ``path`` when the block ends well.

    Without ``flush`` a machine that loses power may leave it empty: for very many small files.
    """
    path = to_path(path)
    if is_remote(path):
        with tempfile.TemporaryDirectory() as folder:
            beside = pathlib.Path(folder, path.name)
            yield beside
            path.parent.mkdir(parents=True, exist_ok=True)
            path.fs.put_file(str(beside), path.path)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part{path.suffix}")  # the suffix: writers look at it
    try:
        yield beside
        if flush:
            _flush(beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(path, overwrite=False):
    """Yield a temporary folder beside ``path``; rename it into place when the block ends without an error.

    Raises UserError before any work where ``path`` exists and ``overwrite`` is false.
    """
    path = pathlib.Path(path)
    require_absent(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    beside.mkdir()
    try:
        yield beside
        if path.exists():
            shutil.rmtree(path)
        beside.rename(path)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _sweep(path):
    """Remove what killed processes left beside ``path``; the folder of a living process stays."""
    for left in path.parent.glob(f".{path.name}.*.part"):
        pid = left.name.split(".")[-2]
        if pid.isdigit() and (int(pid) == os.getpid() or not _alive(int(pid))):
            shutil.rmtree(left, ignore_errors=True)


def _alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _flush(path):
    with pathlib.Path(path).open("rb") as file:
        os.fsync(file.fileno())


def require_absent(path, overwrite=False):
    """Raise UserError where ``path`` is a file or a folder with something in it, unless ``overwrite``."""
    path = pathlib.Path(path)
    if overwrite or not path.exists() or (path.is_dir() and not any(path.iterdir())):
        return
    raise UserError(f"{path} exists already and is kept; give another place or --overwrite")


def require_file(path, what):
    """Return ``path`` as a Path, or raise UserError that says ``what`` was looked for."""
    path = to_path(path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing"
        raise UserError(f"{what} expected at {path}; found {found}")
    return path


def read_json(path):
    """Read one JSON file; a UserError names the file and the place where it is no JSON."""
    try:
        return json.loads(to_path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is no JSON: {error}") from error


def write_json(path, value):
    """Write ``value`` as JSON, complete or not at all; the same value gives the same bytes."""
    with replacing(path) as beside:
        beside.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def sha256_of(path):
    """Return the SHA-256 of a file as 64 hexadecimal digits."""
    with to_path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def provenance():
    """Say how something is being made: ``{"git": commit or None, "command": words}``, without a clock."""
    words = [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]] if sys.argv else []
    return {"git": git_commit(), "command": words}


def git_commit():
    """Return the commit of the repository, with ``+`` where files differ from it; None outside a checkout."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return None
    return commit + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")


def _git(*words):
    try:
        done = subprocess.run(
            ["git", "-C", ROOT, *words], capture_output=True, text=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
