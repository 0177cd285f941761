"""Adds and removes tags in a caption and leaves everything else as it was written.

Order, spelling, separators, line ends and sentences stay; semicolons and bars become commas. A new tag goes
behind the last one, spelled as another caption spells it, or else as the tags beside it are spelled.
"""

import collections
import re
from collections.abc import Collection, Mapping, Sequence

from Utils.tags import captions, sidecars, written_lists
from Utils.tags.captions import TOLD, Splitting

_BLANKS = rf"(?:[ \t\0]|{captions.NETWORKS})*"
_BOUNDARY = rf"(?:^|[{captions.COMMAS}\t\r\n]|{captions.BREAKS}){_BLANKS}"  # before a tag
_END = rf"(?={_BLANKS}(?:$|[{captions.COMMAS}\t\r\n]|{captions.BREAKS}))"  # behind one

Span = tuple[int, int]


def name_of(word: str, namespaces: Collection[str] = ()) -> str:
    """Return the name of a tag as tag lists have it: ``character:saber \\(fate\\)`` is ``saber_(fate)``."""
    return _names_of([word], namespaces)[0]


def _names_of(words: Sequence[str], namespaces: Collection[str]) -> list[str]:
    """Return the names of the tags of one caption, as `name_of`."""
    parts = [word.partition(":") for word in words]
    has_namespace = [bool(rest.strip()) and space.strip().lower() in namespaces for space, _, rest in parts]
    plain = [rest if has else word for (*_, rest), has, word in zip(parts, has_namespace, words, strict=True)]
    return captions.tag_names(plain)


def words(text: str, namespaces: Collection[str] = (), splitting: Splitting = TOLD) -> dict[str, str]:
    """Return ``{tag name: how the text spells it}``; arguments as in `captions.parse`."""
    tags = captions.parse(text, namespaces, splitting).tags
    names = _names_of(tags, namespaces)
    return dict(reversed(list(zip(names, tags, strict=True))))


def edit(
    text: str,
    add: Mapping[str, str | None],
    remove: Collection[str],
    namespaces: Collection[str] = (),
    one_a_line: bool = False,
    splitting: Splitting = TOLD,
) -> str:
    """Return a caption with tags added and removed; the same text where nothing is to be done.

    Args:
        add: ``{tag name: spelling, or None for that of the tags beside it}``.
        remove: tag names.
        namespaces, splitting: as in `captions.parse`.
        one_a_line: how tags are separated where the text does not tell.
    """
    if (names := written_lists.parse(text)) is not None:
        return _edited_list(text, names, add, remove, namespaces)
    with_commas = captions.with_commas(text)
    edited = _edited(with_commas, add, remove, namespaces, one_a_line, splitting)
    return text if edited == with_commas else edited


def _edited(
    text: str,
    add: Mapping[str, str | None],
    remove: Collection[str],
    namespaces: Collection[str],
    one_a_line: bool,
    splitting: Splitting,
) -> str:
    """Return a text that commas or blanks separate with tags added and removed, as `edit`."""
    # Of fewer words than now the text could tell another separator.
    by_blanks = captions.parse(text, namespaces, splitting).separator == captions.BLANK
    splitting = Splitting(captions.BLANK if by_blanks else captions.COMMA)
    for name in remove:
        while span := _span_of(text, name, namespaces, by_blanks):
            text = _without(text, span, by_blanks)
    present = words(text, namespaces, splitting)
    for name, spelling in add.items():
        if name not in present:
            if spelling is None or (by_blanks and " " in spelling):
                spelling = _spelled(name, list(present.values()))
            text = _with(text, spelling, namespaces, one_a_line, by_blanks)
            present = words(text, namespaces, splitting)
    return text


