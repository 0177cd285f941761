"""Pictures read from files, one or many in parallel, in order, in bounded memory; others are set aside."""

import collections
import concurrent.futures
import itertools
import os
import stat

import numpy as np

from Utils.images import codec

MOST_BYTES = 1 << 29  # of a file; what holds Utils.images.codec.MAX_PIXELS raw pixels still fits


def read_bytes(path):
    """Return the bytes of an image file; a file object around it would take half as long as the reading.

    Raises ImageError where it is no file that can hold an image, OSError where it cannot be read.
    """
    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would wait for its writer
    try:
        found = os.fstat(file)
        if not stat.S_ISREG(found.st_mode):
            raise codec.ImageError("not a file")
        if found.st_size > MOST_BYTES:
            raise codec.ImageError(f"too large a file: {found.st_size} bytes")
        data = os.read(file, found.st_size)
        while len(data) < found.st_size and (part := os.read(file, found.st_size - len(data))):
            data += part
    finally:
        os.close(file)
    return data


def read_image(path, image_size, padding=codec.WHITE):
    """Return the model's input (image_size, image_size, 3) uint8 BGR of a file; ImageError says why not."""
    try:
        data = read_bytes(path)
    except OSError as error:
        raise codec.ImageError(error.strerror or type(error).__name__) from error
    return codec.prepare(data, image_size, padding)


def read_batches(items, image_size, batch_size, *, path_of=None, padding=codec.WHITE, readers=2):
    """Yield ``(good items, pictures (B, S, S, 3) uint8 BGR, [(item, reason)])`` in order.

    Args:
        items: any number of paths, taken as they are needed.
        image_size, padding: as `Utils.images.codec.prepare` has them.
        batch_size: items at a time; B is less where some cannot be read, and in the last batch.
        path_of: function item -> path, where items are no paths.
        readers: threads, which prepare the next batch while the caller works.
    """
    items = iter(items)

    def read(item):
        try:
            return read_image(item if path_of is None else path_of(item), image_size, padding)
        except codec.ImageError as error:
            return str(error)

    with concurrent.futures.ThreadPoolExecutor(readers) as pool:
        coming = collections.deque()

        def begin():
            part = list(itertools.islice(items, batch_size))
            if part:
                coming.append((part, [pool.submit(read, item) for item in part]))

        begin()
        try:
            while coming:
                begin()
                part, futures = coming.popleft()
                yield _collected(part, [future.result() for future in futures], image_size)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _collected(part, found, image_size):
    good = [(item, got) for item, got in zip(part, found, strict=True) if not isinstance(got, str)]
    bad = [(item, got) for item, got in zip(part, found, strict=True) if isinstance(got, str)]
    pictures = np.zeros((len(good), image_size, image_size, 3), np.uint8)
    for row, (_, got) in enumerate(good):
        pictures[row] = got
    return [item for item, _ in good], pictures, bad
