"""Pictures with their tags in a file beside them, in a folder or in archives (WebDataset).

Captions of people and of kohya's trainer, Hydrus' sidecars, the JSON of boorus and of gallery-dl.
"""

import array
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from Utils.command.cli import UserError, progress
from Utils.data.danbooru_fields import (
    NAMESPACES,
    FieldError,
    parse_category,
    parse_post_id,
    parse_rating,
    split_namespace,
)
from Utils.data.sources import danbooru_post, stream
from Utils.data.sources.danbooru_post import Post, TagGroup
from Utils.data.sources.disk_sorter import DiskSorter
from Utils.data.sources.stream import PostBlock, Source
from Utils.files import damage, strict_json, text_files
from Utils.files.atomic import AnyPath
from Utils.images import codec, image_folder, places
from Utils.images.places import Place
from Utils.tags import captions
from Utils.tags.captions import Splitting

SUFFIXES = (".txt", ".tags", ".caption", ".json")  # in the order of preference

# What is done about texts without commas.
OF_TEXTS = ("--separator comma takes each as one tag", "--separator blank makes every word a tag")
_MAX_BYTES = 2**24  # of a sidecar
_UNREAD = -2  # instead of an id: what the JSON beside a picture says is not known yet
_MAX_LISTED = 3  # reasons in an error


def read_sidecars(
    path: AnyPath,
    images: Place | AnyPath | None = None,
    suffixes: Sequence[str] = SUFFIXES,
    kind: str = "sidecars",
    separator: str | None = None,
) -> Source:
    """Read pictures with files of their names beside them: ``x.txt`` or ``x.jpg.txt`` for x.jpg.

    `captions.parse` says how tags are told. The namespaces ``character:`` and its like give the category,
    ``rating:`` the rating; posts without a rating are kept. A ``.json`` has the fields of `danbooru_post`. Of
    several sidecars the first with a tag counts, in the order of ``suffixes``. Tag ids are made from names,
    counts are numbers of posts.

    Args:
        path: the place of the sidecars: a folder, a tar or zip file, a folder of these.
        images: the place of the pictures, if that is another one with the same structure.
        suffixes: of sidecars, in lower case, with their dot.
        kind: of the source, as it is said.
        separator: of the tags in texts, as in `captions.Splitting`. By default each text tells it, and where
            most are split at blanks, all are read once more, to split those that could be one tag, too.

    Raises UserError where no picture has a sidecar, or none can be read.
    """
    reader = _Reader(path, images, tuple(suffixes), Splitting(separator))
    source = reader.read(kind)
    if reader.has_unsplit:
        reader = _Reader(path, images, tuple(suffixes), Splitting(separator, splits_unclear=True))
        source = reader.read(kind)
    return dataclasses.replace(
        source,
        blocks=lambda: reader.blocks(source),
        rejected=tuple(reader.rejected),
        passed_by=reader.census.passed_by(),
    )


_JSON_FIRST = (".json", *(suffix for suffix in SUFFIXES if suffix != ".json"))


def read_webdataset(
    path: AnyPath,
    images: Place | AnyPath | None = None,
    suffixes: Sequence[str] = _JSON_FIRST,
    separator: str | None = None,
) -> Source:
    """Read tar or zip files whose members share a stem: a picture and a ``.json`` or a text.

    As `read_sidecars`, with JSON before texts: in such collections the JSON has the booru's own fields.
    """
    return read_sidecars(path, images, suffixes, "webdataset", separator)


