"""What single fields of Danbooru's posts and tags mean, in every spelling that databases and exports use.

Ids come as numbers or texts, truth values as 1, ``"t"`` or ``"true"``, ratings as letters or words,
categories as codes or names. Each rule stands here once; sources of posts, tag rules and the dataset
definition share it.
"""

import hashlib
import html
import itertools
import re
from collections.abc import Iterable, Mapping
from html.entities import html5
from typing import Any

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.command.text import counted
from Utils.images.image_folder import composed, parse_id
from Utils.tags import tag_categories

STATUSES = ("deleted", "banned", "pending", "flagged", "hidden")  # bit i of a post's status is STATUSES[i]
STATUS_FIELDS = {name: "hidden" if name == "hidden" else f"is_{name}" for name in STATUSES}
RATING_NAMES = {"g": "general", "s": "sensitive", "q": "questionable", "e": "explicit"}
FLAGS_FIELD = "flags"  # of e621's posts: {"deleted": true, "pending": false, ...}
FALSE_WORDS = ("", "0", "0.0", "f", "false", "none", "null")  # every other text is true

# The categories of e621 and its like. Where posts have one that Danbooru lacks, `numbered` gives all of them
# these codes; until then those that Danbooru lacks have codes that no source writes.
E621_CATEGORIES = {
    0: "general", 1: "artist", 2: "contributor", 3: "copyright", 4: "character", 5: "species", 6: "invalid",
    7: "meta", 8: "lore",
}  # fmt: skip
_NAMED = 10**10  # above every code that a source may write, or that is made from a name
OTHER_CATEGORIES = {
    name: _NAMED + code for code, name in E621_CATEGORIES.items() if name not in tag_categories.CODES
}
# What sites and programs call the categories, beside their names: Hydrus, Gelbooru, plurals.
CATEGORY_SPELLINGS = {
    "creator": "artist", "series": "copyright", "metadata": "meta", "artists": "artist",
    "characters": "character", "copyrights": "copyright",
}  # fmt: skip
# The prefix of a tag ("character:saber", as Hydrus and some sites write it) and the category that it names.
NAMESPACES = {**{name: name for name in (*tag_categories.CODES, *OTHER_CATEGORIES)}, **CATEGORY_SPELLINGS}
_FIRST_MADE_CODE = 1000  # of categories with other names
_names_read: dict[int, str] = {}  # a memory, no state: the same name gives the same code in every process

# The code of the word safe, which before April 2022 stood for what is general or sensitive now. As a letter
# it is an s like that of sensitive; as a word it is told apart, so that no two alphabets are mixed unnoticed.
SAFE = "S"

# Every spelling of a rating, in lower case; a post rated anything else has no rating.
RATINGS_READ = {**{letter: letter for letter in RATING_NAMES}, "safe": SAFE} | {
    name: letter for letter, name in RATING_NAMES.items()
}

_MOST_UNREAD = 40  # characters of a rating that is none, for messages

_ENTITY = re.compile(r"&(#[0-9]+|#[xX][0-9a-fA-F]+|[A-Za-z][A-Za-z0-9]*);")


class FieldError(ValueError):
    """A record that is not a valid post.

    Args:
        reason: what is wrong with it, as rejected.csv says it.
        post_id: the record's id where it has one.
    """

    def __init__(self, reason: str, post_id: int = -1) -> None:
        super().__init__(reason)
        self.post_id = post_id


def parse_post_id(value: Any) -> int:
    """Return a post id that came as a number or a text; FieldError for anything but 0 to 2**63 - 1."""
    try:
        return parse_id(value)
    except ValueError as error:
        raise FieldError(str(error)) from error


def is_true(value: Any) -> bool:
    """Return whether a truth value is true; a missing one (None) is false."""
    return bool(value) and str(value).strip().lower() not in FALSE_WORDS


def parse_rating(value: Any) -> str:
    """Return g, s, q, e or SAFE for a rating given as a letter or a word, "" for anything else."""
    text = value.strip().lower() if isinstance(value, str) else ""
    return RATINGS_READ.get(text.removeprefix("rating:"), "")


def first_rating(values: Iterable[Any]) -> tuple[str, str]:
    """Return ``(rating, "")`` of the first value that is one, else ``("", the first that is there)``."""
    given = [value for value in values if value is not None and str(value).strip()]
    rating = next(filter(None, map(parse_rating, given)), "")
    return rating, "" if rating or not given else str(given[0]).strip()[:_MOST_UNREAD]


def unread_ratings_note(posts: int, ratings: Iterable[str]) -> str:
    """Return what to say of posts whose ratings are not known, with the first three of these."""
    shown = ", ".join(map(repr, itertools.islice(ratings, 3)))
    return (
        f"unrated: {counted(posts, 'post')} with a rating that is not known, such as {shown}; known are "
        f"{', '.join(RATINGS_READ)}"
    )


