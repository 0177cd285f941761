"""Packs posts into shards: one job writes one shard, the same bytes on whichever machine it runs."""

import collections
import concurrent.futures
import dataclasses
import errno
import hashlib
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any

import cv2
import numpy as np

from Utils.command.cli import UserError, WorkError, progress
from Utils.command.machine import num_cores
from Utils.data import picture_contents
from Utils.data.dataset_folder import Dataset
from Utils.files import tfrecord
from Utils.files.atomic import replacing, sha256_of, write_json
from Utils.images import animation, codec, formats, image_folder, image_limits, places

Post = tuple[int, str, list[int]]  # id, path of the image, label indexes
Place = tuple[str, int, int]  # of a record: shard, offset and length of its data

# Errors of single paths, which reject the post: links in a circle, sockets, names that no file can have.
_PATH_ERRNOS = {errno.ELOOP, errno.ENXIO, errno.ENAMETOOLONG}


@dataclasses.dataclass(frozen=True)
class ShardJob:
    """One shard to write. Paths are absolute: jobs travel to other machines, which see the same folders."""

    path: str  # of the shard
    file: str  # the same, relative to the dataset folder
    split: str
    note: str  # path of the JSON that says that the shard is written and what is in it
    plan: str  # for the note
    place: places.Place | None  # of the posts' images
    image_size: int
    quality: int
    posts: list[Post]
    # Post by post the place of an old record whose image is copied, or the reason why there is none.
    reused: list[Place | str] | None = None
    contents: list[int] | None = None  # `picture_contents.number_of` the pictures; None: they may be any
    checks: bool = False  # whether images that are stored as they are get decoded, too
    max_pixels: int = image_limits.MAX_PIXELS  # of an image
    frames: str | None = None  # of animation.CHOICES; None rejects animated pictures


def frame_id(post_id: int, number: int) -> int:
    """Return the id of a further frame of a post's animated picture; frame 0 has the post's."""
    return image_folder.path_id(f"{post_id}#{number}") if number else post_id


def write_shard(job: ShardJob) -> dict[str, Any]:
    """Write one shard, then its note; a post with a broken image is left out. Returns the note.

    Of an animated picture each chosen frame is a record with the post's labels; the note names them.
    """
    cv2.setNumThreads(1)  # jobs run side by side
    image_limits.allow_pixels(job.max_pixels)
    ids, rejected, frames, wrong_suffixes = [], [], [], collections.Counter()
    with replacing(job.path) as part, tfrecord.Writer(part) as writer, _RecordReader() as old_records:
        images = _images(job, old_records, wrong_suffixes)
        for (post_id, path, labels), data in zip(job.posts, images, strict=True):
            if isinstance(data, codec.ImageError):
                rejected.append((post_id, path, str(data)))
                continue
            for number, frame in enumerate(data):
                ids.append(frame_id(post_id, number))
                writer.write_record(tfrecord.encode_example(ids[-1], frame, labels))
            if len(data) > 1:
                frames.append([post_id, path, len(data)])
    entry = {"file": job.file, "records": len(ids), "bytes": writer.size, "sha256": writer.sha256}
    note = {**entry, "split": job.split, "plan": job.plan, "ids": ids, "rejected": rejected}
    note |= {"wrong_suffixes": wrong_suffixes}
    note |= {"frames": frames} if frames else {}
    write_json(job.note, note)
    return note


def _images(
    job: ShardJob, old_records: "_RecordReader", wrong_suffixes: "collections.Counter[str]"
) -> Iterator[list[bytes] | codec.ImageError]:
    """Yield the JPEGs to store for each post, one but for animated pictures, or why there is none.

    Where a place is read faster in another order than the records', all images of the shard are held.
    """

    def image(row: int) -> list[bytes] | codec.ImageError:
        try:
            return _image(job, row, job.posts[row][1], old_records, wrong_suffixes)
        except codec.ImageError as error:
            return error

    order = job.place.reading_order([path for _, path, _ in job.posts]) if job.place else None
    if order is None:
        yield from map(image, range(len(job.posts)))
        return
    images = {row: image(row) for row in order}
    yield from (images.pop(row) for row in range(len(job.posts)))


def _image(
    job: ShardJob,
    row: int,
    path: str,
    old_records: "_RecordReader",
    wrong_suffixes: "collections.Counter[str]",
) -> list[bytes]:
    """Return the JPEGs to store for a post; ImageError with the reason where there is none.

    Counts the suffixes that lie.
    """
    reused = job.reused[row] if job.reused else None
    if isinstance(reused, tuple):
        return [old_records.image(*reused, job.posts[row][0])]
    if job.place is None:
        raise codec.ImageError(reused)
    data = image_content(job.place, path)
    if job.contents and picture_contents.number_of(hashlib.sha256(data).hexdigest()) != job.contents[row]:
        raise codec.ImageError("changed since select_tags read it")
    if job.frames and animation.num_frames(data) > 1:
        images = animation.to_stored_jpegs(data, job.image_size, job.quality, job.frames)
    else:
        images = [codec.to_stored_jpeg(data, job.image_size, job.quality, job.checks)]
    remark = formats.wrong_suffix(data, os.path.splitext(path)[1])  # noqa: PTH122  faster
    if remark:
        wrong_suffixes[remark] += 1
    return images


