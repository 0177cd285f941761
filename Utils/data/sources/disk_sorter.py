"""Sorts posts by id on disk, in bounded memory, for sources that list them in any order."""

import array
import collections
import dataclasses
import itertools
import sys
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from Utils.command.text import counted, join_names, visible
from Utils.data.danbooru_fields import RATING_NAMES, SAFE, FieldError, unread_ratings_note
from Utils.data.sources import danbooru_post, stream
from Utils.data.sources.danbooru_post import Post
from Utils.data.sources.stream import PostBlock, Source, sort_each_row
from Utils.data.sources.vocabulary import Vocabulary
from Utils.files.atomic import AnyPath
from Utils.images import image_folder, picture_index
from Utils.images.picture_index import NUM_KEYS
from Utils.images.place import Place
from Utils.tags import captions

_SENTENCES = "sentence in captions is no tag and is", "sentences in captions are no tags and are"
_MAX_LISTED = 10_000  # rejected records that are named one by one
OF_FIELDS = (
    "a list of names in the field tags takes them as they are",
    "a field tags or tag_string is split at blanks",
)
_ROW_BYTES = 4  # a tag row is an int32 in the file


class DiskSorter:
    """Collects posts in any order and gives them back as a `Source`, by id.

    The tag rows go to a temporary file; about 30 bytes a post stay in memory. Of several posts with one id
    the first counts, the others are rejected.

    Args:
        keeps_keys: whether the posts' keys are kept, 24 bytes of these; not needed where paths are known.
        images: the place of the pictures, which gives ids to posts that have only a file's name.
        separator_steps: what to do about captions without commas, as `SeparatorCounts.notes` takes it.
    """

    def __init__(
        self,
        keeps_keys: bool = True,
        images: Place | AnyPath | None = None,
        separator_steps: tuple[str, str] = OF_FIELDS,
    ) -> None:
        self._keeps_keys, self._images, self._separator_steps = keeps_keys, images, separator_steps
        self.vocabulary = Vocabulary()
        self.rejected: list[tuple[int, str, str]] = []  # (post id, where it was, reason), the first 10,000
        self.num_rejected = 0
        self._has_ratings, self._has_names, self._file_name = (
            False,
            False,
            "",
        )  # the first that a record names
        self._layouts: collections.Counter[str] = collections.Counter()  # records of each layout
        self._num_sentences, self._sentence = 0, ""  # in captions, and the first one
        self.separators = captions.SeparatorCounts()  # of the tags in captions
        self._num_unread_ratings, self._unread_ratings = 0, dict[str, None]()  # how many; the first three
        self._num_uncategorized, self._uncategorized = 0, dict[str, None]()  # posts; the first three names
        self._names: dict[int, str] = {}  # place of a post without an id -> its file's name
        self._notes: list[str] = []
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the source
        weakref.finalize(self, self._file.close)
        self._ids, self._sizes, self._keys = array.array("q"), array.array("i"), array.array("q")
        self._ratings, self._status = bytearray(), bytearray()
        self._unwritten: list[list[int]] = []  # tag rows of the posts since the last write

    def add_record(
        self, record: Any, place: str, key: str = "", member: str = "", folder: str = ""
    ) -> str | None:
        """Add the post of a record of a booru's fields, or note the record as rejected.

        Args:
            record: as `danbooru_post.parse_post` reads it.
            place: where the record was, for rejected.csv.
            key: of the record among others, which may be its id or the name of its file.
            member: of a record that holds its picture, the picture's path in its place.
            folder: of the records' file, relative to PATH.

        Returns the reason why it was rejected, None where it is a post.
        """
        try:
            post = danbooru_post.parse_post(record, name=key or member, folder=folder)
            if member and not record.get("image"):  # its row is no name that another file may have
                post = dataclasses.replace(
                    post, keys=(picture_index.file_keys(member)[0], *picture_index.NO_KEYS[1:])
                )
                self._has_names = True
            self.add(post)
        except FieldError as error:
            self.reject(error.post_id, place, str(error))
            return str(error)
        self._has_ratings = self._has_ratings or "rating" in record
        self.note_layout(record)
        return None

    def add(self, post: Post) -> None:
        """Add one post."""
        rows = []
        for names, category, ids in post.tags:
            rows += self.vocabulary.rows_of(names, category, ids)
        if post.post_id < 0:
            self._names[len(self._ids)] = post.name
        if post.caption:
            self.separators.add(post.caption)
            self._num_sentences += len(post.caption.sentences)
            self._sentence = self._sentence or next(iter(post.caption.sentences), "")
        if post.unread_rating:
            self._num_unread_ratings += 1
            if len(self._unread_ratings) < 3:
                self._unread_ratings[post.unread_rating] = None
        if post.uncategorized:
            self._num_uncategorized += 1
            if len(self._uncategorized) < 3:
                self._uncategorized |= dict.fromkeys(post.uncategorized[: 3 - len(self._uncategorized)])
        self._ids.append(post.post_id)
        self._sizes.append(len(rows))
        if self._keeps_keys:
            self._keys.extend(post.keys)
            self._has_names = self._has_names or bool(post.keys[-1])
            self._file_name = self._file_name or post.name
        self._ratings.append(ord(post.rating) if post.rating else 0)
        self._status.append(post.status)
        self._unwritten.append(rows)
        if len(self._unwritten) >= stream.BLOCK_SIZE:
            self._write()

    def reject(self, post_id: int, place: str, reason: str) -> None:
        """Note a rejected record; ``post_id`` is -1 if it has none."""
        self.num_rejected += 1
        if len(self.rejected) < _MAX_LISTED:
            self.rejected.append((post_id, place, reason))

    def note_files(self, names: Sequence[str], what: str) -> None:
        """Note something about files, where there are some; ``what``, without a verb, follows "3 files"."""
        if names:
            self._notes.append(f"{counted(len(names), 'file')} {what}: {join_names(names)}")

    def note(self, sentence: str) -> None:
        """Note a sentence to print."""
        self._notes.append(sentence)

    def note_layout(self, record: Mapping[str, Any]) -> None:
        """Note which site or program writes such records."""
        self._layouts[danbooru_post.layout_of(tuple(record)).name] += 1

    def set_ids(self, ids: np.ndarray) -> None:
        """Replace the ids of all posts, given in the order in which they came: int64 (P,)."""
        self._ids = array.array("q", ids.astype(np.int64).tobytes())
        self._names = {}

    def notes(self) -> tuple[str, ...]:
        """Return what the reader of a source should say: what was recognized, what was left out."""
        layouts = [f"{name} ({count:,})" for name, count in self._layouts.most_common() if name]
        notes = [f"recognized: records of {', '.join(layouts)}"] if layouts else []
        if self._num_unread_ratings:
            notes.append(unread_ratings_note(self._num_unread_ratings, self._unread_ratings))
        if self._num_uncategorized:
            notes.append(
                f"{counted(self._num_uncategorized, 'post has', 'posts have')} tags that no field of a "
                f"category lists, such as {', '.join(self._uncategorized)}; these are left out. A file "
                "without the fields by category gives all, and --tags their categories"
            )
        if self._num_sentences:
            notes.append(
                f"{counted(self._num_sentences, *_SENTENCES)} left out, such as {self._sentence[:100]!r}"
            )
            if not captions.ends_in_stop(self._sentence):
                notes[-1] += f"; if these are tags, {self._separator_steps[1]}"
        return (*notes, *self.separators.notes(self._separator_steps), *self._notes)

    def _set_ids_of_names(self) -> None:
        """Give the posts without an id the ids that their place, or one of just these, gives the pictures."""
        if not self._names:
            return
        names = list(self._names.values())
        if self._images is None:
            ids = image_folder.post_ids(names)
        else:
            ids = picture_index.ids_of_names(self._images, names)
        for place, post_id in zip(self._names, ids, strict=True):
            self._ids[place] = post_id

    def __len__(self) -> int:
        return len(self._ids)

    def _write(self) -> None:
        """Sort the waiting tag rows, count them and write them; a repeated tag of a post counts once."""
        count = len(self._unwritten)
        sizes = np.array(self._sizes[-count:], np.int64) if count else np.zeros(0, np.int64)
        rows = np.fromiter(itertools.chain.from_iterable(self._unwritten), np.int64, int(sizes.sum()))
        offsets, rows = sort_each_row(sizes, rows)
        self._sizes[len(self._sizes) - count :] = array.array("i", np.diff(offsets).tolist())
        self.vocabulary.add_counts(rows)
        self._file.write(rows.astype(np.int32).tobytes())
        self._unwritten.clear()

    def finish(self, kind: str, path: AnyPath) -> Source:
        """Return the posts as a `Source`, which keeps unrated posts where no record had a rating.

        Says on stderr which names are in several categories, or have half a surrogate pair.
        """
        self._write()
        self._file.flush()
        self._set_ids_of_names()
        ids = np.frombuffer(self._ids, np.int64) if len(self._ids) else np.zeros(0, np.int64)
        order = np.argsort(ids, kind="stable")
        is_first = np.diff(ids[order], prepend=-1) != 0
        for post_id in ids[order[~is_first]].tolist():
            self.reject(post_id, f"post {post_id} again", "post id given twice")
        starts = np.concatenate([[0], np.cumsum(np.array(self._sizes, np.int64))])
        if not is_first.all():
            order = order[is_first]
            # The rejected posts were counted when they came.
            self.vocabulary.reset_counts()
            for start in range(0, len(order), stream.BLOCK_SIZE):
                self.vocabulary.add_counts(self._read(starts, order[start : start + stream.BLOCK_SIZE])[1])
        for sentence in (self.vocabulary.describe_conflicts(), self.vocabulary.describe_halved()):
            if sentence:
                print(f"warning: {path}: {sentence}", file=sys.stderr)
        tags, tag_ids = self.vocabulary.finish()
        codes = collections.Counter(np.frombuffer(self._ratings, np.uint8)[order].tolist())
        rating_counts = {
            chr(code): posts for code, posts in codes.items() if chr(code) in (*RATING_NAMES, SAFE)
        }
        return Source(
            kind=kind,
            path=str(path),
            tags=tags,
            num_posts=len(order),
            blocks=lambda: self._blocks(order, starts, tag_ids),
            rating_counts=lambda: dict(rating_counts),
            keep_unrated=not self._has_ratings,
            rejected=tuple(self.rejected),
            notes=self.notes(),
            has_names=self._has_names,
            file_name=visible(self._file_name),
            names_of=lambda wanted: {
                self._ids[place]: visible(name)
                for place, name in self._names.items()
                if self._ids[place] in wanted
            },
        )

    def _read(self, starts: np.ndarray, posts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return ``(sizes, tag rows)`` of some posts, given by their position in the order of arrival."""
        sizes = starts[posts + 1] - starts[posts]
        if (np.diff(posts) == 1).all():  # exports are sorted by id: one read for the whole block
            return sizes, self._read_rows(int(starts[posts[0]]), int(starts[posts[-1] + 1]))
        ends = zip(starts[posts].tolist(), starts[posts + 1].tolist(), strict=True)
        parts = [self._read_rows(start, stop) for start, stop in ends]
        return sizes, np.concatenate(parts)

    def _read_rows(self, start: int, stop: int) -> np.ndarray:
        self._file.seek(start * _ROW_BYTES)
        return np.frombuffer(self._file.read((stop - start) * _ROW_BYTES), np.int32)

    def _blocks(self, order: np.ndarray, starts: np.ndarray, tag_ids: np.ndarray) -> Iterator[PostBlock]:
        ids, keys = np.frombuffer(self._ids, np.int64), None
        if self._keeps_keys:
            keys = np.frombuffer(self._keys, np.int64)
            keys = keys.reshape(-1, NUM_KEYS) if self._has_names else keys[::NUM_KEYS]
        ratings, status = np.frombuffer(self._ratings, np.uint8), np.frombuffer(self._status, np.uint8)
        for start in range(0, len(order), stream.BLOCK_SIZE):
            posts = order[start : start + stream.BLOCK_SIZE]
            sizes, rows = self._read(starts, posts)
            offsets, values = sort_each_row(sizes, tag_ids[rows])
            yield PostBlock(
                ids[posts],
                ratings[posts].astype(np.int64),
                status[posts].astype(np.int64),
                offsets,
                values,
                keys=None if keys is None else keys[posts],
            )