def require_one_alphabet(ratings: Iterable[str], ratings_map: Mapping[str, str] | None) -> None:
    """Raise UserError where the word safe stands beside ratings of the other alphabet and no map explains it.

    Args:
        ratings: codes as `parse_rating` returns them.
        ratings_map: as in a `Utils.data.definition.Definition`.
    """
    others = [RATING_NAMES[letter] for letter in ("g", "s") if letter in ratings]
    if SAFE in ratings and others and "safe" not in (ratings_map or {}):
        raise UserError(
            f"some posts are rated safe, as boorus did before April 2022, others {' or '.join(others)}, as "
            'they do since; say what safe is in the definition, for instance ratings_map = {safe = "general"}'
        )


def _unescaped(entity: re.Match[str]) -> str:
    # Of an unknown name html.unescape undoes the beginning: &notword; has &not.
    return html.unescape(entity[0]) if entity[1][0] == "#" or f"{entity[1]};" in html5 else entity[0]


def plain_name(name: str) -> str:
    """Return the name of a tag without HTML entities, which interfaces and downloaders of boorus leave in it.

    Letters are composed (NFC), as in `Utils.tags.captions.tag_name`.

    Only entities with their semicolon are undone: in ``black&notwhite`` there is none.
    """
    while "&" in name:
        text = _ENTITY.sub(_unescaped, name)
        if text == name:
            break
        name = "_".join(text.split())  # an entity may be a space or a line break
    return composed(name)


def parse_status(record: Mapping[str, Any]) -> int:
    """Return the status bits of a post.

    They are in ``is_deleted`` and its like, in e621's ``flags``, or in one word in ``status``.
    """
    flags, word, bits = record.get(FLAGS_FIELD), str(record.get("status")).strip().lower(), 0
    flags = flags if isinstance(flags, Mapping) else {}
    for bit, (name, field) in enumerate(STATUS_FIELDS.items()):
        if word == name or is_true(record.get(field)) or is_true(flags.get(name)):
            bits |= 1 << bit
    return bits


def parse_category(category: Any) -> int:
    """Return the code of a tag category written as 4, "4" or "character"; general (0) for none at all.

    Unlike `Utils.tags.tag_categories.code_of` it accepts any name: other boorus have categories of their own.
    A name that is not among the usual or OTHER_CATEGORIES gets a code made from it, the same everywhere;
    `source_category_names` has it. Raises FieldError for what is neither a name nor a code.
    """
    text = "" if category is None else str(category).strip().lower()
    if isinstance(category, bool):
        raise FieldError(f"category {text} is neither a code nor a name")
    if text in ("", "none", "nan"):
        return tag_categories.CODES["general"]
    text = CATEGORY_SPELLINGS.get(text, text)
    if text in tag_categories.CODES:
        return tag_categories.CODES[text]
    number = text.removesuffix(".0")
    if number.isdecimal() and number.isascii() and len(number) < 10:
        return int(number)
    if not text[0].isalpha():
        raise FieldError(f"category {text[:40]!r} is neither a code nor a name")
    code = OTHER_CATEGORIES.get(text)
    if code is None:
        code = _FIRST_MADE_CODE + int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    _names_read[code] = text
    return code


def split_namespace(name: str) -> tuple[str, str]:
    """Return ``(category, name)`` of a tag with a prefix of NAMESPACES, ``("", name)`` of any other."""
    namespace, colon, rest = name.partition(":")
    category = NAMESPACES.get(namespace.lower(), "") if colon and rest.strip("_") else ""
    return (category, rest.strip("_")) if category else ("", name)


def source_category_names() -> dict[int, str]:
    """Return ``{code: name}`` of the categories beside the usual ones that sources have named so far."""
    return dict(_names_read)


def numbered(tags: pd.DataFrame) -> pd.DataFrame:
    """Return the tags of a source with the codes of categories that lists have, and with their names.

    Where a tag has a category that e621 has and Danbooru lacks, all have e621's codes: species is 5 and meta
    is 7. Else meta is 5, as at Danbooru. Codes and names that neither has stay as they are.
    """
    codes = tags["category"].to_numpy(np.int64)
    names = source_category_names()
    if np.isin(codes, list(OTHER_CATEGORIES.values())).any():
        code_of = {name: code for code, name in E621_CATEGORIES.items()}
        moved = {tag_categories.CODES["meta"]: code_of["meta"]}
        moved |= {code: code_of[name] for name, code in OTHER_CATEGORIES.items()}
        codes = np.array([moved.get(code, code) for code in codes.tolist()], np.int64)
        names |= E621_CATEGORIES
    return tag_categories.with_names(tags.assign(category=codes), names)