def _edited_list(
    text: str,
    names: Sequence[str],
    add: Mapping[str, str | None],
    remove: Collection[str],
    namespaces: Collection[str],
) -> str:
    """Return a text that is a list of names with names added and removed, as `edit`."""
    kept = [word for word in names if name_of(word, namespaces) not in remove]
    present = {name_of(word, namespaces) for word in kept}
    kept += [spelling or _spelled(name, names) for name, spelling in add.items() if name not in present]
    return text if kept == list(names) else written_lists.write(kept, text)


def _spans(text: str, namespaces: Collection[str], by_blanks: bool) -> list[Span]:
    """Return where the tags of a text are."""
    if by_blanks:
        sentences = captions.parse(text, namespaces, Splitting(captions.BLANK)).sentences
        lines = [line for line in re.finditer(r"[^\r\n]+", text) if line[0].strip() not in sentences]
        return [word.span() for line in lines for word in re.compile(r"\S+").finditer(text, *line.span())]
    spans, start = [], 0
    for word in captions.parse(text, namespaces, Splitting(captions.COMMA)).tags:
        match = re.compile(f"{_BOUNDARY}({re.escape(word)}){_END}").search(text, start)
        if (
            match is None
        ):  # the word is another one than is written, for instance without a character of no width
            continue
        spans.append(match.span(1))
        start = match.end(1)
    return spans


def _span_of(text: str, name: str, namespaces: Collection[str], by_blanks: bool) -> Span | None:
    """Return where the first tag of a name is, None where the text has none."""
    spans = _spans(text, namespaces, by_blanks)
    names = _names_of([text[slice(*span)] for span in spans], namespaces)
    return next((span for span, present in zip(spans, names, strict=True) if present == name), None)


def _without(text: str, span: Span, by_blanks: bool) -> str:
    """Return a text without one of its tags and the separator that it no longer needs."""
    start, end = span
    first = max(text.rfind("\n", 0, start), text.rfind("\r", 0, start)) + 1
    rest = re.compile(r"[^\r\n]*").match(text, end)
    last = rest.end() if rest else end
    if not text[first:start].strip(" \t\0") and not text[end:last].strip(f" \t\0{captions.COMMAS}"):
        line_end = re.compile(r"\r\n|\r|\n").match(text, last)
        return text[:first] + text[line_end.end() if line_end else last :]
    between_tags = rf"[ \0]*[{captions.COMMAS}\t][ \t]*"
    after = re.compile(r"[ \t]+(?=\S)" if by_blanks else between_tags).match(text, end)
    if after:
        return text[:start] + text[after.end() :]
    before = re.compile(rf"[ \t\0]*[{captions.COMMAS}]?[ \t\0]*$").search(text, 0, start)
    return text[: before.start() if before else start] + text[end:]


def _with(text: str, word: str, namespaces: Collection[str], one_a_line: bool, by_blanks: bool) -> str:
    """Return a text with one tag more, behind its last one."""
    spans = _spans(text, namespaces, by_blanks)
    if not spans:
        separator = _line_end(text) if one_a_line or text.startswith(("\r", "\n")) else ", "
        return f"{word}{separator if text.strip() else ''}{text}"
    end = spans[-1][1]
    separator = " " if by_blanks else _separator(text, spans, one_a_line)
    return f"{text[:end]}{separator}{word}{text[end:]}"


def _separator(text: str, spans: Sequence[Span], one_a_line: bool) -> str:
    """Return the commonest separator of a text; that of its kind where a single tag shows none."""
    gaps = collections.Counter(
        text[end:start] for (_, end), (start, _) in zip(spans, spans[1:], strict=False)
    )
    usual = [gap for gap, _ in gaps.most_common() if not gap.strip(f" \t\r\n{captions.COMMAS}")]
    if usual:
        return usual[0]
    return _line_end(text) if one_a_line else ", "


def _line_end(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _spelled(name: str, beside: Sequence[str]) -> str:
    """Return a name with spaces and backslashes where the tags beside it have them."""
    style = sidecars.Style(
        spaces=any(" " in word.strip() for word in beside), escape=any("\\(" in word for word in beside)
    )
    return sidecars.spelled(name, style)
