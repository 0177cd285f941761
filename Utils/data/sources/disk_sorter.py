"""Posts that come in any order with names for tags: kept on disk, given back by id in bounded memory."""

import array
import collections
import itertools
import tempfile
import weakref

import numpy as np

from Utils.data.definition import LETTERS
from Utils.data.sources import stream
from Utils.data.sources.stream import Block, Source, rising
from Utils.data.sources.vocabulary import Vocabulary

_MOST_LISTED = 10_000  # rejected lines that are named one by one


class Spool:
    """Collects posts; their tag rows (4 bytes each) go to a temporary file, about 22 bytes a post stay.

    Of several posts with one id the first counts, the others are rejected.
    """

    def __init__(self):
        self.vocabulary = Vocabulary()
        self.rejected, self.num_rejected = [], 0
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the source
        weakref.finalize(self, self._file.close)
        self._ids, self._sizes, self._keys = array.array("q"), array.array("i"), array.array("q")
        self._ratings, self._status = bytearray(), bytearray()
        self._waiting = []  # tag rows of the posts since the last write

    def add(self, post):
        """Take one `Utils.data.sources.danbooru_post.Post`."""
        rows = []
        for names, category, ids in post.tags:
            rows += self.vocabulary.rows(names, category, ids)
        self._ids.append(post.post_id)
        self._sizes.append(len(rows))
        self._keys.append(post.key)
        self._ratings.append(ord(post.rating) if post.rating else 0)
        self._status.append(post.status)
        self._waiting.append(rows)
        if len(self._waiting) >= stream.BLOCK:
            self._write()

    def reject(self, post_id, path, reason):
        """Note what never became a post."""
        self.num_rejected += 1
        if len(self.rejected) < _MOST_LISTED:
            self.rejected.append((post_id, path, reason))

    def __len__(self):
        return len(self._ids)

    def _write(self):
        """Sort and count the waiting rows; a repeated tag counts once."""
        count = len(self._waiting)
        sizes = np.array(self._sizes[-count:], np.int64) if count else np.zeros(0, np.int64)
        flat = np.fromiter(itertools.chain.from_iterable(self._waiting), np.int64, int(sizes.sum()))
        offsets, flat = rising(sizes, flat)
        self._sizes[len(self._sizes) - count :] = array.array("i", np.diff(offsets).tolist())
        self.vocabulary.count(flat)
        self._file.write(flat.astype(np.int32).tobytes())
        self._waiting.clear()

    def finish(self, kind, path, keep_unrated=False):
        """Return the posts as a `Source`."""
        self._write()
        self._file.flush()
        ids = np.frombuffer(self._ids, np.int64) if len(self._ids) else np.zeros(0, np.int64)
        order = np.argsort(ids, kind="stable")
        fresh = np.diff(ids[order], prepend=-1) != 0
        for post_id in ids[order[~fresh]].tolist():
            self.reject(post_id, f"post {post_id} again", "post id given twice")
        starts = np.concatenate([[0], np.cumsum(np.array(self._sizes, np.int64))])
        if not fresh.all():
            order = order[fresh]
            self.vocabulary.forget_counts()
            for at in range(0, len(order), stream.BLOCK):
                self.vocabulary.count(self._read(starts, order[at : at + stream.BLOCK])[1])
        tags, tag_ids = self.vocabulary.finish()
        letters = collections.Counter(np.frombuffer(self._ratings, np.uint8)[order].tolist())
        counts = {chr(code): posts for code, posts in letters.items() if chr(code) in LETTERS}
        return Source(
            kind=kind,
            path=str(path),
            tags=tags,
            num_posts=len(order),
            blocks=lambda: self._blocks(order, starts, tag_ids),
            rating_counts=lambda: dict(counts),
            keep_unrated=keep_unrated,
            rejected=tuple(self.rejected),
        )

    def _read(self, starts, posts):
        """Return ``(sizes, tag rows)`` of some posts, given by their place in the order they came."""
        sizes = starts[posts + 1] - starts[posts]
        if (np.diff(posts) == 1).all():  # as exports are: one stretch of the file
            return sizes, self._stretch(starts[posts[0]], starts[posts[-1] + 1])
        parts = [self._stretch(starts[post], starts[post + 1]) for post in posts.tolist()]
        return sizes, np.concatenate(parts)

    def _stretch(self, start, stop):
        self._file.seek(int(start) * 4)
        return np.frombuffer(self._file.read(int(stop - start) * 4), np.int32)

    def _blocks(self, order, starts, tag_ids):
        ids, keys = np.frombuffer(self._ids, np.int64), np.frombuffer(self._keys, np.int64)
        ratings, status = np.frombuffer(self._ratings, np.uint8), np.frombuffer(self._status, np.uint8)
        for at in range(0, len(order), stream.BLOCK):
            posts = order[at : at + stream.BLOCK]
            sizes, rows = self._read(starts, posts)
            offsets, values = rising(sizes, tag_ids[rows])
            yield Block(
                ids[posts],
                ratings[posts].astype(np.int64),
                status[posts].astype(np.int64),
                offsets,
                values,
                keys=keys[posts],
            )
