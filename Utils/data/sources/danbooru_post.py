"""Converts a record of a booru's fields, a dict from any file format, to a `Post`.

Records are told by the fields that they have: those of Danbooru since 2018, gwern's releases, gallery-dl,
Gelbooru and its like, e621, Hugging Face's data sets, kohya's trainer. LAYOUTS lists them, FIELD_MEANINGS
says what each field gives; ``docs/data.md`` is made from both.
"""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from Utils.command.cli import UserError
from Utils.data import danbooru_fields
from Utils.data.danbooru_fields import FLAGS_FIELD, STATUS_FIELDS, FieldError
from Utils.images import image_folder, picture_index
from Utils.tags import captions, tag_categories, written_lists

_LIST_STARTS = ("[", "{", " ", "\n")  # of texts that may be lists
_ABSOLUTE = re.compile(r"/|[A-Za-z]:/")

TagGroup = tuple[list[str], int, list[int | None] | None]  # names, their category code, their ids if known

ID_FIELDS = ("id", "post_id", "image_id")
# Of the picture: a text, or ``{path}`` as Hugging Face has it.
NAME_FIELDS = ("file_name", "image", "path", "image_path", "filename")
CATEGORY_PREFIXES = ("tag_string", "tags", "tag_list")  # before the name of a category
CATEGORY_FIELDS = {  # field -> code of the category
    f"{prefix}_{name}": danbooru_fields.parse_category(name)
    for prefix in CATEGORY_PREFIXES
    for name in (
        *tag_categories.CODES,
        *danbooru_fields.OTHER_CATEGORIES,
        *danbooru_fields.CATEGORY_SPELLINGS,
    )
    if name != "rating"
}
CAPTION_FIELDS = ("text", "caption", "prompt")  # captions: tags between commas, or sentences
_OTHER_CATEGORY = re.compile(
    rf"(?:{'|'.join(CATEGORY_PREFIXES)})_([a-z]+(?:_set)?)"
)  # tags_circle, photo_set
_NO_CATEGORIES = ("count", "rating", "hash", "ids")  # behind a prefix
USUAL_TAG_FIELDS = ("tag_string", "tag_string_general", "tags", *CAPTION_FIELDS)  # for messages
NO_TAGS = "no tags"  # why a record is no post
TAG_FIELDS = (*CATEGORY_FIELDS, "tag_string", "tags", *CAPTION_FIELDS)
STATUS_SOURCES = ("status", *STATUS_FIELDS.values(), FLAGS_FIELD)
FIELDS = (*ID_FIELDS, *NAME_FIELDS, "rating", "md5", "file", *TAG_FIELDS, *STATUS_SOURCES)

FIELD_MEANINGS = {
    "the post's id": ("the first of these that is there; without one the picture's name gives it", ID_FIELDS),
    "its file": (
        "a name or a path, relative to the records' file or to the place of pictures; a path from another "
        "machine counts if only one picture has its name, or its name and folder",
        NAME_FIELDS,
    ),
    "its MD5": ("a file may be named by it", ("md5", "file.md5")),
    "its rating": (
        f"{', '.join(danbooru_fields.RATINGS_READ)}, in capitals or not, with `rating:` before it or not; "
        "anything else is no rating",
        ("rating",),
    ),
    "its tags by category": (
        "a text with spaces between names, or a list; categories are those below, also as "
        f"{', '.join(danbooru_fields.CATEGORY_SPELLINGS)}; in JSON, beside one of these, any other of a site",
        tuple(f"{prefix}_CATEGORY" for prefix in CATEGORY_PREFIXES),
    ),
    "all its tags": (
        "a text (with commas, if it has any), a list of names, also as one text (`['a', 'b c']`), a list of "
        "`{name, category, id}`, or `{category: names}`; their categories are general unless "
        "`--tags` names others, or a prefix as of `character:rem`",
        ("tag_string", "tags"),
    ),
    "its caption": ("tags between commas; sentences are counted and left out", CAPTION_FIELDS),
    "its status": (
        "true, a word (`status`), or `flags: {deleted: true}`; "
        f"{', '.join(danbooru_fields.STATUSES)} are known",
        STATUS_SOURCES,
    ),
}

PREDICTION_FIELDS = {"rating", "ratings", "tags"}  # of what tag_images and serve write


