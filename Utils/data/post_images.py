"""Small pictures of posts for a page: found in an image folder or in a dataset's shards, embedded as text."""

import base64
import contextlib

import numpy as np

from Utils.command.cli import UserError
from Utils.data import dataset_folder
from Utils.files import tfrecord
from Utils.files.atomic import to_path
from Utils.images import codec, image_folder

SIDE = 144
QUALITY = 78


def of_folder(folder):
    """Return a function ``ids -> {id: bytes of the image file}``; ids without a file are left out.

    Raises UserError where ``folder`` is no folder.
    """
    root = to_path(folder)
    if not root.is_dir():
        found = "a file" if root.exists() else "nothing"
        raise UserError(f"an image folder was expected at {root}; found {found}")

    def read(ids):
        paths = {number: root / image_folder.bucket_path(number) for number in ids}
        found = {number: path for number, path in paths.items() if path.is_file()}
        missing = set(ids) - set(found)
        if missing:
            found |= searched(root, missing)
        return {number: path.read_bytes() for number, path in found.items()}

    return read


def searched(root, wanted):
    """List a whole folder once: ``{id: path}``; of several files of a post the first by path is taken."""
    found = {}
    for top, names in image_folder.walk(root):
        for name in filter(image_folder.is_image, names):
            path = image_folder.join(top, name)
            number = image_folder.post_id(path)
            if number in wanted:
                found.setdefault(number, root / path)
    return found


def of_dataset(folder):
    """Return a function ``ids -> {id: JPEG bytes}`` that reads the records of a dataset folder."""
    dataset = dataset_folder.load(folder)

    def read(ids):
        found = {}
        for split in dataset.splits:
            if dataset.has_post_ids(split):
                found |= _of_split(dataset, split, np.array(sorted(set(ids) - set(found)), np.int64))
        return found

    return read


def _of_split(dataset, split, ids):
    stored = dataset.post_ids(split)
    places = dict(
        zip(stored[np.isin(stored, ids)].tolist(), np.flatnonzero(np.isin(stored, ids)), strict=True)
    )
    found, first = {}, 0
    for shard, count in zip(dataset.shards(split), dataset.record_counts(split), strict=True):
        mine = {place - first: number for number, place in places.items() if first <= place < first + count}
        if mine:
            found |= {mine[at]: data for at, data in _records(shard, set(mine))}
        first += count
    return found


def _records(shard, places):
    """Yield ``(place, JPEG)`` of some records of a shard, those that are damaged left out."""
    index = tfrecord.read_index(shard)
    with to_path(shard).open("rb") as file:
        for place in sorted(places):
            offset, length = index[place].tolist()
            file.seek(offset)
            with contextlib.suppress(ValueError):
                yield place, tfrecord.decode_example(file.read(length))[1]


def data_uri(data, side=SIDE, padding=codec.WHITE):
    """Return an encoded image as a small square JPEG in a ``data:`` address; None where it is no image."""
    try:
        picture = codec.fit(codec.decode(data), side, padding)
    except codec.ImageError:
        return None
    encoded = base64.b64encode(codec.encode_jpeg(picture, QUALITY)).decode("ascii")
    return f"data:image/jpeg;base64,{encoded}"