class _Pictures:
    """What decides the ids of all pictures of a place, in 24 bytes each, and their paths.

    Args:
        places: where the JSON beside a picture may lie, the place of the pictures first.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places
        self._numbers, self._stated, self._hashes = array.array("q"), array.array("q"), array.array("q")
        self._rows = array.array("q")  # of the pictures with a post
        self._paths: list[pa.Array] = []
        self._waiting: list[str] = []

    @property
    def count(self) -> int:
        """Return how many were added."""
        return len(self._numbers)

    def add(self, path: str, stated_id: int = _UNREAD, has_post: bool = False) -> None:
        """Add a picture; ``stated_id`` is the id in the JSON beside it, if that has been read already."""
        if has_post:
            self._rows.append(self.count)
        self._numbers.append(image_folder.stem_number(path))
        self._stated.append(stated_id)
        self._hashes.append(image_folder.path_id(path))
        self._waiting.append(path if image_folder.is_unicode(path) else image_folder.printable(path))
        if len(self._waiting) >= stream.BLOCK_SIZE:
            self._flush()

    def _flush(self) -> None:
        self._paths.append(pa.array(self._waiting, pa.large_string()))
        self._waiting = []

    def finish(self) -> None:
        """Decide the ids; afterwards ``ids`` are of all pictures, ``of_posts`` of those with a post."""
        self._flush()
        self._joined, self._paths = pa.concat_arrays(self._paths), []
        numbers, stated, hashes = map(_as_numpy, (self._numbers, self._stated, self._hashes))
        stated = np.where(stated == _UNREAD, -1, stated)
        unread = np.flatnonzero((_as_numpy(self._stated) == _UNREAD) & ~image_folder.is_only(numbers))
        for place in self._places:
            rows = unread[stated[unread] < 0]
            stated[rows] = image_folder.stated_ids(place, self._joined.take(pa.array(rows)).to_pylist())
        self.ids = image_folder.assigned_ids(numbers, stated, hashes)
        rows = _as_numpy(self._rows)
        self.of_posts = self.ids[rows]
        self._order = rows[np.argsort(self.of_posts, kind="stable")]

    def paths(self, start: int, end: int) -> list[str]:
        """Return the paths of the posts from one place to another in the order of ids."""
        return self._joined.take(pa.array(self._order[start:end])).to_pylist()


def _as_numpy(column: "array.array[int]") -> np.ndarray:
    return np.frombuffer(column, np.int64) if len(column) else np.empty(0, np.int64)


class _Reader:
    """Pairs the pictures of a place with their sidecars and reads these, in the order in which they lie.

    Args:
        path, images, suffixes: as in `read_sidecars`.
        splitting: of the texts.
    """

    def __init__(
        self, path: AnyPath, images: Place | AnyPath | None, suffixes: tuple[str, ...], splitting: Splitting
    ) -> None:
        self._path, self._suffixes, self._splitting = path, suffixes, splitting
        self.has_unsplit = False  # after reading: whether texts were not split that are as most others are
        self._place = places.as_place(path if images is None else images)
        is_one = self._place.path == str(path)  # then its archives are indexed once
        self._texts = self._place if is_one else places.open_place(path)
        self.census, self.rejected = image_folder.Census(), []
        self._pictures = _Pictures([self._place] if is_one else [self._place, self._texts])
        self._unread: list[str] = []  # sidecars of pictures that have a better one, and of no other picture
        self._passed_over: list[str] = []  # the same in the folder that is read, those of other pictures too
        self._taken: set[str] = set()  # sidecars of this folder that were read
        self._unpaired: dict[str, str] = {}  # sidecars of no picture, as `_by_lower_suffix` has them

    def read(self, kind: str) -> Source:
        """Return the source, still without the paths of its pictures."""
        sorter, pictures = DiskSorter(keeps_keys=False, separator_steps=OF_TEXTS), self._pictures
        failures: list[tuple[int, str, str]] = []  # row of the picture, its path, the reason
        last_folder = ""
        for picture, candidates in progress(self._pairs(), label="sidecars", unit="pictures"):
            if (folder := picture.rpartition("/")[0]) != last_folder:
                last_folder = folder
                self._end_folder()
            try:
                post, record, sidecar = self._post_of(picture, candidates)
            except FieldError as error:
                self._passed_over += candidates[1:]
                failures.append((pictures.count, picture, str(error)))
                pictures.add(picture, self._stated_id(candidates))
                continue
            self._taken.add(sidecar)
            self._passed_over += [name for name in candidates if name != sidecar]
            if record is not None:
                sorter.note_layout(record)
            sorter.add(post)
            pictures.add(picture, self._stated_id(candidates, sidecar, post), has_post=True)
        self._end_folder()
        pictures.finish()
        self._require_posts(failures)
        self.has_unsplit = sorter.separators.are_blanks and bool(sorter.separators.counts[captions.UNCLEAR])
        sorter.set_ids(pictures.of_posts)
        printable = image_folder.printable
        self.rejected += [(int(pictures.ids[row]), printable(path), why) for row, path, why in failures]
        self.rejected += [
            (image_folder.post_id(name.rpartition(".")[0]), printable(name), "file missing")
            for name in sorted(self._unpaired.values())
            if not _is_json(name)
        ]
        sorter.note_files(self._unread, "whose tags are not taken, beside others of the same picture")
        return sorter.finish(kind, self._path)

    def _end_folder(self) -> None:
        """Note the sidecars that no picture took: ``1.txt`` may be that of ``1.jpg``, not of ``1.png``."""
        self._unread += [name for name in dict.fromkeys(self._passed_over) if name not in self._taken]
        self._passed_over.clear()
        self._taken.clear()

    def _pairs(self) -> Iterator[tuple[str, list[str]]]:
        """Yield every picture with its sidecars, the preferred first.

        Folder by folder where both lie in one place, so that the names of one folder are in memory; pictures
        without a sidecar there come last, in case an archive has it elsewhere.
        """
        if self._texts is not self._place:
            for folder, names in image_folder.walk(self._texts):
                self._unpaired |= self._by_lower_suffix(folder, names)
        without = []
        for folder, names, pictures in image_folder.walk_pictures(self._place, self.census):
            here = self._by_lower_suffix(folder, names) if self._texts is self._place else self._unpaired
            used: list[str] = []
            for name in pictures:
                picture = image_folder.join(folder, name)
                keys = self._candidates(picture, here)
                used += keys
                if keys:
                    yield picture, [here[key] for key in keys]
                else:
                    without.append(picture)
            for key in used:
                here.pop(key, None)
            if here is not self._unpaired:
                self._unpaired |= here
        used = []
        for picture in without:
            keys = self._candidates(picture, self._unpaired)
            used += keys
            yield picture, [self._unpaired[key] for key in keys]
        for key in used:
            self._unpaired.pop(key, None)

    def _by_lower_suffix(self, folder: str, names: Sequence[str]) -> dict[str, str]:
        """Return ``{path with its suffix in lower case, composed: path}`` of the sidecars among files."""
        sidecars = (
            image_folder.join(folder, name)
            for name in names
            if name.lower().endswith(self._suffixes) and image_folder.is_unicode(name)
        )
        return {_with_lower_suffix(name): name for name in sidecars}

    def _candidates(self, picture: str, sidecars: Mapping[str, str]) -> list[str]:
        """Return the keys of a picture's sidecars, the preferred first, its whole name before the stem."""
        picture = image_folder.composed(picture)
        stems = dict.fromkeys((picture, image_folder.without_suffix(picture)))
        names = (f"{stem}{suffix}" for suffix in self._suffixes for stem in stems)
        return [name for name in names if name in sidecars]

    def _post_of(self, picture: str, candidates: Sequence[str]) -> tuple[Post, dict[str, Any] | None, str]:
        """Return the post of the first sidecar with a tag, else of the first, and its record and name."""
        if not image_folder.is_unicode(picture):
            raise FieldError("file name is no UTF-8")
        if not candidates:
            raise FieldError("no sidecar")
        posts = []
        for name in candidates:
            post, record = _read_post(self._texts, name, self._splitting)
            posts.append((post, record, name))
            if any(names for names, _, _ in post.tags):
                return posts[-1]
        return posts[0]

    def _stated_id(self, candidates: Sequence[str], sidecar: str = "", post: Post | None = None) -> int:
        """Return the id in the JSON beside a picture, given the sidecar that was read; maybe _UNREAD."""
        if self._texts is not self._place or ".json" not in self._suffixes:
            return _UNREAD
        first = next(filter(_is_json, candidates), None)
        if first is None:
            return -1
        return post.post_id if post and first == sidecar else _UNREAD

    def _require_posts(self, failures: Sequence[tuple[int, str, str]]) -> None:
        if len(self._pictures.of_posts):
            return
        unreadable = [f"{path}: {why}" for _, path, why in failures if why != "no sidecar"]
        if unreadable:
            fields = ", ".join(danbooru_post.USUAL_TAG_FIELDS)
            where = f". Tags in JSON are looked for as {fields}"
            raise UserError(
                f"none of {self._pictures.count} pictures in {self._place.path} has a sidecar that can be "
                f"read: {'; '.join(map(image_folder.printable, unreadable[:_MAX_LISTED]))}"
                f"{where if unreadable[0].endswith(danbooru_post.NO_TAGS) else ''}"
            )
        endings = " ".join(self._suffixes)
        passed_by = self.census.passed_by().replace("\n", "; ")
        raise UserError(
            f"no picture with a text of its name (x.jpg and x.txt, or x.jpg.txt; {endings}): of "
            f"{len(self._unpaired)} such files in {self._path} none belongs to a picture; "
            f"{self.census.describe(self._place.path)}{'; ' * bool(passed_by)}{passed_by}"
        )

    def blocks(self, source: Source) -> Iterator[PostBlock]:
        """Yield the blocks of the source with the paths of their posts; every post has an id of its own."""
        start = 0
        for block in source.blocks():
            end = start + len(block.ids)
            yield dataclasses.replace(block, paths=self._pictures.paths(start, end))
            start = end


