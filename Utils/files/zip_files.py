"""Zip files: whole, every checksum compared, before another library reads them."""

import contextlib
import zipfile
from collections.abc import Iterator

from Utils.command.cli import UserError
from Utils.files import damage
from Utils.files.atomic import AnyPath, local, require_file

_MOST_RATIO = 1100  # of unpacked to packed bytes; deflate reaches 1032 on zeros


def require_whole(path: AnyPath, what: str) -> None:
    """Raise UserError that names the file unless it is a zip file whose members have their checksums.

    Keras reads weights without comparing them, and stops at damage with a dozen kinds of errors.
    """
    path = require_file(path, what)
    with _opened(path, what) as archive:
        size = sum(member.file_size for member in archive.infolist())
        if size > _MOST_RATIO * path.stat().st_size:
            raise UserError(f"{path} says that it unpacks to {size:,} bytes, which a file of its size cannot")
        damaged = archive.testzip()
    if damaged is not None:
        raise UserError(f"{path} is damaged: its member {damaged} has not the checksum it was written with")


def read_member(path: AnyPath, member: str, what: str) -> bytes:
    """Return a member of a zip file; UserError that names the file where it is damaged or has none."""
    path = require_file(path, what)
    with _opened(path, what) as archive:
        return archive.read(member)


@contextlib.contextmanager
def _opened(path: AnyPath, what: str) -> Iterator[zipfile.ZipFile]:
    with (
        damage.named(path, f"is damaged or not {what}"),
        local(path) as copy,
        zipfile.ZipFile(copy) as archive,
    ):
        yield archive
