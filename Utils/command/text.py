"""Text for people: shortened lists of names, aligned columns, Markdown tables."""

import unicodedata
from collections.abc import Iterable, Sequence

NO_UTF8 = "characters that are no UTF-8"  # why a row of somebody's data is left out


def counted(number: int, one: str, several: str = "") -> str:
    """Return ``"1 post"`` or ``"2,000 posts"``; ``several`` is a plural that is not made with an s."""
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def join_names(names: Iterable[object], most: int | None = 5) -> str:
    """Return ``"a, b and 3 more"``: the first ``most`` names (None: all), or "nothing"."""
    words = [str(name) for name in names]
    shown = words[:most]
    more = f" and {len(words) - len(shown)} more" if len(words) > len(shown) else ""
    return f"{', '.join(shown)}{more}" if words else "nothing"


def pad_columns(rows: Sequence[Sequence[str]], left: int = 1, least: int = 0) -> list[list[str]]:
    """Return the cells padded with spaces, so that every column is as wide as its longest cell.

    Args:
        rows: all of one length, the header among them.
        left: this many columns are flush left, the others flush right.
        least: narrowest width of a column, in characters.
    """
    widths = [max(least, *map(len, column)) for column in zip(*rows, strict=True)]
    return [
        [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]


def markdown_row(cells: Iterable[str]) -> str:
    """Return one row of a Markdown table; a ``|`` in a cell is escaped."""
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a Markdown table with padded columns, the first ``left`` of them flush left."""
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in (header, *rows)]
    padded = pad_columns(escaped, left, least=3)  # a rule has three characters at least
    dashes = ["-" * (len(cell) + 1) for cell in padded[0]]
    rule = [f":{line}" if i < left else f"{line}:" for i, line in enumerate(dashes)]
    lines = [f"| {' | '.join(row)} |" for row in padded]
    return "\n".join([lines[0], f"|{'|'.join(rule)}|", *lines[1:]])


def whole_number(text: str) -> int | None:
    """Return the integer that "7", "7.0" or "7e3" stand for; None for any other text."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        value = float(text)
    except ValueError:
        return None
    return int(value) if value.is_integer() else None


def composed(name: str) -> str:
    """Return a name with composed letters (NFC): macOS writes an accent as a letter of its own."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def visible(name: str) -> str:
    """Return a name that others wrote, with escapes for line breaks, NUL and the like."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)


def printable(path: str) -> str:
    """Return a path as text that can be written to any file; bytes that are no UTF-8 become U+FFFD."""
    return path.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
