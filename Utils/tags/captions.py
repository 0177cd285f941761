"""Captions: the tags in a text beside a picture, as trainers and Hydrus write it, apart from its sentences.

A caption has its tags between commas or one a line, with spaces or underscores, ``\\(`` for ``(``. What reads
as a sentence is no tag: a run without comma of more than 6 words, or a text that ends in a full stop.
"""

import dataclasses
from collections.abc import Collection

_WITHOUT_WIDTH = ("\ufeff", "\u200b")
MOST_WORDS = 6  # of a tag that is written with spaces
_KOHYA_SEPARATOR = "|||"  # between the tags that its trainer keeps in place and the others
_FEW_COMMAS = 1 / 3  # below this share of lines with commas, commas are parts of names


@dataclasses.dataclass(frozen=True)
class Caption:
    """The parts of a caption, as they are written."""

    tags: list[str]
    sentences: list[str]


def tag_name(text: str) -> str:
    """Return the name of a tag as it is written in a caption: ``saber \\(fate\\)`` is ``saber_(fate)``.

    Letters without width, as byte order marks of texts that were joined, are left out.
    """
    for letter in _WITHOUT_WIDTH:
        text = text.replace(letter, "")
    return "_".join(text.split()).replace("\\(", "(").replace("\\)", ")")


def parse(text: str, namespaces: Collection[str] = ()) -> Caption:
    """Return the tags and the sentences of a caption.

    Args:
        text: of a file, or of a field.
        namespaces: words in lower case before a colon (``series:re zero``); what begins so is a tag.

    Several lines are one tag each, which may hold commas, where a line begins with a namespace or few lines
    have commas, as Hydrus writes them. Else commas separate the tags of every line.
    """
    text = text.replace("\0", "").replace(_KOHYA_SEPARATOR, ",")
    lines = [line.strip().removesuffix(",") for line in text.splitlines() if line.strip()]
    caption = Caption([], [])
    is_one_a_line = _is_one_a_line([line for line in lines if not _is_sentence(line)], namespaces)
    for line in lines:
        _add_line(caption, [line] if is_one_a_line else line.split(","), namespaces)
    return caption


def _is_one_a_line(lines: list[str], namespaces: Collection[str]) -> bool:
    if len(lines) < 2:
        return False
    with_commas = sum("," in line for line in lines)
    return with_commas < _FEW_COMMAS * len(lines) or any(_has_namespace(line, namespaces) for line in lines)


def _add_line(caption: Caption, parts: list[str], namespaces: Collection[str]) -> None:
    """Add the parts of a line; sentences beside each other count as one.

    A line that ends in a full stop ends in a sentence, which begins at its last part with a capital:
    in ``1girl, solo, She smiles, and waves.`` only the first two parts are tags.
    """
    parts = [part.strip() for part in parts if part.strip()]
    is_sentence = [_is_sentence(part) and not _has_namespace(part, namespaces) for part in parts]
    if is_sentence and is_sentence[-1] and _ends_in_stop(parts[-1]):
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
    return ("," not in text and len(text.split()) > MOST_WORDS) or _ends_in_stop(text)


def _ends_in_stop(text: str) -> bool:
    """Whether a text ends in a full stop. Names as ``...`` and ``s.t.a.l.k.e.r.`` do not."""
    words = text.split()
    if not words or not words[-1].endswith((".", "\u3002")):
        return False
    last = words[-1][:-1]
    return len(words) > 1 or ("." not in last and any(letter.isalpha() for letter in last))


def _starts_sentence(text: str) -> bool:
    return text[:1].isupper() and " " in text


def _has_namespace(text: str, namespaces: Collection[str]) -> bool:
    namespace, colon, rest = text.partition(":")
    return bool(colon and rest.strip()) and namespace.strip().lower() in namespaces
