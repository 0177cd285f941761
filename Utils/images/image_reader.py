"""Image files read and prepared for a model: many in parallel, in order, in bounded memory."""

import collections
import concurrent.futures
import itertools
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from Utils.images import codec

MOST_BYTES = 1 << 29  # of a file; codec.MAX_PIXELS pixels fit in it even uncompressed

Item = TypeVar("Item")


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the content of an image file; without a file object, which adds half of the reading time.

    Raises ImageError where it is no file that can hold an image, OSError where it cannot be read.
    """
    # Without O_NONBLOCK opening a pipe would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            raise codec.ImageError("not a file")
        if facts.st_size > MOST_BYTES:
            raise codec.ImageError(f"too large a file: {facts.st_size} bytes")
        data = os.read(descriptor, facts.st_size)
        while len(data) < facts.st_size and (part := os.read(descriptor, facts.st_size - len(data))):
            data += part
    finally:
        os.close(descriptor)
    return data


def read_image(path: str | os.PathLike[str], image_size: int, padding: int = codec.WHITE) -> np.ndarray:
    """Return the model's input (image_size, image_size, 3) uint8 BGR of a file, as `codec.prepare` makes it.

    Raises ImageError, also for a file that cannot be read.
    """
    try:
        data = read_bytes(path)
    except OSError as error:
        raise codec.ImageError(error.strerror or type(error).__name__) from error
    return codec.prepare(data, image_size, padding)


def read_batches(
    items: Iterable[Item],
    image_size: int,
    batch_size: int,
    *,
    path_of: Callable[[Item], Any] | None = None,
    padding: int = codec.WHITE,
    readers: int = 2,
) -> Iterator[tuple[list[Item], np.ndarray, list[tuple[Item, str]]]]:
    """Yield ``(readable items, images (B, S, S, 3) uint8 BGR, [(unreadable item, reason)])`` in order.

    Args:
        items: any number of paths, taken when they are needed.
        image_size, padding: as in `codec.prepare`.
        batch_size: items at a time; B is less where some are unreadable, and in the last batch.
        path_of: function item -> path, where items are no paths.
        readers: threads, which prepare the next batch while the caller works on this one.
    """
    items = iter(items)

    def read(item: Item) -> np.ndarray | str:
        path: Any = item if path_of is None else path_of(item)
        try:
            return read_image(path, image_size, padding)
        except codec.ImageError as error:
            return str(error)

    with concurrent.futures.ThreadPoolExecutor(readers) as pool:
        submitted = collections.deque()

        def submit_batch() -> None:
            batch = list(itertools.islice(items, batch_size))
            if batch:
                submitted.append((batch, [pool.submit(read, item) for item in batch]))

        submit_batch()
        try:
            while submitted:
                submit_batch()
                batch, futures = submitted.popleft()
                yield _split(batch, [future.result() for future in futures], image_size)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _split(
    items: Sequence[Item], results: Sequence[np.ndarray | str], image_size: int
) -> tuple[list[Item], np.ndarray, list[tuple[Item, str]]]:
    """Separate images from reasons why there is none."""
    pairs = list(zip(items, results, strict=True))
    readable = [(item, image) for item, image in pairs if not isinstance(image, str)]
    images = np.zeros((len(readable), image_size, image_size, 3), np.uint8)
    for row, (_, image) in enumerate(readable):
        images[row] = image
    unreadable = [(item, reason) for item, reason in pairs if isinstance(reason, str)]
    return [item for item, _ in readable], images, unreadable
