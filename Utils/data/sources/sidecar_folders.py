"""Pictures with their tags in a file beside them, in a folder or in archives (WebDataset).

Captions of people and of kohya's trainer, Hydrus' sidecars, the JSON of boorus and of gallery-dl.
"""

import codecs
import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from Utils.command.cli import UserError, progress
from Utils.data.danbooru_fields import (
    CATEGORY_SPELLINGS,
    OTHER_CATEGORIES,
    FieldError,
    parse_category,
    parse_post_id,
    parse_rating,
)
from Utils.data.sources import danbooru_post
from Utils.data.sources.danbooru_post import Post, TagGroup
from Utils.data.sources.disk_sorter import DiskSorter
from Utils.data.sources.stream import PostBlock, Source
from Utils.files import damage
from Utils.files.atomic import AnyPath
from Utils.images import codec, image_folder, places
from Utils.images.places import Place
from Utils.tags import captions
from Utils.tags.tag_list import CATEGORIES

# The prefix of a tag ("character:saber") and the category that it names.
NAMESPACES = {**{name: name for name in (*CATEGORIES, *OTHER_CATEGORIES)}, **CATEGORY_SPELLINGS}
SUFFIXES = (".txt", ".tags", ".caption", ".json")  # in the order of preference

_MAX_BYTES = 2**24  # of a sidecar
_MAX_LISTED = 3  # reasons in an error
Rejection = tuple[int, str, str]  # post id, path, reason


