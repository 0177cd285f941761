"""Adds and removes tags in a record of a booru's fields: JSON beside a picture, a line of JSON, a row.

Tags may be in several fields at once (``tag_string`` and ``tag_string_general``), as texts with spaces or
commas, lists of names, lists of ``{name, category, id}``, or ``{category: names}``. Each field that lists a
tag loses it. A new tag goes where other records have it, or else to the fields for general tags.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from Utils.data.danbooru_fields import plain_name, split_namespace
from Utils.data.sources.danbooru_post import CAPTION_FIELDS
from Utils.labels import caption_edits
from Utils.tags import written_lists

ALL_TAGS = ("tag_string", "tags")  # fields of tags of every category
_PREFIXES = ("tag_string_", "tags_", "tag_list_")
_COUNTS = {"tag_string": "tag_count", **{f"tag_string_{name}": f"tag_count_{name}" for name in (
    "general", "artist", "copyright", "character", "meta")}}  # fmt: skip

Field = tuple[str, str]  # field, and the category within it where it is {category: names}


def tag_fields(record: Mapping[str, Any]) -> list[str]:
    """Return the fields of a record that hold tags, those of one category first."""
    by_category = [name for name in record if name.startswith(_PREFIXES) and _holds_names(record[name])]
    return [*by_category, *(name for name in (*ALL_TAGS, *CAPTION_FIELDS) if record.get(name) is not None)]


def _holds_names(value: Any) -> bool:
    return isinstance(value, (str, list, tuple))


def fields_of(record: Mapping[str, Any]) -> dict[str, Field]:
    """Return ``{tag name: the field that has it}``, of several the one of its category."""
    fields: dict[str, Field] = {}
    for field in tag_fields(record):
        value = record[field]
        parts = value.items() if isinstance(value, dict) else [("", value)]
        for category, names in parts:
            for name in _names(field, names):
                fields.setdefault(name, (field, str(category)))
    return fields


def edit(
    record: Mapping[str, Any], add: Mapping[str, Field | None], remove: Collection[str]
) -> dict[str, Any]:
    """Return a record with tags added and removed; fields and their order stay, and what is equal is so.

    Args:
        add: ``{tag name: field that other records have it in, or None}``.
        remove: tag names.
    """
    edited, present = dict(record), set(fields_of(record))
    for field in tag_fields(record):
        edited[field] = _removed(field, record[field], remove)
    for name, place in add.items():
        if name not in present:
            _add(edited, name, place, record)
    for field, count in _COUNTS.items():
        is_counted = isinstance(record.get(count), int) and isinstance(record.get(field), str)
        if is_counted and edited[field] != record[field]:
            edited[count] = len(edited[field].split())
    return edited


def _names(field: str, value: Any) -> list[str]:
    """Return the names in a field, as tag lists have them."""
    if isinstance(value, str):
        if _is_caption(field, value):
            return list(caption_edits.words(value))
        return [_name(word) for word in value.split()]
    items = value if isinstance(value, (list, tuple)) else ()  # numbers are no names
    return [_name(item) for item in items if _name(item)]


def _is_caption(field: str, value: str) -> bool:
    is_list = written_lists.parse(value) is not None
    return is_list or field in CAPTION_FIELDS or (field == "tags" and "," in value)


def _name(item: Any) -> str:
    """Return the name of an item of a list: a text, or ``{name}`` or ``{tag}``."""
    if isinstance(item, dict):
        item = item.get("name", item.get("tag"))
    return split_namespace("_".join(plain_name(item).split()))[1] if isinstance(item, str) else ""


def _removed(field: str, value: Any, remove: Collection[str]) -> Any:
    if isinstance(value, dict):
        return {category: _removed("", names, remove) for category, names in value.items()}
    if isinstance(value, str) and _is_caption(field, value):
        return caption_edits.edit(value, {}, remove)
    if isinstance(value, str):
        kept = [word for word in value.split() if _name(word) not in remove]
        return value if len(kept) == len(value.split()) else " ".join(kept)
    if isinstance(value, (list, tuple)):
        return [item for item in value if _name(item) not in remove]
    return value


def _add(record: dict[str, Any], name: str, place: Field | None, before: Mapping[str, Any]) -> None:
    """Add a tag to the field of its category, and to the field of all tags, where they are there.

    ``before`` is the record as it was, whose names show how names are spelled.
    """
    by_category = [field for field in tag_fields(record) if field.startswith(_PREFIXES)]
    if place and place[0] in record:
        targets = [place[0]]
    else:
        targets = [field for field in by_category if field.endswith("_general")] or by_category[:1]
    targets += [field for field in ALL_TAGS if record.get(field) is not None]
    if not targets:
        targets = [field for field in CAPTION_FIELDS if isinstance(record.get(field), str)]
    for field in dict.fromkeys(targets):
        record[field] = _added(field, record[field], name, place[1] if place else "", before[field])


def _added(field: str, value: Any, name: str, category: str, before: Any) -> Any:
    if isinstance(value, dict):
        key = category if category in value else next((key for key in ("general", "0") if key in value), None)
        key = next(iter(value), "general") if key is None else key
        return {**value, key: _added("", value.get(key) or [], name, "", before.get(key))}
    if isinstance(value, str) and _is_caption(field, value):
        return caption_edits.edit(value, {name: None}, ())
    if isinstance(value, str):
        return f"{value} {name}" if value.strip() else name
    items = list(value or ())
    if items and isinstance(items[0], dict):
        key = "name" if "name" in items[0] else "tag"
        return [*items, {**dict.fromkeys(items[0]), key: name, **_general(items[0])}]
    return [*items, _as_beside(name, before or ())]


def _general(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return the category of a new tag object, in the form that its neighbors have."""
    if "category" not in item:
        return {}
    kinds = {int: 0, str: "0" if str(item["category"]).isdecimal() else "general"}
    return {"category": kinds.get(type(item["category"]))}


def _as_beside(name: str, items: Iterable[Any]) -> str:
    """Return a name with spaces where the names beside it have them."""
    return name.replace("_", " ") if any(" " in item for item in items if isinstance(item, str)) else name
