"""Captions: the tags in a text beside a picture, as trainers and Hydrus write it, apart from its sentences.

A caption has its tags between commas (also ``\uff0c`` and ``\u3001``), semicolons or bars with spaces, or
tabs, or one a line, with spaces or underscores, ``\\(`` for ``(``. What reads as a sentence is no tag: a run
without comma of more than 6 words, or a text that ends in a full stop. Of the prompts that programs for
generating pictures save as captions, the marks of weights, ``<lora:x:1>``, BREAK, the negative prompt and the
settings are no tags.

``1girl solo long_hair`` without a comma is how boorus write three tags, and no way to write one: a tag has
spaces or underscores. ``1girl solo`` may be one or two; `SeparatorCounts` of all captions tell which.
"""

import collections
import dataclasses
import itertools
import re
from collections.abc import Collection, Sequence

from Utils.command.text import composed
from Utils.tags import written_lists

COMMA, BLANK = SEPARATORS = ("comma", "blank")  # comma: or one tag a line
UNCLEAR = "unclear"  # words that may be one tag or several
# In "1girl ready,_set,_go 1,000_yen" commas are parts of names, in "1girl,long hair" they separate tags.
SEPARATING_COMMA = re.compile(r",(?!_)(?!(?<=[0-9],)[0-9])")
WIDE_COMMAS = "\uff0c\u3001"  # of Chinese and Japanese keyboards
COMMAS = f",{WIDE_COMMAS}"
BREAKS = r"\|\|\||(?<!\S)BREAK(?!\S)"  # between parts of a caption: kohya's trainer, and prompts
NETWORKS = r"<(?:lora|lyco|hypernet):[^<>\r\n]*>"  # what a prompt loads beside its words
MOST_WORDS = 6  # of a tag that is written with spaces

# Of lines without commas: "1girl; solo", "1girl | solo". Names have such letters elsewhere: steins;gate, ;_;
_NO_SEPARATOR = re.compile(r"(?<![^\W_])(?<!\)); ")  # x'; DROP TABLE images; --
_OTHER_SEPARATORS = re.compile(r"(?<=[^\W_]|\));(?=\s|$)|(?<=[^\W_]|\)) \|(?= )")
_WITHOUT_WIDTH = ("\ufeff", "\u200b")
_CJK_STOP = "\u3002"  # a full stop; the wide commas of a line with it are those of sentences
_SETTINGS = re.compile(r"^[ \t]*(?:Negative prompt:|Steps: [0-9]+,)", re.MULTILINE)  # of a generated picture
_WEIGHTED = re.compile(r"\(+([^()]*(?:\([^()]*\)[^()]*)*):[0-9]+(?:\.[0-9]+)?\)+")  # (tag:1.2)
_WEIGHTED_END = re.compile(r"([^()]+):[0-9]+(?:\.[0-9]+)?\)+")  # of several tags: (a, b:1.2)
_WEIGHTED_START = re.compile(r"\(+(\w[^()]*)")
_WORD = re.compile(r"[^\W\d_]{2}")
_FEW_COMMAS = 1 / 3  # below this share of lines with commas, commas are parts of names
_MANY_COMPOUNDS = 1 / 3  # from this share of words with underscores on, blanks separate tags
_FEW_CAPTIONS = 1 / 20  # of a set may have commas where blanks separate the tags of the others


@dataclasses.dataclass(frozen=True)
class Splitting:
    """What captions are split at.

    Args:
        separator: COMMA, or BLANK of captions without commas; None: each caption tells.
        splits_unclear: whether those that tell nothing are split at blanks, too.
    """

    separator: str | None = None
    splits_unclear: bool = False


TOLD = Splitting()


@dataclasses.dataclass(frozen=True)
class Caption:
    """The parts of a caption, as they are written.

    Args:
        tags: its tags.
        sentences: runs of words that are no tags.
        separator: of the tags: COMMA, BLANK or UNCLEAR; empty where there is nothing to separate.
    """

    tags: list[str]
    sentences: list[str]
    separator: str = ""


