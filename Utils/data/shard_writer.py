"""Packs posts into shards: one job writes one shard, the same bytes on whichever machine it runs."""

import dataclasses
import errno
import os
import pathlib

import cv2
import numpy as np

from Utils.command.cli import UserError, WorkError
from Utils.files import tfrecord
from Utils.files.atomic import replacing, write_json
from Utils.images import codec, image_reader

_NO_FILES = {errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG}  # links in a circle, sockets, names of no file


@dataclasses.dataclass(frozen=True)
class Job:
    """One shard to write. Paths are absolute: jobs travel to other machines, which see the same folders."""

    path: str  # of the shard
    file: str  # the same, relative to the dataset folder
    split: str
    note: str  # JSON that says that the shard is written and what is in it
    folder: str | None  # of images
    image_size: int
    quality: int
    posts: list  # of (post id, path of the image, label indexes)
    kept: list | None = None  # for every post (shard, offset, length) of its old record, or why there is none


def write_shard(job):
    """Write one shard, then its note; a broken image leaves its place empty. Returns the note."""
    cv2.setNumThreads(1)  # jobs run side by side
    ids, rejected = [], []
    with replacing(job.path) as beside, tfrecord.Writer(beside) as writer, _Reader() as old:
        for row, (number, path, labels) in enumerate(job.posts):
            try:
                data = _image(job, row, path, old)
            except codec.ImageError as error:
                rejected.append((number, path, str(error)))
                continue
            writer.write_record(tfrecord.encode_example(number, data, labels))
            ids.append(number)
    entry = {"file": job.file, "records": len(ids), "bytes": writer.size, "sha256": writer.sha256}
    note = {**entry, "split": job.split, "ids": ids, "rejected": rejected}
    write_json(job.note, note)
    return note


def _image(job, row, path, old):
    """Return the JPEG to store; ImageError with the reason where there is none."""
    kept = job.kept[row] if job.kept else None
    if isinstance(kept, tuple):
        return old.image(*kept)
    if job.folder is None:
        raise codec.ImageError(kept)
    return stored(job.folder, path, job.image_size, job.quality)


def stored(folder, path, size, quality):
    """Return the JPEG to store for an image file; ImageError with the reason where it is unfit."""
    if path in ("", ".") or path[0] == "/" or ".." in path.split("/") or "\0" in path:
        raise codec.ImageError("path leads out of the image folder")
    place = f"{folder}/{path}"
    try:
        data = image_reader.read_bytes(place)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise codec.ImageError("file missing") from error
    except OSError as error:
        if error.errno in _NO_FILES:
            raise codec.ImageError(f"cannot be read: {error.strerror}") from error
        # A dead disk is no reason to reject what lies on it.
        raise WorkError(f"{place} cannot be read: {error}; mend that and run the command again") from error
    return codec.to_stored_jpeg(data, os.path.splitext(place)[1], size, quality)  # noqa: PTH122


class _Reader:
    """Reads single records of shards that are there already."""

    def __init__(self):
        self._files = {}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        for file in self._files.values():
            file.close()

    def image(self, shard, offset, length):
        """Return the image bytes of the record whose data begin at ``offset``."""
        if shard not in self._files:
            self._files[shard] = pathlib.Path(shard).open("rb")  # noqa: SIM115  closed by __exit__
        self._files[shard].seek(offset)
        return _read(self._files[shard].read(length), shard)[1]


def _read(data, shard):
    """Return id and image of a record; WorkError where it is none."""
    try:
        return tfrecord.decode_example(data)
    except ValueError as error:
        raise WorkError(f"{shard} has a damaged record: {error}") from error


class OldRecords:
    """Where the records of a `Utils.data.dataset_folder.Dataset` lie, by post id, in 24 bytes a record."""

    def __init__(self, dataset):
        self._shards = [shard for split in dataset.splits for shard in dataset.shards(split)]
        parts = [tfrecord.read_index(shard) for shard in self._shards]
        shard = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        places = np.concatenate([*parts, np.zeros((0, 2), np.int64)])
        ids = np.concatenate([self._ids(dataset, split) for split in dataset.splits])
        if len(ids) != len(places):
            raise UserError(
                f"{dataset.folder}: ids.npy name {len(ids)} posts, the shards hold {len(places)} records"
            )
        order = np.argsort(ids, kind="stable")
        self.ids, self._shard, self._places = ids[order], shard[order], places[order]

    def _ids(self, dataset, split):
        if (dataset.folder / split / "ids.npy").is_file():
            return dataset.post_ids(split)
        shards = dataset.shards(split)
        found = [_id_at(shard, *place) for shard in shards for place in tfrecord.read_index(shard).tolist()]
        return np.array(found, np.int64)

    def find(self, ids):
        """Return ``(shard, offset, length)`` of every post's record, None where there is none."""
        place = np.minimum(np.searchsorted(self.ids, ids), max(len(self.ids) - 1, 0))
        return [
            (self._shards[self._shard[row]], *self._places[row].tolist()) if self.ids[row] == number else None
            for row, number in zip(place.tolist(), ids, strict=True)
        ]


def _id_at(shard, offset, length):
    """Return the post id that a record of the original project carries."""
    with pathlib.Path(shard).open("rb", buffering=0) as file:
        file.seek(offset)
        return _read(file.read(length), shard)[0]