@dataclasses.dataclass(frozen=True, slots=True)
class Post:
    """One post of a source whose tags are names."""

    post_id: int  # -1 where the name of its file decides
    rating: str  # g s q e, danbooru_fields.SAFE or ""
    status: int  # bits of STATUSES
    tags: list[TagGroup]
    # picture_index.stem_key of its file's MD5 and zeros, or picture_index.file_keys of its name
    keys: tuple[int, ...] = picture_index.NO_KEYS
    name: str = ""  # of its file, as the record has it
    caption: captions.Caption | None = None  # where its tags are from one
    unread_rating: str = ""  # what stands for a rating and is none
    uncategorized: tuple[str, ...] = ()  # names in a field of all tags that no field of a category has


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Which of a record's fields say what; one for every combination of fields."""

    name: str  # of the site or program that writes such records
    id_field: str | None
    name_field: str | None
    category_fields: tuple[str, ...]
    other_fields: tuple[tuple[str, str], ...]  # of categories that only this site has, and these


def _begins(prefix: str) -> Callable[[frozenset[str]], bool]:
    return lambda fields: any(field.startswith(prefix) for field in fields)


# A record has the first layout whose fields it has; docs/data.md names them, too.
LAYOUTS: dict[str, Callable[[frozenset[str]], bool]] = {
    "e621's interface": lambda fields: fields >= {"tags", "file", "flags"},
    "e621's export": lambda fields: fields >= {"tag_string", "locked_tags"},
    "gallery-dl": lambda fields: _begins("tags_")(fields) or fields >= {"tags", "filename", "extension"},
    "Danbooru": _begins("tag_string_"),
    "Danbooru, tags without categories": lambda fields: "tag_string" in fields,
    "gwern's releases of Danbooru": lambda fields: fields >= {"tags", "pools", "favs"},
    "Gelbooru": lambda fields: fields >= {"tags", "image", "directory"} or fields >= {"tags", "change"},
    "tag_images": lambda fields: fields >= PREDICTION_FIELDS,
    "Hugging Face": lambda fields: "file_name" in fields or fields >= {"image", "text"},
    "kohya": lambda fields: not fields.isdisjoint(CAPTION_FIELDS) and fields.isdisjoint({"id", "md5"}),
    "": lambda fields: True,
}


@functools.lru_cache(4096)
def layout_of(fields: tuple[str, ...]) -> Layout:
    """Return the `Layout` of records with these fields; its name is empty where no layout has all of them."""
    present = frozenset(fields)
    # Beside these filename is what the site, or who sent the file there, called it.
    names = present if present.isdisjoint({"extension", "md5"}) else present - {"filename"}
    category_fields = tuple(field for field in CATEGORY_FIELDS if field in present)
    others = [(field, match[1]) for field in fields if (match := _OTHER_CATEGORY.fullmatch(field))]
    others = [pair for pair in others if pair[0] not in CATEGORY_FIELDS and pair[1] not in _NO_CATEGORIES]
    return Layout(
        name=next(name for name, matches in LAYOUTS.items() if matches(present)),
        id_field=next((field for field in ID_FIELDS if field in present), None),
        name_field=next((field for field in NAME_FIELDS if field in names), None),
        category_fields=category_fields,
        other_fields=tuple(others) if category_fields else (),
    )


def is_post(record: Any) -> bool:
    """Whether a record has what every post needs: an id or a file's name, and tags."""
    return (
        isinstance(record, dict)
        and any(name in record for name in (*ID_FIELDS, *NAME_FIELDS))
        and has_tags(record)
    )


def is_prediction(record: Mapping[str, Any]) -> bool:
    """Whether a record is of tag_images or serve: its tags are ``{category: {name: probability}}``."""
    tags = record.get("tags")
    return (
        record.keys() >= PREDICTION_FIELDS
        and isinstance(tags, dict)
        and all(
            isinstance(names, dict) and all(type(value) in (int, float) for value in names.values())
            for names in tags.values()
        )
    )


def has_tags(record: Mapping[str, Any]) -> bool:
    """Whether a record has a field of tags or a caption."""
    return any(name in record for name in TAG_FIELDS)


def lacks(fields: Iterable[str]) -> str:
    """Return what records with these fields lack to be posts; empty where they are."""
    fields = dict.fromkeys(fields)
    lacking = [] if has_tags(fields) else [f"no field of tags ({', '.join(USUAL_TAG_FIELDS)})"]
    if fields.keys().isdisjoint((*ID_FIELDS, *NAME_FIELDS)):
        lacking.append(f"neither an id nor a file's name ({', '.join((*ID_FIELDS, *NAME_FIELDS))})")
    return " and ".join(lacking)


