"""Images with their tags in a file beside them: kohya captions, Hydrus sidecars, gallery-dl's JSON."""

import dataclasses
import json
import pathlib

from Utils.command.cli import UserError
from Utils.data.sources import danbooru_post
from Utils.data.sources.danbooru_post import FieldError, Post, rating_of
from Utils.data.sources.disk_sorter import Spool
from Utils.images import image_folder
from Utils.tags.tag_list import CATEGORIES

NAMESPACES = {
    "general": "general", "artist": "artist", "creator": "artist", "copyright": "copyright",
    "series": "copyright", "character": "character", "meta": "meta", "rating": "rating",
}  # fmt: skip
KINDS = (".txt", ".json")  # in the order of preference
_LARGEST = 2**24  # bytes of a sidecar


def sidecars(path, images=None):
    """Read images with text files beside them: ``x.txt`` (kohya) or ``x.jpg.txt`` (Hydrus) for x.jpg.

    A file of one line has its tags between commas, one of several lines has a tag a line, which may hold
    commas. Spaces within become underscores, ``\\(`` becomes ``(``. The namespaces ``character:`` and
    ``series:`` (also ``copyright: artist: creator: meta: general:``) give the category, ``rating:`` the
    rating; posts without one are kept. Where there is no text, ``x.json`` or ``x.jpg.json`` with Danbooru's
    fields is taken (gallery-dl). Tag ids are made from names, counts are numbers of posts.

    Args:
        path: the folder of text files.
        images: the folder of images, where it is another one of the same structure.
    """
    root = pathlib.Path(path)
    pairs, rejected = _pairs(root, pathlib.Path(images or path))
    spool, paths = Spool(), []
    for number, image, beside in pairs:
        try:
            spool.add(_post(root / beside, number))
            paths.append(image)
        except FieldError as error:
            rejected.append((number, image, f"sidecar unreadable: {error}"))
    source = spool.finish("sidecars", path, keep_unrated=True)
    return _with_paths(source, paths, rejected)


def _with_paths(source, paths, rejected):
    """Return the source with the paths of its posts; they came by id, so every block has the next ones."""

    def blocks():
        at = 0
        for block in source.blocks():
            end = at + len(block.ids)
            yield dataclasses.replace(block, paths=paths[at:end], keys=None)
            at = end

    return dataclasses.replace(source, blocks=blocks, rejected=tuple(rejected))


def _pairs(root, images):
    """Return ``[(post id, image path, sidecar path)]`` by id, and what has no partner or no id of its own."""
    texts = {
        image_folder.join(top, name)
        for top, names in image_folder.walk(root)
        for name in names
        if name.endswith(KINDS) and image_folder.is_unicode(name)
    }
    found, rejected, used, census = {}, [], set(), image_folder.Census()
    for top, names in image_folder.walk(images):
        census.note(top, names)
        for name in filter(image_folder.is_image, names):
            path = image_folder.join(top, name)
            number = image_folder.post_id(path)
            text = next((text for text in _names_beside(path) if text in texts), None)
            used.add(text)
            if not image_folder.is_unicode(path):
                rejected.append((number, image_folder.printable(path), "file name is no UTF-8"))
            elif text is None:
                rejected.append((number, path, "no sidecar"))
            elif number in found:
                rejected.append((number, path, f"post id taken by {found[number][0]}"))
            else:
                found[number] = (path, text)
    if not found:
        raise UserError(
            f"no image with a text file of its name (x.jpg and x.txt, or x.jpg.txt): of {len(texts)} text "
            f"files in {root} none belongs to an image; {census.describe(images)}"
        )
    lonely = sorted(text for text in texts - used if text.endswith(".txt"))
    rejected += [(image_folder.post_id(text[:-4]), text, "file missing") for text in lonely]
    return [(number, *found[number]) for number in sorted(found)], rejected


def _names_beside(path):
    """Return the paths at which a sidecar of an image may lie, the most specific first."""
    stem = path.rpartition(".")[0]
    return [f"{name}{kind}" for kind in KINDS for name in (path, stem)]


def _post(path, number):
    """Return the Post that a sidecar describes; FieldError where it cannot be read."""
    try:
        if not path.is_file():  # a pipe would wait for its writer
            raise FieldError("not a file")
        if path.stat().st_size > _LARGEST:
            raise FieldError(f"larger than {_LARGEST} bytes")
        content = path.read_text(encoding="utf-8-sig")
        record = json.loads(content) if path.suffix == ".json" else None
    except (ValueError, RecursionError, OSError) as error:
        raise error if isinstance(error, FieldError) else FieldError(type(error).__name__) from error
    if record is not None:
        return danbooru_post.post_of(record, number)
    rating, names = parse_sidecar(content)
    by_category = {}
    for name, category in names.items():
        by_category.setdefault(category, []).append(name)
    return Post(number, rating, 0, [(tags, category, None) for category, tags in by_category.items()])


def parse_sidecar(text):
    """Return ``(rating letter or "", {tag name: category code})`` of a sidecar's text."""
    rating, names = "", {}
    for part in _parts(text):
        tag = "_".join(part.split()).replace("\\(", "(").replace("\\)", ")")
        space, colon, rest = tag.partition(":")
        category = NAMESPACES.get(space.lower()) if colon and rest.strip("_") else None
        name = rest.strip("_") if category else tag
        if category == "rating":
            rating = rating_of(name) or rating
        elif name:
            names[name] = names.get(name) or CATEGORIES[category or "general"]
    return rating, names


def _parts(text):
    """Return the tags as they are written: lines where there are several, else what commas separate."""
    lines = [line.strip().removesuffix(",") for line in text.replace("\0", "").splitlines() if line.strip()]
    return lines if len(lines) > 1 else "".join(lines).split(",")
