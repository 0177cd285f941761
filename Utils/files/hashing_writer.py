"""Files of gigabytes, written in large pieces and hashed on the way.

Where the file system can, pieces go from memory to the disk past the page cache: a tenth of the processor's
time, little left for fsync to wait for, and the images that are read meanwhile stay in the cache.
"""

import collections
import concurrent.futures
import errno
import fcntl
import hashlib
import mmap
import os

from Utils.command.cli import WorkError

PIECE = 4 * 2**20  # bytes at a time
AHEAD = 3  # pieces on their way to the disk while the next one is filled
BLOCK = 4096  # past the cache, whole blocks are written from memory that begins at a multiple of it

_free = []  # pieces of former files: fresh memory costs more than what is done in it


class Sink:
    """A file to be written from its beginning to its end; a context manager.

    While pieces are written, the next one is filled. ``size`` and ``sha256`` are those of the whole file once
    the context has ended; one that ends with an error leaves a part of it.
    """

    def __init__(self, path):
        self.path, self.size, self._digest = path, 0, hashlib.sha256()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
        self._direct = _past_cache(self._file, True)
        self._threads, self._sent = concurrent.futures.ThreadPoolExecutor(AHEAD), collections.deque()
        self._piece, self._filled = _memory(), 0

    def __enter__(self):
        return self

    def __exit__(self, kind, *error):
        try:
            if kind is None:
                self._send()
                while self._sent:
                    self._sent.popleft().result()
                os.ftruncate(self._file, self.size)  # the last block was filled up
        finally:
            self._threads.shutdown()
            os.close(self._file)

    @property
    def sha256(self):
        """Return the SHA-256 of what is written, as hexadecimal digits."""
        return self._digest.hexdigest()

    def write(self, data):
        """Append some bytes."""
        at, end = self._filled, self._filled + len(data)
        while end > PIECE:
            self._piece[at:] = data[: PIECE - at]
            data, at, end, self._filled = data[PIECE - at :], 0, end - PIECE, PIECE
            self._send()
        self._piece[at:end] = data
        self._filled = end

    def _send(self):
        """Have a thread write the piece; begin another one."""
        self._digest.update(memoryview(self._piece)[: self._filled])
        self._sent.append(self._threads.submit(self._take, self._piece, self._filled, self.size))
        self.size += self._filled
        self._piece, self._filled = None, 0
        if len(self._sent) > AHEAD:
            self._sent.popleft().result()
        self._piece = _memory()

    def _take(self, piece, filled, start):
        """Write a piece to its place, in whole blocks; its memory is free then."""
        data = memoryview(piece)[: -(-filled // BLOCK) * BLOCK]
        try:
            written = os.pwrite(self._file, data, start)
        except OSError as error:
            if not self._direct or error.errno != errno.EINVAL:
                raise
            _past_cache(self._file, False)  # such a file system says so late
            written = os.pwrite(self._file, data, start)
        if written != len(data):
            raise WorkError(f"{self.path}: the disk took a part of a record only; is it full?")
        _free.append(piece)


def _memory():
    """Return a piece of memory that begins at a multiple of BLOCK."""
    try:
        return _free.pop()
    except IndexError:  # not asked before: another thread may take the last one meanwhile
        return mmap.mmap(-1, PIECE)


def _past_cache(file, wanted):
    """Make writes go past the page cache, or through it; returns whether they go past it."""
    if not hasattr(os, "O_DIRECT"):
        return False
    try:
        flags = fcntl.fcntl(file, fcntl.F_GETFL) & ~os.O_DIRECT
        fcntl.fcntl(file, fcntl.F_SETFL, flags | (os.O_DIRECT if wanted else 0))
    except OSError:
        return False
    return wanted