def select_fields(available: Iterable[str], table: str) -> list[str]:
    """Return those columns of a table that `parse_post` reads; UserError without id or name, or tags."""
    available = list(available)
    fields = [name for name in FIELDS if name in available]
    if not is_post(dict.fromkeys(fields)):
        raise UserError(
            f"{table} needs a column id (or {', '.join((*ID_FIELDS[1:], *NAME_FIELDS))}) and one of "
            f"tag_string, tag_string_general, tags, {', '.join(CAPTION_FIELDS)}; "
            f"it has {', '.join(available)}"
        )
    return fields


def parse_post(record: Any, post_id: int | None = None, name: str = "", folder: str = "") -> Post:
    """Return the `Post` of a record; FieldError with the reason if it is not a valid one.

    Args:
        record: a dict of the fields of FIELDS.
        post_id: used instead of the record's, where the name of its file says which post it is.
        name: of the post's file or its id, for a record that has neither: its key among other records.
        folder: of the records' file, relative to PATH: names of files are relative to it, unless they are
            only further names of posts with an id.
    """
    if not isinstance(record, dict):
        raise FieldError("no JSON object, or a name twice in one")
    layout = layout_of(tuple(record))
    name = (_file_name(record.get(layout.name_field)) if layout.name_field else "") or name
    name = name.replace("\\", "/")
    if folder and name and (layout.name_field == "file_name" or layout.id_field is None):
        name = name if _ABSOLUTE.match(name) else f"{folder}/{name}"
    number = _post_id(record, layout, name) if post_id is None else post_id
    try:
        tags, caption = parse_tags(record)
    except FieldError as error:
        raise FieldError(str(error), number) from error
    rating, unread = _rating_of(record)
    return Post(
        number,
        rating,
        danbooru_fields.parse_status(record),
        tags,
        _keys(record, name),
        name,
        caption,
        unread,
        _uncategorized(record, tags) if layout.category_fields else (),
    )


def _post_id(record: Mapping[str, Any], layout: Layout, name: str) -> int:
    value = record[layout.id_field] if layout.id_field else None
    if value is not None or not name:
        return danbooru_fields.parse_post_id(value)
    return -1


def _file_name(value: Any) -> str:
    """Return the name or path of a file, from a text or from ``{path}``; "" for anything else."""
    value = value.get("path") if isinstance(value, dict) else value
    return value.strip() if isinstance(value, str) else ""


def _keys(record: Mapping[str, Any], name: str) -> tuple[int, ...]:
    """Return the keys of the file's name, else of its MD5: ``md5``, or e621's ``file.md5``."""
    file = record.get("file")
    md5 = record.get("md5") or (file.get("md5") if isinstance(file, dict) else None)
    md5 = md5 if isinstance(md5, str) else ""
    if not image_folder.is_unicode(name or md5):
        raise FieldError(f"half a surrogate pair in {'its file name' if name else 'md5'}")
    if name:
        return picture_index.file_keys(name)
    return picture_index.stem_key(md5) if md5 else 0, *picture_index.NO_KEYS[1:]


def parse_tags(record: Mapping[str, Any]) -> tuple[list[TagGroup], captions.Caption | None]:
    """Return the tags of a record, from the most detailed fields that it has, and the caption, if from one.

    Raises FieldError where it has no field of tags, or one that cannot be read.
    """
    if is_prediction(record):  # of tags above their thresholds
        return _parse_all("tags", {category: list(names) for category, names in record["tags"].items()})
    by_category: list[TagGroup] = [
        (_parse_names(field, record[field]), CATEGORY_FIELDS[field], None)
        for field in layout_of(tuple(record)).category_fields
        if record[field] is not None
    ]
    by_category += [
        (_parse_names(field, record[field]), danbooru_fields.parse_category(category), None)
        for field, category in layout_of(tuple(record)).other_fields
        if _is_names(record[field])
    ]
    if by_category:
        return by_category, None
    present = [field for field in ("tag_string", "tags") if record.get(field) is not None]
    present += [field for field in CAPTION_FIELDS if isinstance(record.get(field), str)]
    if not present:
        lists = (field for field in CAPTION_FIELDS if isinstance(record.get(field), (list, tuple)))
        field = next(lists, None)
        raise FieldError(f"{field} is a list, where one text is needed" if field else NO_TAGS)
    field = next((field for field in present if record[field]), present[0])  # an empty one says nothing
    return _parse_caption(record[field]) if field in CAPTION_FIELDS else _parse_all(field, record[field])


