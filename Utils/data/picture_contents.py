"""The content of many pictures: a hash of their bytes, and whether they are pictures at all."""

import concurrent.futures
import hashlib
from collections.abc import Callable, Iterator, Sequence

from Utils.command.cli import progress
from Utils.command.machine import num_cores
from Utils.images import codec

_AT_ONCE = 256  # pictures whose bytes may wait for a reader

Facts = tuple[str, int, str]  # SHA-256 of the bytes, longer side in pixels, reason why it is no picture or ""


def number_of(digest: str) -> int:
    """Return the first 63 bits of a SHA-256 in hexadecimal, as posts.parquet has it of a picture."""
    return int(digest[:16], 16) >> 1


def read(paths: Sequence[str], read_bytes: Callable[[str], bytes]) -> Iterator[Facts]:
    """Yield the `Facts` of every picture, in order, with a progress bar.

    Args:
        paths: of the pictures.
        read_bytes: function path -> content; ImageError and OSError are reasons.
    """

    def facts(path: str) -> Facts:
        try:
            data = read_bytes(path)
            _, width, height = codec.probe(data)
        except codec.ImageError as error:
            return "", 0, str(error)
        except OSError as error:
            return "", 0, error.strerror or type(error).__name__
        return hashlib.sha256(data).hexdigest(), max(width, height), ""

    def all_facts() -> Iterator[Facts]:
        with concurrent.futures.ThreadPoolExecutor(num_cores()) as pool:
            for start in range(0, len(paths), _AT_ONCE):
                yield from pool.map(facts, paths[start : start + _AT_ONCE])

    return progress(all_facts(), total=len(paths), label="pictures", unit="files")
