"""One post as Danbooru writes it, whatever file it comes in: a dict of fields becomes a Post.

Tags are in ``tag_string_general`` and its fellows, in ``tag_string`` (categories unknown), or in ``tags``:
a list of ``{id, name, category}`` as in gwern's releases, a list of names, ``{category: names}``, or a text;
``tags_general`` and so on are what gallery-dl writes. Numbers may be texts, truths ``"t"`` or ``"true"``.
"""

import dataclasses

from Utils.data.definition import LETTERS, STATUSES
from Utils.data.sources.stream import LARGEST_ID
from Utils.data.sources.vocabulary import code_of
from Utils.images import image_folder
from Utils.tags.tag_list import CATEGORIES

BY_CATEGORY = [
    (f"{prefix}_{name}", code)
    for prefix in ("tag_string", "tags")
    for name, code in CATEGORIES.items()
    if name != "rating"
]
FIELDS = ("id", "rating", "md5", "tag_string", "tags", "status", *(name for name, _ in BY_CATEGORY))
TRUTHS = {**{name: f"is_{name}" for name in STATUSES}, "hidden": "hidden"}
_FALSE = {"", "0", "f", "false", "none", "null", "0.0"}
_OLD_RATINGS = {"safe": "s"}


class FieldError(ValueError):
    """A record that is no post; ``str`` is the reason, ``post_id`` its id where it has one, else -1."""

    def __init__(self, reason, post_id=-1):
        super().__init__(reason)
        self.post_id = post_id


@dataclasses.dataclass(frozen=True, slots=True)
class Post:
    """What a source without a schema of ids says of a post."""

    post_id: int
    rating: str  # g s q e or ""
    status: int  # bits of STATUSES
    tags: list  # of (names, category code, ids or None)
    key: int = 0  # folders.stem_key of its file's other name


def is_post(record):
    """Whether a record has what makes a post: an id and tags."""
    return isinstance(record, dict) and "id" in record and any(name in record for name in _TAGS)


_TAGS = ("tag_string", "tags", *(name for name, _ in BY_CATEGORY))


def post_of(record, post_id=None):
    """Return the `Post` of a record; FieldError with the reason where it is none.

    Args:
        post_id: taken instead of the record's, where the file's name says which post it is.
    """
    if not isinstance(record, dict):
        raise FieldError("no JSON object")
    number = whole_id(record.get("id")) if post_id is None else post_id
    md5 = record.get("md5")
    key = image_folder.stem_key(md5) if isinstance(md5, str) and md5 else 0
    try:
        return Post(number, rating_of(record.get("rating")), status_of(record), tags_of(record), key)
    except FieldError as error:
        raise FieldError(str(error), number) from error


def whole_id(value):
    """Return a post id given as number or text; FieldError for anything that is none."""
    try:
        number = int(value)
        if isinstance(value, bool) or (isinstance(value, float) and value != number):
            raise ValueError
    except (TypeError, ValueError, OverflowError) as error:
        raise FieldError("post id is no whole number") from error
    if not 0 <= number <= LARGEST_ID:
        raise FieldError("post id is not from 0 to 2**63 - 1")
    return number


def rating_of(value):
    """Return the letter of a rating given as letter or word, "" for anything else."""
    text = value.strip().lower() if isinstance(value, str) else ""
    letter = _OLD_RATINGS.get(text, text[:1])
    return letter if letter in LETTERS else ""


def status_of(record):
    """Return the status bits: ``is_deleted`` and so on, or ``status`` as one word."""
    word, bits = record.get("status"), 0
    for bit, (name, field) in enumerate(TRUTHS.items()):
        value = record.get(field)
        if word == name or (value is not None and value is not False and str(value).lower() not in _FALSE):
            bits |= 1 << bit
    return bits


def tags_of(record):
    """Return the tags as ``[(names, category code, ids or None)]``."""
    found = []
    for field, category in BY_CATEGORY:
        value = record.get(field)
        if value is not None:
            found.append((_names(field, value), category, None))
    if found:
        return found
    if record.get("tag_string") is not None:
        return [(_names("tag_string", record["tag_string"]), 0, None)]
    tags = record.get("tags")
    if isinstance(tags, dict):
        return [(_names(f"tags.{name}", value), code_of(name), None) for name, value in tags.items()]
    if isinstance(tags, (list, tuple)) and tags and isinstance(tags[0], dict):
        return _described(tags)
    if tags is None:
        raise FieldError("no tags")
    return [(_names("tags", tags), 0, None)]


def _names(field, value):
    """Return the tag names of a field: a list, words, or, where ``tags`` has commas, kohya's captions."""
    if isinstance(value, str):
        if field == "tags" and "," in value:
            return ["_".join(part.split()) for part in value.split(",") if part.strip()]
        return value.split()
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
        return [name for name in value if name]
    raise FieldError(f"{field} is neither a text nor a list of texts")


def _described(tags):
    """Return gwern's tags: every one with its id and category."""
    parts = {}
    for tag in tags:
        try:
            name, category = tag["name"], code_of(tag.get("category", 0))
            tag_id = int(tag["id"]) if "id" in tag else None
        except (TypeError, KeyError, ValueError, AttributeError, OverflowError) as error:
            raise FieldError("a tag without name, or with an id that is no number") from error
        if not isinstance(name, str):
            raise FieldError("a tag whose name is no text")
        if name and (tag_id is None or 0 <= tag_id <= LARGEST_ID):
            names, ids = parts.setdefault(category, ([], []))
            names.append(name)
            ids.append(tag_id)
    return [(names, category, ids) for category, (names, ids) in parts.items()]
