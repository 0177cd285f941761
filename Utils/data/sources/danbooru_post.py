"""Converts a record of Danbooru's fields, a dict from any file format, to a `Post`.

Tags are in ``tag_string_general`` and its like, in ``tag_string`` (categories unknown), or in ``tags``: a
list of ``{id, name, category}`` as in gwern's releases, a list of names, ``{category: names}``, or a text;
``tags_general`` and its like are what gallery-dl writes.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any

from Utils.command.cli import UserError
from Utils.data import danbooru_fields
from Utils.data.danbooru_fields import STATUS_FIELDS, FieldError
from Utils.images import image_folder
from Utils.tags.tag_list import CATEGORIES

TagGroup = tuple[list[str], int, list[int | None] | None]  # names, their category code, their ids if known

CATEGORY_FIELDS = [
    (f"{prefix}_{name}", name)
    for prefix in ("tag_string", "tags")
    for name in (*CATEGORIES, *danbooru_fields.OTHER_CATEGORIES)
    if name != "rating"
]
TAG_FIELDS = ("tag_string", "tags", *(field for field, _ in CATEGORY_FIELDS))
FIELDS = ("id", "rating", "md5", *TAG_FIELDS, "status", *STATUS_FIELDS.values())


@dataclasses.dataclass(frozen=True, slots=True)
class Post:
    """One post of a source whose tags are names."""

    post_id: int
    rating: str  # g s q e, danbooru_fields.SAFE or ""
    status: int  # bits of STATUSES
    tags: list[TagGroup]
    key: int = 0  # image_folder.stem_key of its file's MD5 or other name; 0 without one


def is_post(record: Any) -> bool:
    """Return whether a record has the two fields that every post needs: an id and tags."""
    return isinstance(record, dict) and "id" in record and any(name in record for name in TAG_FIELDS)


def select_fields(available: Iterable[str], table: str) -> list[str]:
    """Return those columns of a table that `parse_post` reads, the id first; UserError without id or tags."""
    available = list(available)
    fields = [name for name in FIELDS if name in available]
    if "id" not in fields or not set(TAG_FIELDS) & set(fields):
        raise UserError(
            f"{table} needs a column id and one of tag_string, tag_string_general, tags; "
            f"it has {', '.join(available)}"
        )
    return fields


def parse_post(record: Any, post_id: int | None = None) -> Post:
    """Return the `Post` of a record; FieldError with the reason if it is not a valid one.

    Args:
        post_id: used instead of the record's, where the name of its file says which post it is.
    """
    if not isinstance(record, dict):
        raise FieldError("no JSON object")
    number = danbooru_fields.parse_post_id(record.get("id")) if post_id is None else post_id
    md5 = record.get("md5")
    key = image_folder.stem_key(md5) if isinstance(md5, str) and md5 else 0
    rating, status = danbooru_fields.parse_rating(record.get("rating")), danbooru_fields.parse_status(record)
    try:
        return Post(number, rating, status, parse_tags(record), key)
    except FieldError as error:
        raise FieldError(str(error), number) from error


def parse_tags(record: Mapping[str, Any]) -> list[TagGroup]:
    """Return the tags of a record, from the most detailed fields that it has; FieldError without any."""
    by_category: list[TagGroup] = [
        (_parse_names(field, record[field]), danbooru_fields.parse_category(name), None)
        for field, name in CATEGORY_FIELDS
        if record.get(field) is not None
    ]
    if by_category:
        return by_category
    if record.get("tag_string") is not None:
        return [(_parse_names("tag_string", record["tag_string"]), 0, None)]
    tags = record.get("tags")
    if isinstance(tags, dict):
        return [
            (_parse_names(f"tags.{name}", names), danbooru_fields.parse_category(name), None)
            for name, names in tags.items()
        ]
    if isinstance(tags, (list, tuple)) and tags and isinstance(tags[0], dict):
        return _parse_tag_objects(tags)
    if tags is None:
        raise FieldError("no tags")
    return [(_parse_names("tags", tags), 0, None)]


def _parse_names(field: str, value: Any) -> list[str]:
    """Return the tag names of a field: a list, words, or, if ``tags`` has commas, kohya's captions."""
    if isinstance(value, str):
        if field == "tags" and "," in value:
            return ["_".join(part.split()) for part in value.split(",") if part.strip()]
        return value.split()
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
        return [name for name in value if name]
    raise FieldError(f"{field} is neither a text nor a list of texts")


def _parse_tag_objects(tags: Iterable[Any]) -> list[TagGroup]:
    """Return the tags of gwern's releases, ``{id, name, category}`` each."""
    by_category: dict[int, tuple[list[str], list[int | None]]] = {}
    for tag in tags:
        try:
            name, category = tag["name"], danbooru_fields.parse_category(tag.get("category", 0))
            tag_id = int(tag["id"]) if "id" in tag else None
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
            raise FieldError("a tag without name, or with an id that is no number") from error
        if not isinstance(name, str):
            raise FieldError("a tag whose name is no text")
        if name and (tag_id is None or 0 <= tag_id <= image_folder.LARGEST_POST_ID):
            names, ids = by_category.setdefault(category, ([], []))
            names.append(name)
            ids.append(tag_id)
    return [(names, category, ids) for category, (names, ids) in by_category.items()]
