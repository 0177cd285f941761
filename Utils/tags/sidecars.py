"""Captions: tags of a picture as text beside it, for trainers (``x.txt``) and for Hydrus (``x.jpg.txt``).

Names stay as the tag list has them unless spaces are asked for. Files of the same stem never share a sidecar.
"""

import dataclasses
import pathlib
import re

from Utils.command.cli import UserError
from Utils.files.atomic import replacing
from Utils.tags import tag_list

NAMESPACES = {
    tag_list.CATEGORIES[name]: space
    for name, space in (
        ("artist", "creator"), ("copyright", "series"), ("character", "character"), ("meta", "meta"),
        ("rating", "rating"),
    )
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Style:
    """How tags are spelled.

    Args:
        spaces: instead of underscores, but in emoticons.
        escape: a backslash before parentheses and backslashes, which weigh words in prompts.
        rating: the rating as first tag of a caption, ``rating:general``; Hydrus always gets it.
        prefix: put before the tags, such as a trigger word; empty for none.
    """

    spaces: bool = False
    escape: bool = False
    rating: bool = False
    prefix: str = ""


def is_emoticon(name):
    """Whether underscores of a name are part of a face: ``^_^``, ``(o)_(o)``, ``||_||``, ``3_3``.

    What stands between them holds one letter or digit at most, where a word would hold more.
    """
    return all(sum(sign.isalnum() for sign in part) <= 1 for part in name.split("_"))


def spaced(name):
    """Return a name with spaces for underscores, emoticons as they are."""
    return name if is_emoticon(name) else name.replace("_", " ")


def escaped(text):
    """Return a text in which prompts see no weights: a backslash before parentheses and backslashes."""
    return re.sub(r"([\\()])", r"\\\1", text)


def spelled(name, style):
    """Return a tag's name in a Style."""
    name = spaced(name) if style.spaces else name
    return escaped(name) if style.escape else name


def caption_words(chosen, style):
    """Return the words of a caption: prefix, rating if wanted, tags as they were chosen."""
    rating = [f"rating:{chosen.rating.name}"] if style.rating and chosen.rating else []
    return [*filter(None, [style.prefix]), *rating, *(spelled(tag.name, style) for tag in chosen.tags)]


def hydrus_words(chosen, style):
    """Return the lines of a Hydrus sidecar: prefix, rating, tags, with namespaces (``series:``, ...)."""
    found = (*filter(None, [chosen.rating]), *chosen.tags)
    spaces = [NAMESPACES.get(tag.category, "") for tag in found]
    names = [spelled(tag.name, style) for tag in found]
    lines = [f"{space}:{name}" if space else name for space, name in zip(spaces, names, strict=True)]
    return [*filter(None, [style.prefix]), *lines]


@dataclasses.dataclass(frozen=True)
class Sidecars:
    """A kind of text file beside pictures."""

    words: object  # (Chosen, Style) -> words
    separator: str
    by_stem: bool  # x.txt, else x.jpg.txt

    def text(self, words):
        """Return the content of a file."""
        return self.separator.join(words) + "\n"

    def parse(self, text):
        """Return the words of a file that this or another program wrote."""
        parts = text.removeprefix("\ufeff").replace("\n", self.separator).split(self.separator)
        return [part.strip() for part in parts if part.strip()]


KINDS = {
    "txt": Sidecars(caption_words, ", ", by_stem=True),
    "hydrus": Sidecars(hydrus_words, "\n", by_stem=False),
}


def require_tellable(names, kind):
    """Raise UserError where a tag's name would fall apart in a sidecar: it holds what stands between tags."""
    for name in names:
        if kind.separator.strip(" ") in name or "\n" in name:
            raise UserError(
                f"the tag {name!r} cannot be told apart in text; write --format json or csv instead"
            )


def sidecar_names(names, kind, taken=()):
    """Return ``{image: its sidecar}`` for the image names of one folder, no two the same.

    Of captions the first image of a stem, by name, gets ``stem.txt``, every other ``name.ext.txt``: of 1.jpg
    and 1.png, 1.png gets ``1.png.txt``. Those come first in the result, so that work cut short never leaves
    ``stem.txt`` alone. Where it lies there alone, among the names ``taken``, it may be that of any of them
    (the others came later): then the first gets ``name.ext.txt`` too. Names that differ in capitals count as
    the same, because some file systems think so.
    """
    ordered = sorted(names)
    if not kind.by_stem:
        return {name: f"{name}.txt" for name in ordered}
    full, taken = {name.casefold() for name in ordered}, {name.casefold() for name in taken}
    groups = {}
    for name in ordered:
        groups.setdefault(_stem(name).casefold(), []).append(name)
    found = {}
    for stem, (first, *others) in groups.items():
        found |= {name: f"{name}.txt" for name in others}
        own = stem in full or (others and _is_anyones(stem, first, others, taken))
        found[first] = f"{first if own else _stem(first)}.txt"
    return found


def _stem(name):
    return name.rpartition(".")[0] or name


def _is_anyones(stem, first, others, taken):
    """Whether nothing says that ``stem.txt`` belongs to the first image of its group."""
    alone = not all(f"{name}.txt".casefold() in taken for name in others)
    return f"{first}.txt".casefold() in taken or (f"{stem}.txt" in taken and alone)


def merged(old, new):
    """Return the words of two lists, the old ones first, each once however it is spelled."""
    seen, found = set(), []
    for word in (*old, *new):
        key = re.sub(r"\\([\\()])", r"\1", word).replace(" ", "_").casefold()
        if key not in seen:
            seen.add(key)
            found.append(word)
    return found


def write(path, words, kind, append=False):
    """Write a sidecar, complete or not at all; ``append`` keeps the words that it has, and adds new ones.

    Raises UserError where one that is to be kept cannot be read.
    """
    path = pathlib.Path(path)
    if append and path.is_file():
        try:
            words = merged(kind.parse(path.read_text(encoding="utf-8")), words)
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is no text in UTF-8, so nothing can be added to it: {error}") from error
    with replacing(path, flush=False) as beside:  # an empty one counts as missing
        beside.write_bytes(kind.text(words).encode("utf-8"))


def is_written(path):
    """Whether a sidecar is there: what a machine that lost power may have left empty is not."""
    path = pathlib.Path(path)
    return path.is_file() and path.stat().st_size > 0
