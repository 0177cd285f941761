"""Serves a web page the images of some posts from a place of pictures, full or small, and no other file."""

import functools
from collections.abc import Mapping, Sequence

from Utils.command.cli import UserError
from Utils.data import post_images
from Utils.files.atomic import AnyPath
from Utils.images import codec, formats, image_folder
from Utils.images.census import warn_of_unreadable
from Utils.images.places import Place, as_place

SMALL = 320  # side of a small image
_QUALITY = 82
_SAMPLE = 1000  # posts that are looked for when a server starts
_MAX_BYTES = 1 << 26  # of an image file
_MIME_TYPES = {
    "JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif", "AVIF": "image/avif",
}  # fmt: skip


class PostImages:
    """Finds the image of a post: where a dataset says, else at ``0NNN/ID.jpg``, else anywhere in a place.

    Only images inside the place are read: a link that leads out of a folder counts as absent. Listing a
    whole place takes long where it is large, so it is done only if most of a sample of the posts is not
    found without.

    Args:
        place: of pictures, or its path.
        posts: the post ids whose images may be asked for.
        paths: ``{post id: path relative to the place}`` of posts whose place a dataset knows.

    Attributes:
        sample: the post ids of the sample.
        num_absent: how many of the sample have no image.

    Raises UserError where there is no such place, or no image of the sample in it.
    """

    def __init__(
        self, place: Place | AnyPath, posts: Sequence[int], paths: Mapping[int, str] | None = None
    ) -> None:
        self._place = as_place(place)
        self._paths = dict(paths or {})
        self.sample = posts[:: max(1, len(posts) // _SAMPLE)]
        if 2 * self._count_absent() > len(self.sample):
            self._paths |= post_images.PictureFinder(self._place).search(set(posts))
        else:
            warn_of_unreadable(self._place)
        self.num_absent = self._count_absent()
        if self.num_absent == len(self.sample):
            raise UserError(
                f"none of {len(self.sample)} posts looked for has an image in {place}; the first would be "
                f"{image_folder.bucket_path(int(posts[0]))}"
            )
        self.small = functools.lru_cache(1024)(self._small)

    def _count_absent(self) -> int:
        return sum(self.find(post) is None for post in self.sample)

    def find(self, post: int) -> str | None:
        """Return the path of a post's image in the place, None if it has none."""
        usual = image_folder.bucket_path(post)
        stem = usual.removesuffix(".jpg")
        candidates = (self._paths.get(post), usual, *(stem + suffix for suffix in formats.SUFFIXES))
        # Links and "../" in a dataset's paths may lead out of a folder.
        return next((path for path in candidates if path is not None and self._place.holds(path)), None)

    def large(self, post: int) -> tuple[bytes, str] | None:
        """Return ``(bytes, MIME type)`` of a post's image as browsers show it, None if it has none."""
        data = self._read(post)
        if not data:
            return None
        try:
            image_format = codec.probe(data)[0]
            if image_format in _MIME_TYPES:
                return data, _MIME_TYPES[image_format]
            return codec.encode_jpeg(codec.decode(data)), "image/jpeg"
        except codec.ImageError:
            return None

    def _small(self, post: int) -> bytes | None:
        """Return a JPEG of a post's image on a square of SMALL pixels, None if it has none."""
        data = self._read(post)
        if not data:
            return None
        try:
            return codec.encode_jpeg(codec.fit(codec.decode(data, SMALL), SMALL), _QUALITY)
        except codec.ImageError:
            return None

    def _read(self, post: int) -> bytes | None:
        path = self.find(post)
        if path is None:
            return None
        try:
            data = self._place.open(path)
        except (codec.ImageError, OSError):
            return None
        return data if len(data) <= _MAX_BYTES else None
