"""The content of many pictures: a hash of their bytes, and whether they are pictures at all."""

import concurrent.futures
import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from Utils.command.cli import progress
from Utils.command.machine import num_cores
from Utils.command.text import counted
from Utils.data import dataset_folder
from Utils.files import parquet_files
from Utils.files.atomic import AnyPath, to_path
from Utils.images import codec
from Utils.images.places import Place

_AT_ONCE = 256  # pictures whose bytes may wait for a reader
CHANGED_OR_OTHERS = "they were changed since, or are other pictures, whose ids are the same"
_LOOKED_AT = 100  # pictures that tell whether a place has those of a dataset

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


def warn_of_others(folder: AnyPath, place: Place, path_of: Mapping[int, str]) -> None:
    """Say on stderr how many pictures of a place are other files than those that a dataset's posts had.

    Nothing where posts.parquet has no hashes of them. Resized ones are other files, too: none is refused.

    Args:
        folder: of the dataset.
        place: of the pictures.
        path_of: their paths by post id; up to 100 are looked at.
    """
    path, what = to_path(folder) / dataset_folder.POSTS, "the posts of a dataset"
    name = dataset_folder.PICTURE_COLUMN
    if not path_of or not path.is_file() or not parquet_files.has_column(path, what, name):
        return
    posts = np.array(list(path_of), np.int64)
    posts = posts[np.unique(np.linspace(0, len(posts) - 1, _LOOKED_AT).astype(np.int64))]
    compared = others = 0
    columns = {"post_id": pa.int64(), name: pa.int64()}
    for batch in parquet_files.batches(path, what, columns, dataset_folder.POSTS_AT_ONCE):
        ids, contents = batch["post_id"].to_numpy(), batch[name].to_numpy()
        for row in np.flatnonzero(np.isin(ids, posts) & (contents != 0)).tolist():
            try:
                digest = hashlib.sha256(place.open(path_of[int(ids[row])])).hexdigest()
            except (codec.ImageError, OSError):
                continue
            compared, others = compared + 1, others + int(number_of(digest) != contents[row])
    if others:
        print(
            f"{others} of {counted(compared, 'picture')} looked at in {place} are other files than those "
            f"that {folder} was made from: {CHANGED_OR_OTHERS}",
            file=sys.stderr,
        )
