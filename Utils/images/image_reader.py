"""Image files read and prepared for a model: many in parallel, in order, in bounded memory."""

import argparse
import collections
import concurrent.futures
import itertools
import os
import pathlib
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np

from Utils.command.cli import number
from Utils.command.text import printable
from Utils.files.ranges import OPEN_FLAGS
from Utils.images import codec, formats, image_limits

SHOWN = 5  # damaged images in a message
MOST_BYTES = 1 << 30  # of a file; image_limits.MAX_PIXELS pixels fit in it even uncompressed

Item = TypeVar("Item")
# (content of an image file, list that gets what is damaged inside or None) -> (S, S, 3) BGR; ImageError.
Prepare = Callable[[bytes, list[str] | None], np.ndarray]


def read_bytes(path: str | os.PathLike[str]) -> bytes:
    """Return the content of an image file; without a file object, which adds half of the reading time.

    Raises ImageError where it is no file that can hold an image, OSError where it cannot be read.
    """
    descriptor = os.open(path, OPEN_FLAGS)
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


def holds_picture(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds a picture that is read here, whatever its name says."""
    try:
        return formats.from_bytes(read_bytes(path)[:64]) in formats.FORMATS
    except (OSError, codec.ImageError):
        return False


def add_max_pixels(command_line: argparse.ArgumentParser) -> None:
    """Add ``--max-pixels``; the command passes its value to `image_limits.allow_pixels`."""
    command_line.add_argument(
        "--max-pixels",
        type=number(above=0),
        default=image_limits.MAX_PIXELS,
        metavar="N",
        help=f"refuse larger images ({image_limits.MAX_PIXELS})",
    )


def read_image(
    path: str | os.PathLike[str],
    image_size: int,
    padding: int = codec.WHITE,
    read_file: Callable[[Any], bytes] = read_bytes,
) -> np.ndarray:
    """Return the model's input (image_size, image_size, 3) uint8 BGR of a file, as `codec.prepare` makes it.

    ``read_file`` is as in `read_batches`. Raises ImageError, also for a file that cannot be read.
    """
    return codec.prepare(_content(path, read_file), image_size, padding)


def _content(path: Any, read_file: Callable[[Any], bytes] = read_bytes) -> bytes:
    try:
        return read_file(path)
    except OSError as error:
        raise codec.ImageError(error.strerror or type(error).__name__) from error


class Remarks:
    """What is wrong with images that can be read all the same; added to by several threads."""

    def __init__(self) -> None:
        self._remarks: list[tuple[Any, str | None, list[str]]] = []

    def add(self, item: Any, wrong_suffix: str | None, damages: Sequence[str] | None) -> None:
        """Note what is wrong with an image: that its suffix lies, that it is damaged inside."""
        if wrong_suffix or damages:
            self._remarks.append((item, wrong_suffix, list(damages or ())))

    def sentences(self, done: str, path_of: Callable[[Any], Any] = str) -> Iterator[str]:
        """Yield lines about images that were ``done`` (a participle): how many, the first ones, why.

        ``path_of`` gives the path of an item.
        """
        suffixes = collections.Counter(suffix for _, suffix, _ in self._remarks if suffix)
        for suffix, count in sorted(suffixes.items()):
            yield f"{count} with a wrong suffix: {suffix}"
        damaged = [(path_of(item), damages[0]) for item, _, damages in self._remarks if damages]
        if damaged:
            first = "; ".join(f"{printable(str(name))}: {why}" for name, why in sorted(damaged)[:SHOWN])
            num_more = len(damaged) - SHOWN
            more = f"; and {num_more} more (check_images.py lists all)" if num_more > 0 else ""
            yield f"warning: {len(damaged)} damaged inside but {done} all the same: {first}{more}"


def read_batches(
    items: Iterable[Item],
    image_size: int,
    batch_size: int,
    *,
    path_of: Callable[[Item], Any] | None = None,
    read_item: Callable[[Item], bytes] | None = None,
    padding: int = codec.WHITE,
    prepare: Prepare | None = None,
    readers: int = 2,
    remarks: "Remarks | None" = None,
) -> Iterator[tuple[list[Item], np.ndarray, list[tuple[Item, str]]]]:
    """Yield ``(readable items, images (B, S, S, 3) BGR, [(unreadable item, reason)])`` in order; uint8.

    Args:
        items: any number of paths, taken when they are needed.
        image_size, padding: as in `codec.prepare`.
        batch_size: items at a time; B is less where some are unreadable, and in the last batch.
        path_of: function item -> path, where items are no paths.
        read_item: function item -> content, for images elsewhere than in this machine's folders.
        prepare: instead of `codec.prepare`, for a model of another project; its dtype is the images'.
        readers: threads, which prepare the next batch while the caller works on this one.
        remarks: gets what is wrong with images that can be read.
    """
    items = iter(items)

    def read(item: Item) -> np.ndarray | str:
        path: Any = item if path_of is None else path_of(item)
        damages: list[str] | None = None if remarks is None else []
        try:
            data = _content(path) if read_item is None else _content(item, read_item)
            image = prepare(data, damages) if prepare else codec.prepare(data, image_size, padding, damages)
        except codec.ImageError as error:
            return str(error)
        if remarks is not None:
            remarks.add(item, formats.wrong_suffix(data, pathlib.PurePath(path).suffix), damages)
        return image

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
    """Separate the images from the reasons of unreadable files."""
    pairs = list(zip(items, results, strict=True))
    readable = [(item, image) for item, image in pairs if not isinstance(image, str)]
    dtype = readable[0][1].dtype if readable else np.uint8
    images = np.zeros((len(readable), image_size, image_size, 3), dtype)
    for row, (_, image) in enumerate(readable):
        images[row] = image
    unreadable = [(item, reason) for item, reason in pairs if isinstance(reason, str)]
    return [item for item, _ in readable], images, unreadable