def read_sidecars(
    path: AnyPath,
    images: Place | AnyPath | None = None,
    suffixes: Sequence[str] = SUFFIXES,
    kind: str = "sidecars",
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

    Raises UserError where no picture has a sidecar, or none can be read.
    """
    reader = _Reader(path, images, tuple(suffixes))
    source = reader.read(kind)
    return dataclasses.replace(
        source,
        blocks=lambda: reader.blocks(source),
        rejected=tuple(reader.rejected),
        passed_by=reader.census.passed_by(),
    )


_JSON_FIRST = (".json", *(suffix for suffix in SUFFIXES if suffix != ".json"))


def read_webdataset(
    path: AnyPath, images: Place | AnyPath | None = None, suffixes: Sequence[str] = _JSON_FIRST
) -> Source:
    """Read tar or zip files whose members share a stem: a picture and a ``.json`` or a text.

    As `read_sidecars`, with JSON before texts: in such collections the JSON has the booru's own fields.
    """
    return read_sidecars(path, images, suffixes, "webdataset")


class _Reader:
    """Pairs the pictures of a place with their sidecars and reads these, in the order in which they lie."""

    def __init__(self, path: AnyPath, images: Place | AnyPath | None, suffixes: tuple[str, ...]) -> None:
        self._path, self._suffixes = path, suffixes
        self._pictures = places.as_place(path if images is None else images)
        is_one = self._pictures.path == str(path)  # then its archives are indexed once
        self._texts = self._pictures if is_one else places.open_place(path)
        self.census, self.rejected = image_folder.Census(), []
        self._paths: np.ndarray = np.empty(0, object)  # of the posts, by id

    def read(self, kind: str) -> Source:
        """Return the source, still without the paths of its pictures."""
        sorter = DiskSorter()
        pictures = [
            image_folder.join(folder, name)
            for folder, _, names in image_folder.walk_pictures(self._pictures, self.census)
            for name in names
        ]
        sidecars = self._sidecars()
        unpaired, unread, ids_in_json = set(sidecars.values()), [], {}
        paths, reasons = [], {}
        for picture in progress(pictures, total=len(pictures), label="sidecars", unit="pictures"):
            candidates = self._candidates(picture, sidecars)
            unpaired.difference_update(candidates)
            unread += candidates[1:]
            try:
                if not image_folder.is_unicode(picture):
                    raise FieldError("file name is no UTF-8")
                if not candidates:
                    raise FieldError("no sidecar")
                post, record = self._read_first(candidates)
            except FieldError as error:
                reasons[picture] = str(error)
                continue
            if record is not None:
                sorter.note_layout(record)
                ids_in_json[picture] = post.post_id
            sorter.add(post)
            paths.append(picture)
        self._require_posts(paths, pictures, sidecars, reasons)
        self._finish(sorter, pictures, paths, reasons, ids_in_json)
        self.rejected += [
            (image_folder.post_id(name.rpartition(".")[0]), image_folder.printable(name), "file missing")
            for name in sorted(unpaired)
            if not name.lower().endswith(".json")
        ]
        sorter.note_files(unread, "lie beside others of the same picture and are not read")
        return sorter.finish(kind, self._path)

    def _sidecars(self) -> dict[str, str]:
        """Return ``{path with its suffix in lower case: path}`` of the sidecars."""
        names = (
            image_folder.join(folder, name)
            for folder, files in image_folder.walk(self._texts)
            for name in files
            if name.lower().endswith(self._suffixes) and image_folder.is_unicode(name)
        )
        return {_with_lower_suffix(name): name for name in names}

    def _candidates(self, picture: str, sidecars: Mapping[str, str]) -> list[str]:
        """Return the sidecars of a picture, the preferred first, the most specific name before the stem's."""
        stem = picture.rpartition(".")[0]
        names = (f"{name}{suffix}" for suffix in self._suffixes for name in (picture, stem) if name)
        return [sidecars[name] for name in names if name in sidecars]

    def _read_first(self, candidates: Sequence[str]) -> tuple[Post, dict[str, Any] | None]:
        """Return the post of the first sidecar with a tag, else of the first; and its record, of JSON."""
        first: tuple[Post, dict[str, Any] | None] | None = None
        for name in candidates:
            post, record = _read_post(self._texts, name)
            if any(names for names, _, _ in post.tags):
                return post, record
            first = first or (post, record)
        assert first is not None  # there is a candidate
        return first

    def _require_posts(
        self,
        paths: Sequence[str],
        pictures: Sequence[str],
        sidecars: Mapping[str, str],
        reasons: Mapping[str, str],
    ) -> None:
        if paths:
            return
        unreadable = [f"{path}: {text}" for path, text in reasons.items() if text != "no sidecar"]
        if unreadable:
            raise UserError(
                f"none of {len(pictures)} pictures in {self._path} has a sidecar that can be read: "
                f"{'; '.join(map(image_folder.printable, unreadable[:_MAX_LISTED]))}"
            )
        endings = " ".join(self._suffixes)
        raise UserError(
            f"no picture with a text of its name (x.jpg and x.txt, or x.jpg.txt; {endings}): of "
            f"{len(sidecars)} such files in {self._path} none belongs to a picture; "
            f"{self.census.describe(self._pictures.path)}"
        )

    def _finish(
        self,
        sorter: DiskSorter,
        pictures: Sequence[str],
        paths: Sequence[str],
        reasons: Mapping[str, str],
        ids_in_json: Mapping[str, int],
    ) -> None:
        """Give the posts their ids, which depend on the names of all pictures of the place."""
        ids = dict(zip(pictures, image_folder.post_ids(pictures, named=ids_in_json), strict=True))
        self.rejected += [
            (ids[path], image_folder.printable(path), reason) for path, reason in reasons.items()
        ]
        of_posts = np.array([ids[path] for path in paths], np.int64)
        sorter.set_ids(of_posts)
        by_path: np.ndarray = np.array(paths, object)
        self._paths = by_path[np.argsort(of_posts, kind="stable")]

    def blocks(self, source: Source) -> Iterator[PostBlock]:
        """Yield the blocks of the source with the paths of their posts; every post has an id of its own."""
        start = 0
        for block in source.blocks():
            end = start + len(block.ids)
            yield dataclasses.replace(block, paths=self._paths[start:end].tolist(), keys=None)
            start = end


def _with_lower_suffix(name: str) -> str:
    stem, dot, suffix = name.rpartition(".")
    return f"{stem}{dot}{suffix.lower()}"


def _read_post(place: Place, name: str) -> tuple[Post, dict[str, Any] | None]:
    """Return the Post of a sidecar and its record if it is JSON; FieldError where it cannot be read."""
    try:
        data = place.open(name)
        if len(data) > _MAX_BYTES:
            raise FieldError(f"larger than {_MAX_BYTES} bytes")
        text = _decoded(data)
        record: Any = json.loads(text) if name.lower().endswith(".json") else None
    except FieldError as error:
        raise FieldError(f"sidecar unreadable: {error}") from error
    except (ValueError, RecursionError, OSError, codec.ImageError) as error:
        raise FieldError(f"sidecar unreadable: {damage.reason(error)}") from error
    if record is None:
        return _post_of_caption(text), None
    is_list = isinstance(record, list) and all(isinstance(tag, str) for tag in record)
    fields: Any = {"tags": record} if is_list else record
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
    is_utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        return data.decode("utf-16" if is_utf16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise FieldError("no text in UTF-8, or in UTF-16 with its mark") from error


def _post_of_caption(text: str) -> Post:
    rating, names, sentences = parse_caption(text)
    by_category: dict[int, list[str]] = {}
    for name, category in names.items():
        by_category.setdefault(category, []).append(name)
    groups: list[TagGroup] = [(tags, category, None) for category, tags in by_category.items()]
    return Post(-1, rating, 0, groups, sentences=tuple(sentences))


def parse_caption(text: str) -> tuple[str, dict[str, int], list[str]]:
    """Return ``(rating letter or "", {tag name: category code}, sentences)`` of a sidecar's text."""
    caption = captions.parse(text, NAMESPACES)
    rating, names = "", {}
    for tag in map(captions.tag_name, caption.tags):
        namespace, colon, rest = tag.partition(":")
        category = NAMESPACES.get(namespace.lower()) if colon and rest.strip("_") else None
        name = rest.strip("_") if category else tag
        if category == "rating":
            rating = parse_rating(name) or rating
        elif name:
            names[name] = names.get(name) or parse_category(category)
    return rating, names, caption.sentences
