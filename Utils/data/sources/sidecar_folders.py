"""Images with their tags in a file beside them: kohya captions, Hydrus sidecars, gallery-dl's JSON."""

import dataclasses
import json
import pathlib
from collections.abc import Iterator

from Utils.command.cli import UserError
from Utils.data.danbooru_fields import OTHER_CATEGORIES, FieldError, parse_category, parse_rating
from Utils.data.sources import danbooru_post
from Utils.data.sources.danbooru_post import Post
from Utils.data.sources.disk_sorter import DiskSorter
from Utils.data.sources.stream import PostBlock, Source
from Utils.files.atomic import AnyPath
from Utils.images import image_folder

# The prefix of a tag ("character:saber") and the category that it names.
NAMESPACES = {
    "general": "general", "artist": "artist", "creator": "artist", "copyright": "copyright",
    "series": "copyright", "character": "character", "meta": "meta", "rating": "rating",
    **{name: name for name in OTHER_CATEGORIES},
}  # fmt: skip
SUFFIXES = (".txt", ".json")  # in the order of preference

_MAX_BYTES = 2**24  # of a sidecar
Rejection = tuple[int, str, str]  # post id, path, reason


def read_sidecars(path: AnyPath, images: AnyPath | None = None) -> Source:
    """Read images with text files beside them: ``x.txt`` (kohya) or ``x.jpg.txt`` (Hydrus) for x.jpg.

    In a file of one line commas separate the tags; a file of several lines has a tag a line, which may hold
    commas. Spaces inside a tag become underscores, ``\\(`` becomes ``(``. The namespaces ``character:`` and
    ``series:`` (also ``copyright: artist: creator: meta: general:``) give the category, ``rating:`` gives the
    rating; posts without a rating are kept. Without a text, ``x.json`` or ``x.jpg.json`` with Danbooru's
    fields is used (gallery-dl). Tag ids are made from names, counts are numbers of posts.

    Args:
        path: the folder of text files.
        images: the folder of images, if that is another one with the same structure.

    Raises UserError where no image has a sidecar.
    """
    root = pathlib.Path(path)
    pairs, rejected, passed_by = _pair(root, pathlib.Path(images or path))
    sorter, paths = DiskSorter(), []
    for post_id, image, sidecar in pairs:
        try:
            sorter.add(_read_post(root / sidecar, post_id))
            paths.append(image)
        except FieldError as error:
            rejected.append((post_id, image, f"sidecar unreadable: {error}"))
    source = _with_paths(sorter.finish("sidecars", path), paths, rejected)
    return dataclasses.replace(source, passed_by=passed_by)


def _with_paths(source: Source, paths: list[str], rejected: list[Rejection]) -> Source:
    """Return the source with the paths of its posts; they came by id, so every block has the next ones."""

    def blocks() -> Iterator[PostBlock]:
        start = 0
        for block in source.blocks():
            end = start + len(block.ids)
            yield dataclasses.replace(block, paths=paths[start:end], keys=None)
            start = end

    return dataclasses.replace(source, blocks=blocks, rejected=tuple(rejected))


def _pair(
    root: pathlib.Path, images: pathlib.Path
) -> tuple[list[tuple[int, str, str]], list[Rejection], str]:
    """Return ``[(post id, image path, sidecar path)]`` by id, rejected files, and skipped ones.

    Rejected are files without a partner.
    """
    sidecars = {
        image_folder.join(folder, name)
        for folder, names in image_folder.walk(root)
        for name in names
        if name.endswith(SUFFIXES) and image_folder.is_unicode(name)
    }
    pairs: dict[int, tuple[str, str]] = {}
    rejected, used, census = [], set(), image_folder.Census()
    paths: list[str] = []
    for folder, _, pictures in image_folder.walk_pictures(images, census):
        paths += [image_folder.join(folder, name) for name in pictures]
    for path, post_id in zip(paths, image_folder.post_ids(paths), strict=True):
        sidecar = next((candidate for candidate in _sidecar_paths(path) if candidate in sidecars), None)
        used.add(sidecar)
        if not image_folder.is_unicode(path):
            rejected.append((post_id, image_folder.printable(path), "file name is no UTF-8"))
        elif sidecar is None:
            rejected.append((post_id, path, "no sidecar"))
        else:
            pairs[post_id] = (path, sidecar)
    if not pairs:
        raise UserError(
            f"no image with a text file of its name (x.jpg and x.txt, or x.jpg.txt): of {len(sidecars)} text "
            f"files in {root} none belongs to an image; {census.describe(images)}"
        )
    without_image = sorted(sidecar for sidecar in sidecars - used if sidecar.endswith(".txt"))
    rejected += [(image_folder.post_id(sidecar[:-4]), sidecar, "file missing") for sidecar in without_image]
    return [(post_id, *pairs[post_id]) for post_id in sorted(pairs)], rejected, census.passed_by()


def _sidecar_paths(path: str) -> list[str]:
    """Return the paths at which a sidecar of an image may lie, the most specific first."""
    stem = path.rpartition(".")[0]
    return [f"{name}{suffix}" for suffix in SUFFIXES for name in (path, stem)]


def _read_post(path: pathlib.Path, post_id: int) -> Post:
    """Return the Post that a sidecar describes; FieldError where it cannot be read."""
    try:
        if not path.is_file():  # reading a pipe would wait for its writer
            raise FieldError("not a file")
        if path.stat().st_size > _MAX_BYTES:
            raise FieldError(f"larger than {_MAX_BYTES} bytes")
        content = path.read_text(encoding="utf-8-sig")
        record = json.loads(content) if path.suffix == ".json" else None
    except (ValueError, RecursionError, OSError) as error:
        raise error if isinstance(error, FieldError) else FieldError(type(error).__name__) from error
    if record is not None:
        return danbooru_post.parse_post(record, post_id)
    rating, names = parse_sidecar(content)
    by_category: dict[int, list[str]] = {}
    for name, category in names.items():
        by_category.setdefault(category, []).append(name)
    return Post(post_id, rating, 0, [(tags, category, None) for category, tags in by_category.items()])


def parse_sidecar(text: str) -> tuple[str, dict[str, int]]:
    """Return ``(rating letter or "", {tag name: category code})`` of a sidecar's text."""
    rating, names = "", {}
    for part in _split(text):
        tag = "_".join(part.split()).replace("\\(", "(").replace("\\)", ")")
        namespace, colon, rest = tag.partition(":")
        category = NAMESPACES.get(namespace.lower()) if colon and rest.strip("_") else None
        name = rest.strip("_") if category else tag
        if category == "rating":
            rating = parse_rating(name) or rating
        elif name:
            names[name] = names.get(name) or parse_category(category)
    return rating, names


def _split(text: str) -> list[str]:
    """Return the tags as they are written: one a line where there are several lines, else between commas."""
    lines = [line.strip().removesuffix(",") for line in text.replace("\0", "").splitlines() if line.strip()]
    return lines if len(lines) > 1 else "".join(lines).split(",")