@dataclasses.dataclass
class SeparatorCounts:
    """What separates the tags of a set of captions: ``{separator: captions}``, and the first of each."""

    counts: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    examples: dict[str, str] = dataclasses.field(default_factory=dict)

    def add(self, caption: Caption) -> None:
        """Count a caption."""
        self.counts[caption.separator] += 1
        self.examples.setdefault(caption.separator, " ".join([*caption.tags, *caption.sentences])[:100])

    @property
    def are_blanks(self) -> bool:
        """Whether blanks separate tags in the unclear captions, too: they do in most of the others."""
        blank, unclear = self.counts[BLANK], self.counts[UNCLEAR]
        return blank > 0 and blank >= unclear and self.counts[COMMA] <= _FEW_CAPTIONS * (blank + unclear)

    def notes(self, next_steps: tuple[str, str]) -> list[str]:
        """Return sentences on the captions without commas.

        Args:
            next_steps: what keeps the words of a caption one tag, what makes each of them a tag.
        """
        keep, split = next_steps
        texts = {
            BLANK: f"have blanks between their tags and no comma; {keep}",
            UNCLEAR: f"are several words without a comma and were not split; {split}",
        }
        return [
            f"{self.counts[separator]:,} of {self.counts.total():,} captions, such as "
            f"{self.examples[separator]!r}, {text}"
            for separator, text in texts.items()
            if self.counts[separator]
        ]


def tag_name(text: str) -> str:
    """Return the name of a tag as it is written in a caption: ``saber \\(fate\\)`` is ``saber_(fate)``.

    Letters without width, as byte order marks of texts that were joined, are left out, and so is the weight
    of ``(smile:1.2)``, and of ``hat:1.2)`` in ``(smile, hat:1.2)`` (`tag_names`). Letters are composed
    (NFC), as boorus store names; macOS may write an accent as a letter of its own.
    """
    for letter in _WITHOUT_WIDTH:
        text = text.replace(letter, "")
    for pattern in (_WEIGHTED, _WEIGHTED_END):
        if match := pattern.fullmatch(text.strip()):
            text = match[1]
    name = "_".join(text.split()).replace("\\(", "(").replace("\\)", ")")
    return composed(name)


def tag_names(words: Sequence[str]) -> list[str]:
    """Return the names of a caption's tags, as `tag_name` does for each.

    Of ``(smile, hat:1.2)`` the first loses its bracket, too; those of ``(smile, hat)`` stay, as all do that
    have no weight.
    """
    names, is_weighted = [tag_name(word) for word in words], False
    for place in reversed(range(len(words))):
        if _WEIGHTED_END.fullmatch(words[place].strip()):
            is_weighted = True
        elif start := _WEIGHTED_START.fullmatch(words[place].strip()):
            names[place] = tag_name(start[1]) if is_weighted else names[place]
            is_weighted = False
    return names


def has_prompt_brackets(name: str) -> bool:
    """Whether a tag has brackets as in a prompt: braces, or such as enclose it or do not close.

    ``((smile))``, ``[smile]``, ``{smile|grin}`` and ``hat))`` have, ``saber_(fate)``, ``(o)_(o)`` and ``:)``
    have not: no two letters stand together there, or the brackets are a part of the name.
    """
    depths = list(itertools.accumulate((letter in "([") - (letter in ")]") for letter in name))
    encloses = name[:1] in ("(", "[") and 0 not in depths[:-1]
    is_odd = encloses or "{" in name or "}" in name or min(depths, default=0) < 0 or depths[-1:] > [0]
    return is_odd and bool(_WORD.search(name))


def parse(text: str, namespaces: Collection[str] = (), splitting: Splitting = TOLD) -> Caption:
    """Return the tags and the sentences of a caption.

    Args:
        text: of a file, or of a field.
        namespaces: words in lower case before a colon (``series:re zero``); what begins so is a tag.
        splitting: what separates its tags, by default told from the text.

    Several lines are one tag each, which may hold commas, where a line begins with a namespace or few lines
    have commas, as Hydrus writes them. Else commas separate the tags of every line.
    """
    if (names := written_lists.parse(text)) is not None:
        return Caption(names, [], COMMA)
    text, settings = without_settings(text.replace("\0", ""))
    text = with_commas(re.sub(NETWORKS, "", re.sub(BREAKS, ",", text)).replace("\t", "\n"))
    lines = [line.strip().removesuffix(",") for line in text.splitlines() if line.strip()]
    separator = _separator_of(lines, splitting.separator)
    if separator == BLANK or (separator == UNCLEAR and splitting.splits_unclear):
        caption = _split_at_blanks(lines)
        return dataclasses.replace(caption, sentences=[*caption.sentences, *_as_sentence(settings)])
    caption = Caption([], [], separator)
    is_one_a_line = _is_one_a_line([line for line in lines if not _is_sentence(line)], namespaces)
    for line in lines:
        _add_line(caption, [line] if is_one_a_line else _parts(line), namespaces)
    caption.sentences.extend(_as_sentence(settings))
    return caption


def with_commas(text: str) -> str:
    """Return a caption with commas in lines whose tags semicolons or bars separate; else as it is."""
    lines = text.splitlines(keepends=True)
    is_other = [not (_has_comma(line) or ends_in_stop(line) or _NO_SEPARATOR.search(line)) for line in lines]
    mended = [_OTHER_SEPARATORS.sub(",", line) for line in lines]
    return "".join(mended[row] if is_other[row] else line for row, line in enumerate(lines))