def image_content(place: places.Place, path: str) -> bytes:
    """Return the content of an image; ``path``, relative to the place, is untrusted.

    Raises ImageError with the reason where the file is unfit, WorkError where the disk cannot be read.
    """
    try:
        return place.open(path)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise codec.ImageError("file missing") from error
    except OSError as error:
        if error.errno in _PATH_ERRNOS:
            raise codec.ImageError(f"cannot be read: {error.strerror}") from error
        # A failing disk says nothing about the image: rejecting it would make a dataset without it.
        raise WorkError(
            f"{place}/{path} cannot be read: {error}; mend that and run the command again"
        ) from error


class _RecordReader:
    """Reads single records of existing shards; keeps the files open, since a job reads many of one shard."""

    def __init__(self) -> None:
        self._files: dict[str, IO[bytes]] = {}

    def __enter__(self) -> "_RecordReader":
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files.values():
            file.close()

    def image(self, shard: str, offset: int, length: int, post_id: int) -> bytes:
        """Return the image bytes of the record whose data begin at ``offset``.

        Raises UserError where the record is damaged or another post's.
        """
        if shard not in self._files:
            self._files[shard] = pathlib.Path(shard).open("rb")  # noqa: SIM115  closed by __exit__
        data = tfrecord.read_record(self._files[shard], shard, offset, length)
        stored_id, image = _decode(data, shard)
        require_post(shard, stored_id, post_id)
        return image


def require_post(shard: str, stored_id: int, post_id: int) -> None:
    """Raise UserError where a record is of another post than ids.npy says for its place.

    Nobody would notice: every image would get the labels of another one.
    """
    if stored_id != post_id:
        raise UserError(
            f"{shard} has a record of post {stored_id} where {pathlib.Path(shard).parent / 'ids.npy'} says "
            f"{post_id}: the two files do not belong together; restore the one that was exchanged"
        )


def _decode(data: bytes, shard: str) -> tuple[int, bytes]:
    """Return id and image of a record; WorkError where it is damaged."""
    try:
        return tfrecord.decode_example(data)
    except ValueError as error:
        raise WorkError(f"{shard} has a damaged record: {error}") from error


class RecordIndex:
    """The places of all records of a dataset by post id, in 24 bytes a record.

    Raises UserError where ids.npy and the shards do not agree.
    """

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._shards = [shard for split in dataset.splits for shard in dataset.shards(split)]
        indexes = [tfrecord.read_index(shard) for shard in self._shards]
        shard_rows = np.repeat(np.arange(len(indexes)), [len(index) for index in indexes])
        places = np.concatenate([*indexes, np.zeros((0, 2), np.int64)])
        ids = np.concatenate([self._read_ids(dataset, split) for split in dataset.splits])
        if len(ids) != len(places):
            raise UserError(
                f"{dataset.folder}: ids.npy name {len(ids)} posts, the shards hold {len(places)} records"
            )
        order = np.argsort(ids, kind="stable")
        self.ids, self._shard_rows, self._places = ids[order], shard_rows[order], places[order]

    def _read_ids(self, dataset: Dataset, split: str) -> np.ndarray:
        if dataset.has_post_ids(split):
            return dataset.post_ids(split)
        # Shards of the original project: every record carries its id.
        shards = dataset.shards(split)
        ids = [_decode(data, shard)[0] for shard in shards for data in tfrecord.read_records(shard)]
        return np.array(ids, np.int64)

    def verify(self) -> None:
        """Compare every shard with its SHA-256 in dataset.json, its records with their checksums and ids.npy.

        Raises UserError that names the file which is wrong.
        """
        entries = [shard for split in self._dataset.splits for shard in self._dataset.shard_entries(split)]
        order = np.lexsort((self._places[:, 0], self._shard_rows))  # back to the order of the files
        ids = np.split(self.ids[order], np.searchsorted(self._shard_rows[order], np.arange(1, len(entries))))
        jobs = list(zip(self._shards, entries, ids, strict=True))
        # Threads are enough: hashing and reading let go of the interpreter.
        with concurrent.futures.ThreadPoolExecutor(num_cores()) as pool:
            done = pool.map(lambda job: _verify_shard(*job), jobs)
            for _ in progress(done, total=len(jobs), label="verifying", unit="shards"):
                pass

    def find(self, ids: Sequence[int]) -> list[Place | None]:
        """Return ``(shard, offset, length)`` of every post's record, None for a post without one."""
        rows = np.minimum(np.searchsorted(self.ids, ids), max(len(self.ids) - 1, 0))
        return [
            (self._shards[self._shard_rows[row]], *self._places[row].tolist())
            if self.ids[row] == post_id
            else None
            for row, post_id in zip(rows.tolist(), ids, strict=True)
        ]


def _verify_shard(shard: str, entry: Mapping[str, Any], ids: np.ndarray) -> None:
    """Raise UserError where a shard is not the one of dataset.json, damaged, or of other posts than ids."""
    for data, post_id in zip(tfrecord.read_records(shard), ids.tolist(), strict=True):
        require_post(shard, _decode(data, shard)[0], post_id)
    # After the records, whose errors say more; shards of the original project have no SHA-256.
    expected = entry.get("sha256")
    if expected is not None and sha256_of(shard) != expected:
        raise UserError(f"{shard} is not the shard that dataset.json was written for: its SHA-256 is another")
