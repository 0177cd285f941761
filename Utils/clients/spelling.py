"""How clients spell tag names, and which names cannot be told apart in that spelling."""

import re
from collections.abc import Callable, Iterable

from Utils.tags import sidecars


def unchanged(name: str) -> str:
    """Write the name as it is (kohya, imgutils)."""
    return name


def escaped(name: str) -> str:
    r"""Write parentheses as ``\(`` and ``\)`` (comfy)."""
    return re.sub(r"([()])", r"\\\1", name)


def spaced_escaped(name: str) -> str:
    """Write every underscore as a space, that of ``^_^`` too, and escape parentheses (standalone, wdv3)."""
    return escaped(name.replace("_", " "))


def emoticons_kept(name: str) -> str:
    """Write underscores as spaces except in emoticons (picobyte)."""
    return sidecars.spaced(name)


def names_by_spelling(spell: Callable[[str], str], names: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Return ``{text: first name written so}`` and the names that are written like an earlier one, sorted."""
    name_of, ambiguous = {}, set()
    for name in names:
        if name_of.setdefault(spell(name), name) != name:
            ambiguous.add(name)
    return name_of, sorted(ambiguous)