def _is_json(name: str) -> bool:
    return name.lower().endswith(".json")


def _with_lower_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return image_folder.composed(f"{stem}{dot}{suffix.lower()}")


def _read_post(place: Place, name: str, splitting: Splitting) -> tuple[Post, dict[str, Any] | None]:
    """Return the Post of a sidecar and its record if it is JSON; FieldError where it cannot be read."""
    try:
        data = place.open(name)
        if len(data) > _MAX_BYTES:
            raise FieldError(f"larger than {_MAX_BYTES} bytes")
        text = _decoded(data)
        record: Any = image_folder.json_record(strict_json.loads_unique(text)) if _is_json(name) else None
    except FieldError as error:
        raise FieldError(f"sidecar unreadable: {error}") from error
    except (ValueError, RecursionError, OSError, codec.ImageError) as error:
        raise FieldError(f"sidecar unreadable: {damage.reason(error)}") from error
    if record is None:
        return _post_of_caption(captions.parse(text, NAMESPACES, splitting)), None
    if isinstance(record, list) and all(isinstance(tag, str) for tag in record):  # as Hydrus writes them
        return _post_of_caption(captions.Caption(record, [])), None
    fields: Any = record
    try:
        return danbooru_post.parse_post(fields, _id_in(fields)), fields
    except FieldError as error:
        raise FieldError(f"sidecar unreadable: {error}") from error


