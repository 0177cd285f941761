"""Files that may be compressed, read as what they hold: gzip, xz, bzip2, Zstandard, by their first bytes."""

import bz2
import contextlib
import gzip
import io
import lzma
from collections.abc import Iterator
from typing import Any, BinaryIO

import pyarrow as pa

from Utils.command.cli import WorkError
from Utils.files import damage
from Utils.files.atomic import AnyPath, to_path

SUFFIXES = (".gz", ".xz", ".bz2", ".zst")
_MOST_MAGIC = 6


def _open_zstd(file: BinaryIO) -> Any:
    return io.BufferedReader(pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd"))


_OPENERS = {
    b"\x1f\x8b": lambda file: gzip.GzipFile(fileobj=file),
    b"\xfd7zXZ\0": lzma.LZMAFile,
    b"BZh": bz2.BZ2File,
    b"\x28\xb5\x2f\xfd": _open_zstd,  # pyarrow's: Python has no Zstandard before 3.14
}


@contextlib.contextmanager
def opened(path: AnyPath, error_type: type[Exception] = WorkError) -> Iterator[io.BufferedReader]:
    """Yield a binary stream (with ``peek``) of a file's content, decompressed where it is compressed.

    Raises ``error_type`` that names the file where it cannot be read to its end.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(damage.named(path, "cannot be read to its end", error_type))
        file: Any = stack.enter_context(to_path(path).open("rb"))
        head = file.read(_MOST_MAGIC)
        file.seek(0)
        file = file if hasattr(file, "peek") else io.BufferedReader(file)  # other file systems have none
        opener = next((opener for magic, opener in _OPENERS.items() if head.startswith(magic)), None)
        yield file if opener is None else stack.enter_context(contextlib.closing(opener(file)))


def head(path: AnyPath, size: int, error_type: type[Exception] = WorkError) -> bytes:
    """Return the first bytes of a file's content, at most ``size``; errors as `opened` raises them."""
    with opened(path, error_type) as file:
        return file.read(size)
