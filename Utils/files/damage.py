"""What a library raises at a damaged file, turned into one error that names the file."""

import contextlib
import errno
import os
import pathlib
import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from Utils.command.cli import UserError, WorkError

# The system's own refusals: the file may be whole. Libraries also raise EINVAL and their like, at offsets
# that a damaged header gives them.
_OF_THE_SYSTEM = {
    errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EACCES, errno.EPERM, errno.ENOSPC,
    errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE,
}  # fmt: skip
# The same from other file systems, whose libraries often leave the number out.
_OF_THE_SYSTEM_TYPES = (
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    PermissionError,
    ConnectionError,
)
GIT_LFS = b"version https://git-lfs"  # the start of what a clone without Git LFS has instead of a file
GIT_LFS_ADVICE = "`git lfs pull` in its folder fetches the file"
_MOST_TEXT = 300  # characters of a library's message, which may quote the file

Item = TypeVar("Item")


@contextlib.contextmanager
def named(
    path: str | os.PathLike[str], fault: str, error_type: type[Exception] = UserError
) -> Iterator[None]:
    """Raise ``error_type`` with "PATH FAULT: reason" for whatever the block's library calls raise.

    Nesting too deep, numbers too long and sizes that no memory has are damage like any other. UserError,
    WorkError and the system's refusals (no such file, no permission, a full disk) pass as they are.

    Args:
        path: the file that is read.
        fault: what it is not, "is no TOML".
        error_type: UserError or WorkError.
    """
    try:
        yield
    except (UserError, WorkError):
        raise
    # Broad on purpose, and only around readers: every library has errors of its own, and damaged bytes reach
    # KeyError, struct.error, zlib.error, SyntaxError, OverflowError and others that no manual lists.
    except Exception as error:
        if isinstance(error, _OF_THE_SYSTEM_TYPES) or getattr(error, "errno", None) in _OF_THE_SYSTEM:
            raise
        raise error_type(f"{path} {fault}: {stand_in(path) or reason(error)}") from error


def stand_in(path: str | os.PathLike[str]) -> str:
    """Return what a clone or a download left in place of a file, and what to do; "" for anything else."""
    try:
        if not pathlib.Path(path).is_file():  # a pipe would wait for who writes into it
            return ""
        with pathlib.Path(path).open("rb") as file:
            start = file.read(64)
    except (OSError, ValueError, TypeError):  # no path: "a.jsonl, line 3"; one of another file system
        return ""
    if start.startswith(GIT_LFS):
        return f"it is a pointer of Git LFS; {GIT_LFS_ADVICE}"
    if start.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return "it is a web page, perhaps saved instead of the file; download it again"
    return ""


def iterate(
    items: Iterable[Item], path: str | os.PathLike[str], fault: str, error_type: type[Exception] = UserError
) -> Iterator[Item]:
    """Yield the items of a reader; what it raises is `named`, what the caller raises between them is not."""
    iterator = iter(items)
    while True:
        with named(path, fault, error_type):
            try:
                item = next(iterator)
            except StopIteration:
                return
        yield item


def reason(error: BaseException) -> str:
    """Return why a library failed, in one line and bounded."""
    if isinstance(error, RecursionError):
        return "it is nested too deep"
    if isinstance(error, MemoryError):
        return "it asks for more memory than there is"
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, ValueError) and "set_int_max_str_digits" in text:  # Python's advice helps no user
        return f"it has a number of more than {sys.get_int_max_str_digits():,} digits"
    if isinstance(error, KeyError):
        text = f"it lacks {text}"
    return text if len(text) <= _MOST_TEXT else f"{text[:_MOST_TEXT]} ..."