def _id_in(record: Any) -> int:
    """Return the id of a record, -1 without one: a picture's name may give the id as well."""
    try:
        return parse_post_id(record.get("id"))
    except (FieldError, AttributeError):
        return -1


def _decoded(data: bytes) -> str:
    """Return a text in UTF-8, or in UTF-16 with its mark; FieldError for anything else."""
    try:
        return text_files.decoded(data)
    except ValueError as error:
        raise FieldError(str(error)) from error


def _post_of_caption(caption: captions.Caption) -> Post:
    rating, names = rating_and_tags(caption)
    by_category: dict[int, list[str]] = {}
    for name, category in names.items():
        by_category.setdefault(category, []).append(name)
    groups: list[TagGroup] = [(tags, category, None) for category, tags in by_category.items()]
    tags = () if rating else captions.tag_names(caption.tags)
    unread = next((tag for tag in tags if split_namespace(tag)[0] == "rating"), "")
    return Post(-1, rating, 0, groups, caption=caption, unread_rating=unread)


def rating_and_tags(caption: captions.Caption) -> tuple[str, dict[str, int]]:
    """Return ``(rating letter or "", {tag name: category code})`` of a sidecar's caption."""
    rating, names = "", {}
    for tag in captions.tag_names(caption.tags):
        category, name = split_namespace(tag)
        if category == "rating":
            rating = parse_rating(name) or rating
        elif name:
            names[name] = names.get(name) or parse_category(category)
    return rating, names
