"""Thumbnails of posts for an HTML page, from an image folder or a dataset's shards, as data URIs."""

import base64
import contextlib
import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np

from Utils.command.cli import UserError
from Utils.data import dataset_folder, shard_writer
from Utils.files import tfrecord
from Utils.files.atomic import AnyPath, to_path
from Utils.images import codec, image_folder

SIDE = 144  # of a thumbnail, in pixels
_QUALITY = 78

ReadImages = Callable[[Collection[int]], dict[int, bytes]]  # post ids -> {post id: encoded image}


def folder_reader(folder: AnyPath) -> ReadImages:
    """Return a function ``ids -> {id: bytes of the image file}``; ids without a file are left out.

    Raises UserError where ``folder`` is no folder.
    """
    root = to_path(folder)
    if not root.is_dir():
        actual = "a file" if root.exists() else "nothing"
        raise UserError(f"an image folder was expected at {root}; found {actual}")

    def read(ids: Collection[int]) -> dict[int, bytes]:
        usual = {post: root / image_folder.bucket_path(post) for post in ids}
        paths = {post: path for post, path in usual.items() if path.is_file()}
        missing = set(ids) - set(paths)
        if missing:
            paths |= search_folder(root, missing)
        return {post: path.read_bytes() for post, path in paths.items()}

    return read


def search_folder(root: pathlib.Path, posts: Collection[int]) -> dict[int, pathlib.Path]:
    """Return ``{post id: path}`` of posts, wherever below ``root``: of several files the first by path.

    Lists the whole folder, which takes minutes for millions of images.
    """
    paths = {}
    for folder, _, pictures in image_folder.walk_pictures(root):
        for name in pictures:
            path = image_folder.join(folder, name)
            # By number, as boorus name files, or by path, as images of one number are named in one folder.
            for post in (image_folder.post_id(path), image_folder.path_id(path)):
                if post in posts:
                    paths.setdefault(post, root / path)
    return paths


def dataset_reader(folder: AnyPath) -> ReadImages:
    """Return a function ``ids -> {id: JPEG bytes}`` that reads the records of a dataset folder."""
    dataset = dataset_folder.load(folder)

    def read(ids: Collection[int]) -> dict[int, bytes]:
        images: dict[int, bytes] = {}
        for split in dataset.splits:
            if dataset.has_post_ids(split):
                images |= _read_split(dataset, split, np.array(sorted(set(ids) - set(images)), np.int64))
        return images

    return read


def _read_split(dataset: dataset_folder.Dataset, split: str, ids: np.ndarray) -> dict[int, bytes]:
    stored = dataset.post_ids(split)
    places = np.flatnonzero(np.isin(stored, ids))
    post_at = dict(zip(places.tolist(), stored[places].tolist(), strict=True))
    images, start = {}, 0
    for shard, count in zip(dataset.shards(split), dataset.record_counts(split), strict=True):
        posts = {place - start: post for place, post in post_at.items() if start <= place < start + count}
        images |= dict(_read_records(shard, posts))
        start += count
    return images


def _read_records(shard: str, posts: Mapping[int, int]) -> Iterator[tuple[int, bytes]]:
    """Yield ``(post id, JPEG)`` of some records of a shard, given as ``{place: post id}``.

    Raises UserError where a record is damaged or another post's: people judge labels by these images.
    """
    if not posts:
        return
    index = tfrecord.read_index(shard)
    with to_path(shard).open("rb") as file:
        for place in sorted(posts):
            with contextlib.suppress(ValueError):
                data = tfrecord.read_record(file, shard, *index[place].tolist())
                stored_id, image = tfrecord.decode_example(data)
                shard_writer.require_post(shard, stored_id, posts[place])
                yield posts[place], image


def data_uri(data: bytes, side: int = SIDE, padding: int = codec.WHITE) -> str | None:
    """Return an encoded image as a square JPEG of ``side`` pixels in a ``data:`` URI; None for no image."""
    try:
        picture = codec.fit(codec.decode(data), side, padding)
    except codec.ImageError:
        return None
    encoded = base64.b64encode(codec.encode_jpeg(picture, _QUALITY)).decode("ascii")
    return f"data:image/jpeg;base64,{encoded}"