def _uncategorized(record: Mapping[str, Any], tags: Iterable[TagGroup]) -> tuple[str, ...]:
    """Return the names that a record's field of all tags has beside those of its fields by category."""
    field = "tag_string" if record.get("tag_string") else "tags"
    value = record.get(field)
    if not value:
        return ()
    num_tags = sum([len(names) for names, _, _ in tags])
    most = value.count(" ") + 1 if isinstance(value, str) else len(value) if isinstance(value, list) else None
    if most is not None and most <= num_tags:  # as in most records, which need not be compared
        return ()
    try:
        groups, _ = _parse_all(field, value)
    except FieldError:
        return ()
    known = {danbooru_fields.plain_name(name) for names, _, _ in tags for name in names}
    plain = (danbooru_fields.plain_name(name) for names, _, _ in groups for name in names)
    return tuple(dict.fromkeys(name for name in plain if name not in known))


def _is_names(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value)
    )


def _parse_all(field: str, tags: Any) -> tuple[list[TagGroup], captions.Caption | None]:
    """Return the tags of a field that holds all of them, in any of its forms."""
    tags = _opened(field, tags)
    if isinstance(tags, str) and field == "tags" and captions.SEPARATING_COMMA.search(tags):
        return _parse_caption(tags)
    if isinstance(tags, (list, tuple)) and tags and isinstance(tags[0], tuple):
        tags = dict(tags)  # a map of Parquet's
    if isinstance(tags, dict):
        groups = [(f"{field}.{name}", name, names) for name, names in tags.items() if names is not None]
        return [
            (_parse_names(place, names), danbooru_fields.parse_category(name), None)
            for place, name, names in groups
        ], None
    if isinstance(tags, (list, tuple)) and tags and isinstance(tags[0], dict):
        return _parse_tag_objects(tags), None
    return _by_namespace(_parse_names(field, tags)), None


def _by_namespace(names: list[str]) -> list[TagGroup]:
    """Return names by the categories that stand before some of them; ratings are no tags."""
    if not any(":" in name for name in names):
        return [(names, 0, None)]
    groups: dict[int, list[str]] = {0: []}
    for category, name in map(danbooru_fields.split_namespace, names):
        if category != "rating":
            groups.setdefault(danbooru_fields.parse_category(category), []).append(name)
    return [(group, category, None) for category, group in groups.items()]


def _rating_of(record: Mapping[str, Any]) -> tuple[str, str]:
    """Return the rating of a record, from its field or from a list of tags, as `Post` has it and its like."""
    tags = record.get("tags")
    tags = written_lists.parse(tags) if isinstance(tags, str) and tags.startswith("[") else tags
    of_tags = tags if isinstance(tags, (list, tuple)) else ()
    ratings = (tag for tag in of_tags if str(tag)[:7].lower() == "rating:")
    return danbooru_fields.first_rating([record.get("rating"), *ratings])


def _parse_caption(text: str) -> tuple[list[TagGroup], captions.Caption]:
    caption = captions.parse(text)
    names = list(dict.fromkeys(filter(None, captions.tag_names(caption.tags))))
    return [(names, 0, None)], caption


def _opened(field: str, value: Any) -> Any:
    """Return the names of a list that is written as one text; any other value as it is."""
    if not isinstance(value, str) or value[:1] not in _LIST_STARTS or not written_lists.seems_one(value):
        return value
    names = written_lists.parse(value)
    if names is None:
        raise FieldError(f"{field} is a text like a list, which cannot be read: {value.strip()[:60]}")
    return names


def _parse_names(field: str, value: Any) -> list[str]:
    """Return the tag names of a field: words of a text, or a list."""
    value = _opened(field, value)
    if isinstance(value, str):
        return value.split()
    if isinstance(value, (list, tuple)) and _is_names(value):
        return ["_".join(name.split()) for name in value if name.strip()]
    raise FieldError(f"{field} is neither a text nor a list of texts")


def _parse_tag_objects(tags: Iterable[Any]) -> list[TagGroup]:
    """Return the tags of a list of ``{name, category, id}``, as gwern's releases have it."""
    by_category: dict[int, tuple[list[str], list[int | None]]] = {}
    for tag in tags:
        try:
            name = tag["name"] if "name" in tag else tag["tag"]
            category = danbooru_fields.parse_category(tag.get("category", tag.get("type", 0)))
            tag_id = int(tag["id"]) if tag.get("id") is not None else None
        except FieldError:
            raise
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
            raise FieldError("a tag without name, or with an id that is no number") from error
        if not isinstance(name, str):
            raise FieldError("a tag whose name is no text")
        if name and (tag_id is None or 0 <= tag_id <= image_folder.LARGEST_POST_ID):
            names, ids = by_category.setdefault(category, ([], []))
            names.append(name)
            ids.append(tag_id)
    return [(names, category, ids) for category, (names, ids) in by_category.items()]
