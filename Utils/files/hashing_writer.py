"""A writer for files of gigabytes: large pieces, written by threads and hashed on the way.

Where the file system can, pieces go from memory to the disk past the page cache (O_DIRECT). That saves the
copy into the cache, leaves little for fsync to wait for, and keeps in the cache the images that are being
read: packing shards gives a fifth more posts a second than with a buffered file (tools/bench.py records).
"""

import collections
import concurrent.futures
import errno
import hashlib
import importlib
import importlib.util
import mmap
import os
import types
import typing

from Utils.command.cli import WorkError
from Utils.files import positions

PIECE = 4 * 2**20  # bytes of one write
AHEAD = 3  # pieces that threads write while the next one is filled
BLOCK = 4096  # O_DIRECT takes whole blocks, from memory that begins at a multiple of it

# What Windows lacks, and what it needs: without O_BINARY it would change line ends.
_fcntl: typing.Any = importlib.import_module("fcntl") if importlib.util.find_spec("fcntl") else None
_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)

# Memory of pieces that are written, for later ones: the page faults of fresh memory cost more than the write.
_free_pieces: list[mmap.mmap] = []


class HashingWriter:
    """A file that is written from its beginning to its end; a context manager.

    ``size`` (bytes) and ``sha256`` are those of the file once the context has ended. Where it ends with an
    error, a part of the file stays.

    Raises OSError of the file system, and WorkError where the disk takes only a part of a piece.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path, self.size, self._digest = path, 0, hashlib.sha256()
        self._descriptor = os.open(path, _FLAGS, 0o666)
        self._is_direct = _set_direct(self._descriptor, True)
        self._threads = concurrent.futures.ThreadPoolExecutor(AHEAD)
        self._pending: collections.deque[concurrent.futures.Future[None]] = collections.deque()
        self._piece, self._filled = _take_piece(), 0

    def __enter__(self) -> typing.Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: types.TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._submit_piece()
                while self._pending:
                    self._pending.popleft().result()
                os.ftruncate(self._descriptor, self.size)  # the last block was written whole
        finally:
            self._threads.shutdown()
            os.close(self._descriptor)

    @property
    def sha256(self) -> str:
        """Return the SHA-256 of what is written, as 64 hexadecimal digits."""
        return self._digest.hexdigest()

    def write(self, data: bytes) -> None:
        """Append some bytes."""
        start, end = self._filled, self._filled + len(data)
        while end > PIECE:
            self._piece[start:] = data[: PIECE - start]
            data, start, end, self._filled = data[PIECE - start :], 0, end - PIECE, PIECE
            self._submit_piece()
        self._piece[start:end] = data
        self._filled = end

    def _submit_piece(self) -> None:
        """Hash the piece, let a thread write it, and start the next one."""
        self._digest.update(memoryview(self._piece)[: self._filled])
        self._pending.append(self._threads.submit(self._write_piece, self._piece, self._filled, self.size))
        self.size += self._filled
        self._filled = 0
        if len(self._pending) > AHEAD:
            self._pending.popleft().result()
        self._piece = _take_piece()

    def _write_piece(self, piece: mmap.mmap, filled: int, offset: int) -> None:
        """Write a piece to its offset, in whole blocks; then its memory is free."""
        data = memoryview(piece)[: -(-filled // BLOCK) * BLOCK]
        try:
            written = positions.write_at(self._descriptor, data, offset)
        except OSError as error:
            if not self._is_direct or error.errno != errno.EINVAL:
                raise
            _set_direct(self._descriptor, False)  # some file systems accept the flag and refuse the write
            written = positions.write_at(self._descriptor, data, offset)
        if written != len(data):
            raise WorkError(f"{self.path}: the disk took a part of a record only; is it full?")
        _free_pieces.append(piece)


def _take_piece() -> mmap.mmap:
    """Return memory for a piece; a mapping begins at a page, hence at a multiple of BLOCK."""
    try:
        return _free_pieces.pop()
    except IndexError:  # no check before: another thread could take the last one in between
        return mmap.mmap(-1, PIECE)


def _set_direct(descriptor: int, direct: bool) -> bool:
    """Let writes bypass the page cache, or use it; return whether they bypass it."""
    if _fcntl is None or not hasattr(os, "O_DIRECT"):
        return False
    try:
        flags = _fcntl.fcntl(descriptor, _fcntl.F_GETFL) & ~os.O_DIRECT
        _fcntl.fcntl(descriptor, _fcntl.F_SETFL, flags | (os.O_DIRECT if direct else 0))
    except OSError:
        return False
    return direct
