"""Thumbnails of posts for an HTML page, from a place of pictures or a dataset's shards, as data URIs."""

import base64
import contextlib
import functools
from collections.abc import Callable, Collection, Iterator, Mapping

import numpy as np

from Utils.data import dataset_folder, shard_writer
from Utils.files import tfrecord
from Utils.files.atomic import AnyPath, to_path
from Utils.images import codec, image_folder, picture_index
from Utils.images.census import warn_of_unreadable
from Utils.images.picture_index import PictureIndex
from Utils.images.places import Place, as_place

SIDE = 144  # of a thumbnail, in pixels
_QUALITY = 78

ReadImages = Callable[[Collection[int]], dict[int, bytes]]  # post ids -> {post id: encoded image}


def place_reader(place: Place | AnyPath) -> ReadImages:
    """Return a function ``ids -> {id: bytes of the image file}``; ids without a file are left out.

    Raises UserError where there is no such place of pictures.
    """
    place = as_place(place)

    def read(ids: Collection[int]) -> dict[int, bytes]:
        return {post: place.open(member) for post, member in locate(place, ids).items()}

    return read


def locate(place: Place, ids: Collection[int]) -> dict[int, str]:
    """Return ``{post id: member}`` of the posts that have a picture in a place; see `PictureFinder`."""
    return PictureFinder(place).find(ids)


class PictureFinder:
    """Finds the pictures of posts in a place, which is listed only if some are not where one expects them.

    Listing takes minutes for millions of images, and is done once.
    """

    def __init__(self, place: Place) -> None:
        self._place = place

    def find(self, ids: Collection[int], paths: Mapping[int, str] | None = None) -> dict[int, str]:
        """Return ``{post id: member}``: where ``paths`` says, where boorus have it, else anywhere."""
        likely = [(paths or {}).get(post) or image_folder.bucket_path(post) for post in ids]
        members = {
            post: path
            for post, path, is_there in zip(ids, likely, self._place.has(likely), strict=True)
            if is_there
        }
        return members | self.search([post for post in ids if post not in members])

    def search(self, ids: Collection[int]) -> dict[int, str]:
        """Return ``{post id: member}`` of posts, wherever in the place.

        As `picture_index` finds a post; else the picture whose path gives the id, as datasets of pictures
        name those without a number of their own.
        """
        posts = np.array(list(ids), np.int64)
        if not len(posts):
            return {}
        files = self._index.find(posts)
        has_file = files >= 0
        members = dict(zip(posts[has_file].tolist(), self._index.paths(files[has_file]), strict=True))
        without = posts[~has_file].tolist()
        return members | {post: self._by_path[post] for post in without if post in self._by_path}

    @functools.cached_property
    def _index(self) -> PictureIndex:
        index = picture_index.index(self._place)
        warn_of_unreadable(self._place)
        return index

    @functools.cached_property
    def _by_path(self) -> dict[int, str]:
        return {
            image_folder.path_id(name): name
            for folder, _, pictures in image_folder.walk_pictures(self._place)
            for name in (image_folder.join(folder, picture) for picture in pictures)
        }


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
