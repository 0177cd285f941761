"""Sidecars: an image's tags in a text file beside it, for trainers (``x.txt``) or Hydrus (``x.jpg.txt``).

Names stay as the tag list has them unless spaces are asked for. Images of one stem never share a sidecar.
"""

import dataclasses
import itertools
import pathlib
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

from Utils.command.cli import UserError
from Utils.command.text import composed
from Utils.files.atomic import AnyPath, replacing
from Utils.tags import captions, tag_categories, written_lists

NAMESPACES = {
    tag_categories.CODES[name]: space
    for name, space in (
        ("artist", "creator"), ("copyright", "series"), ("character", "character"), ("meta", "meta"),
        ("rating", "rating"),
    )
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Style:
    """How tags are spelled.

    Args:
        spaces: spaces instead of underscores, except in emoticons.
        escape: a backslash before parentheses and backslashes, which change weights of words in prompts.
        rating: the rating as the first tag of a caption, ``rating:general``; Hydrus always gets it.
        prefix: a word before the tags, for example the trigger of a LoRA; empty for none.
    """

    spaces: bool = False
    escape: bool = False
    rating: bool = False
    prefix: str = ""


def is_emoticon(name: str) -> bool:
    """Whether underscores of a name are part of a face: ``^_^``, ``(o)_(o)``, ``||_||``, ``3_3``.

    Each part between underscores of a face has one letter or digit at most; words have more.
    """
    return all(sum(character.isalnum() for character in part) <= 1 for part in name.split("_"))


def spaced(name: str) -> str:
    """Return a name with spaces for underscores, emoticons as they are."""
    return name if is_emoticon(name) else name.replace("_", " ")


def escaped(text: str) -> str:
    """Return a text with a backslash before parentheses and backslashes; prompts then take them literally."""
    return re.sub(r"([\\()])", r"\\\1", text)


def spelled(name: str, style: Style) -> str:
    """Return a tag's name as a Style spells it."""
    name = spaced(name) if style.spaces else name
    return escaped(name) if style.escape else name


def caption_words(image: Any, style: Style) -> list[str]:
    """Return the words of a caption: the prefix, the rating if the style has it, the tags in their order.

    ``image`` is a `Utils.serving.tag_selection.Selection`, or has ``tags`` and a ``rating`` (or None) as it
    has: objects with a name and a category.
    """
    rating = [f"rating:{image.rating.name}"] if style.rating and image.rating else []
    return [*filter(None, [style.prefix]), *rating, *(spelled(tag.name, style) for tag in image.tags)]


def hydrus_words(image: Any, style: Style) -> list[str]:
    """Return the lines of a Hydrus sidecar: prefix, rating, tags, with namespaces (``series:``, ...).

    ``image`` is as in `caption_words`.
    """
    tags = image.tags if image.rating is None else (image.rating, *image.tags)
    namespaces = [_namespace(tag) for tag in tags]
    names = [spelled(tag.name, style) for tag in tags]
    lines = [f"{space}:{name}" if space else name for space, name in zip(namespaces, names, strict=True)]
    return [*filter(None, [style.prefix]), *lines]


def _namespace(tag: Any) -> str | None:
    """Return the namespace of a tag; a category that only its list names is one by that name."""
    name = getattr(tag, "category_name", "")
    if name and name not in tag_categories.CODES:
        return None if name == tag_categories.name_of(tag.category) else name
    if name in tag_categories.CODES:
        return NAMESPACES.get(tag_categories.CODES[name])
    return NAMESPACES.get(tag.category)


@dataclasses.dataclass(frozen=True)
class SidecarFormat:
    """A kind of text file beside images."""

    words: Callable[[Any, Style], list[str]]
    separator: str
    by_stem: bool  # x.txt, else x.jpg.txt

    def text(self, words: Iterable[str]) -> str:
        """Return the content of a file."""
        return self.separator.join(words) + "\n"

    def parse(self, text: str) -> list[str]:
        """Return the words of a file that this or another program wrote."""
        text = text.removeprefix("\ufeff")
        if (names := written_lists.parse(text)) is not None:
            return names
        caption = captions.parse(text)
        if caption.separator == captions.BLANK:  # as boorus write them; joined again, commas separate them
            return [*caption.tags, *caption.sentences]
        commas = rf"{captions.SEPARATING_COMMA.pattern}|[{captions.WIDE_COMMAS}]|" if self.by_stem else ""
        return [part.strip() for part in re.split(rf"{commas}[\r\n]", text) if part.strip()]


KINDS = {
    "txt": SidecarFormat(caption_words, ", ", by_stem=True),
    "hydrus": SidecarFormat(hydrus_words, "\n", by_stem=False),
}


def require_separable(names: Iterable[str], kind: SidecarFormat) -> None:
    """Raise UserError where a tag's name holds the separator of a sidecar: it would become two tags."""
    for name in names:
        if kind.separator.strip(" ") in name or "\n" in name:
            raise UserError(
                f"the tag {name!r} holds the separator of this format; write --format json or csv instead"
            )


def sidecar_names(names: Iterable[str], kind: SidecarFormat, taken: Iterable[str] = ()) -> dict[str, str]:
    """Return ``{image: its sidecar}`` for the image names of one folder, no two the same.

    The first image of a stem, by name, gets the caption ``stem.txt``, every other one ``name.ext.txt``: of
    1.jpg and 1.png, 1.png gets ``1.png.txt``. The others come first in the result, so that work cut short
    never leaves ``stem.txt`` alone. Where ``stem.txt`` is there without them, among the names ``taken``, it
    may belong to any of the images (the others may have come later): then the first gets ``name.ext.txt``,
    too. Names that differ in capitals only count as the same, as some file systems have it.
    """
    ordered = sorted(names)
    if not kind.by_stem:
        return {name: f"{name}.txt" for name in ordered}
    images = {name.casefold() for name in ordered}  # an image without suffix is called like its stem
    taken = {name.casefold() for name in taken}
    groups: dict[str, list[str]] = {}
    for name in ordered:
        groups.setdefault(_stem(name).casefold(), []).append(name)
    sidecar_of = {}
    for stem, (first, *others) in groups.items():
        sidecar_of |= {name: f"{name}.txt" for name in others}
        needs_suffix = stem in images or (others and _is_ambiguous(stem, first, others, taken))
        sidecar_of[first] = f"{first if needs_suffix else _stem(first)}.txt"
    return sidecar_of


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _is_ambiguous(stem: str, first: str, others: Sequence[str], taken: Collection[str]) -> bool:
    """Whether ``stem.txt`` may belong to another image of its group than the first."""
    is_alone = not all(f"{name}.txt".casefold() in taken for name in others)
    return f"{first}.txt".casefold() in taken or (f"{stem}.txt" in taken and is_alone)


def merged(old: Iterable[str], new: Iterable[str]) -> list[str]:
    """Return the words of two lists, the old ones first, each once however it is spelled."""
    seen, words = set(), []
    for word in (*old, *new):
        if spelling_key(word) not in seen:
            seen.add(spelling_key(word))
            words.append(word)
    return words


def spelling_key(word: str) -> str:
    """Return what all spellings of a tag have in common: composed, no escapes, underscores, lower case."""
    return re.sub(r"\\([\\()])", r"\1", composed(word)).replace(" ", "_").casefold()


def has_other_words(path: pathlib.Path, kind: SidecarFormat, names: Collection[str]) -> bool:
    """Whether a file has words that are no tags, of those with these `spelling_key`: a person's own words."""
    try:
        keys = map(spelling_key, kind.parse(path.read_text(encoding="utf-8")))
    except UnicodeDecodeError:
        return True
    return any(key not in names and key.partition(":")[2] not in names for key in keys)


def keep_copy(path: pathlib.Path) -> None:
    """Copy a file to ``NAME.bak`` beside it, or to ``NAME.bak2`` and so on where that is taken."""
    names = itertools.chain(["bak"], (f"bak{number}" for number in itertools.count(2)))
    free = next(place for end in names if not (place := path.with_name(f"{path.name}.{end}")).exists())
    with replacing(free, flush=False) as temporary:
        shutil.copy2(path, temporary)


def write(path: AnyPath, words: Iterable[str], kind: SidecarFormat, append: bool = False) -> None:
    """Write a sidecar, complete or not at all; ``append`` adds the words to those that it has.

    Raises UserError where the sidecar to add to cannot be read.
    """
    path, settings = pathlib.Path(path), ""
    if append and path.is_file():
        try:
            text, settings = captions.without_settings(path.read_text(encoding="utf-8"))
            if "\0" in text:  # UTF-16 without its mark, which is UTF-8, too
                raise UserError(f"{path} is no text in UTF-8, so nothing can be added to it: it has a 0 byte")
            words = merged(kind.parse(text), words)
        except UnicodeDecodeError as error:
            raise UserError(f"{path} is no text in UTF-8, so nothing can be added to it: {error}") from error
    with replacing(path, flush=False) as temporary:  # unflushed it may be left empty: see is_written
        temporary.write_bytes(f"{kind.text(words)}{settings}".encode())


def is_written(path: AnyPath) -> bool:
    """Whether a sidecar is there with its content: after a loss of power it may be empty."""
    path = pathlib.Path(path)
    return path.is_file() and path.stat().st_size > 0
