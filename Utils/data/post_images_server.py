"""The images of some posts, for a page: found in an image folder, read, made small; nothing beside them."""

import functools
import pathlib

from Utils.command.cli import UserError
from Utils.data import post_images
from Utils.images import codec, image_folder

SMALL = 320  # side of a small picture
_QUALITY = 82
_SAMPLE = 1000
_LARGEST = 1 << 26  # bytes of a file that is still read
_TYPES = {
    "JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "GIF": "image/gif", "AVIF": "image/avif",
}  # fmt: skip


class Pictures:
    """Finds the image of a post: where a dataset says, at ``0NNN/ID.jpg``, else anywhere in a folder.

    Only image files inside the folder are read: links that lead out of it count as absent. Whether the folder
    is to be listed as a whole, which takes long where it is large, a sample of the posts decides.

    Args:
        folder: the image folder.
        posts: the post ids whose images may be asked for.
        paths: ``{post id: path relative to the folder}`` of posts whose place is known.
    """

    def __init__(self, folder, posts, paths=None):
        self._root = pathlib.Path(folder).resolve()
        if not self._root.is_dir():
            found = "a file" if self._root.exists() else "nothing"
            raise UserError(f"an image folder was expected at {folder}; found {found}")
        self._paths = {post: self._root / path for post, path in (paths or {}).items()}
        self.sample = posts[:: max(1, len(posts) // _SAMPLE)]
        if 2 * self._num_absent() > len(self.sample):  # another layout: look everywhere, once
            self._paths |= post_images.searched(self._root, set(posts))
        self.num_absent = self._num_absent()  # of the sample
        if self.num_absent == len(self.sample):
            raise UserError(
                f"none of {len(self.sample)} posts looked for has an image in {folder}; the first would be "
                f"{image_folder.bucket_path(int(posts[0]))}"
            )
        self.small = functools.lru_cache(1024)(self._small)

    def _num_absent(self):
        return sum(self.find(post) is None for post in self.sample)

    def find(self, post):
        """Return the path of a post's image, None where there is none."""
        usual = self._root / image_folder.bucket_path(post)
        near = (usual.with_suffix(suffix) for suffix in codec.SUFFIXES)
        for path in (self._paths.get(post), usual, *near):
            if path is not None and path.is_file() and path.resolve().is_relative_to(self._root):
                return path
        return None

    def large(self, post):
        """Return ``(bytes, MIME type)`` of a post's image as browsers show it, None where there is none."""
        data = self._read(post)
        try:
            kind = data and codec.probe(data)[0]
            if kind in _TYPES:
                return data, _TYPES[kind]
            return data and (codec.encode_jpeg(codec.decode(data)), "image/jpeg")
        except codec.ImageError:
            return None

    def _small(self, post):
        """Return a JPEG of a post's image on a square of SMALL pixels, None where there is none."""
        data = self._read(post)
        try:
            return data and codec.encode_jpeg(codec.fit(codec.decode(data, SMALL), SMALL), _QUALITY)
        except codec.ImageError:
            return None

    def _read(self, post):
        path = self.find(post)
        return path.read_bytes() if path is not None and path.stat().st_size <= _LARGEST else None