def without_settings(text: str) -> tuple[str, str]:
    """Return a caption without the negative prompt and the settings of a generated picture, and these."""
    start = _SETTINGS.search(text)
    return (text[: start.start()], text[start.start() :]) if start else (text, "")


def _as_sentence(settings: str) -> list[str]:
    return [" ".join(settings.split())] if settings else []


def _commas_of(line: str) -> str:
    """Return the letters that separate the tags of a line."""
    return "," if _CJK_STOP in line else COMMAS


def _parts(line: str) -> list[str]:
    return re.split(f"[{_commas_of(line)}]", line)


def _has_comma(line: str) -> bool:
    return any(comma in line for comma in _commas_of(line))


def _separator_of(lines: list[str], stated: str | None) -> str:
    """Return what separates the tags of a caption, as its words tell if nobody states it: see `Caption`."""
    lines = [line for line in lines if not _is_prose(line)] or (lines if stated else [])
    words = [word for line in lines for word in line.split()]
    if len(words) < 2:
        return stated or ""
    if any(SEPARATING_COMMA.search(line) or _has_comma(line.replace(",", "")) for line in lines):
        return COMMA
    if stated or 2 * sum(" " in line for line in lines) <= len(lines):
        return stated or COMMA
    if sum(map(_is_compound, words)) >= _MANY_COMPOUNDS * len(words):
        return BLANK
    return COMMA if len(lines) > 1 else UNCLEAR


def _split_at_blanks(lines: list[str]) -> Caption:
    """Return the words of the lines that are no sentences; a long line alone is one only by its full stop."""
    is_sentence = ends_in_stop if all(map(_is_prose, lines)) else _is_prose
    tags = [word for line in lines if not is_sentence(line) for word in line.split()]
    return Caption(tags, [line for line in lines if is_sentence(line)], BLANK)


def _is_compound(word: str) -> bool:
    """Whether a word is a name of several words with underscores."""
    return "_" in word.strip("_")


def _is_prose(line: str) -> bool:
    """Whether a line is a sentence even where blanks may separate tags."""
    return ends_in_stop(line) or (_is_sentence(line) and not any(map(_is_compound, line.split())))


def _is_one_a_line(lines: list[str], namespaces: Collection[str]) -> bool:
    if len(lines) < 2:
        return False
    with_commas = sum(map(_has_comma, lines))
    return with_commas < _FEW_COMMAS * len(lines) or any(_has_namespace(line, namespaces) for line in lines)


def _add_line(caption: Caption, parts: list[str], namespaces: Collection[str]) -> None:
    """Add the parts of a line; sentences beside each other count as one.

    A line that ends in a full stop ends in a sentence, which begins at its last part with a capital:
    in ``1girl, solo, She smiles, and waves.`` only the first two parts are tags.
    """
    parts = [part.strip() for part in parts if part.strip()]
    is_sentence = [_is_sentence(part) and not _has_namespace(part, namespaces) for part in parts]
    if is_sentence and is_sentence[-1] and ends_in_stop(parts[-1]):
        starts = [place for place, part in enumerate(parts) if _starts_sentence(part)]
        for place in range(starts[-1] if starts else len(parts), len(parts)):
            is_sentence[place] = True
    run: list[str] = []
    for part, is_text in [*zip(parts, is_sentence, strict=True), ("", False)]:
        if is_text:
            run.append(part)
            continue
        if run:
            caption.sentences.append(", ".join(run))
            run = []
        if part:
            caption.tags.append(part)


def _is_sentence(text: str) -> bool:
    return (not _has_comma(text) and len(text.split()) > MOST_WORDS) or ends_in_stop(text)


def ends_in_stop(text: str) -> bool:
    """Whether a text ends in a full stop. Names as ``...`` and ``s.t.a.l.k.e.r.`` do not."""
    words = text.split()
    if not words or not words[-1].endswith((".", "\u3002")):
        return False
    last = words[-1][:-1]
    return len(words) > 1 or ("." not in last and any(letter.isalpha() for letter in last))


def is_no_name(text: str) -> bool:
    """Whether a text of a list is a caption of several tags or a sentence, and not the name of one tag."""
    return ", " in text or len(text.split()) > MOST_WORDS


def _starts_sentence(text: str) -> bool:
    return text[:1].isupper() and " " in text


def _has_namespace(text: str, namespaces: Collection[str]) -> bool:
    namespace, colon, rest = text.partition(":")
    return bool(colon and rest.strip()) and namespace.strip().lower() in namespaces
