"""How clients write the name of a tag, and the way back."""

import re

from Utils.tags import sidecars


def unchanged(name):
    """Write the name as it is (kohya, imgutils)."""
    return name


def escaped(name):
    r"""Write parentheses as ``\(`` and ``\)`` (comfy)."""
    return re.sub(r"([()])", r"\\\1", name)


def spaced_escaped(name):
    """Write every underscore as a space, that of ``^_^`` too, and escape parentheses (standalone, wdv3)."""
    return escaped(name.replace("_", " "))


def kaomoji_kept(name):
    """Write every underscore as a space but in faces (picobyte)."""
    return sidecars.spaced(name)


def back(spell, names):
    """Return ``{text: name}`` of a way to spell, and the names that others are written like, sorted."""
    found, lost = {}, set()
    for name in names:
        if found.setdefault(spell(name), name) != name:
            lost.add(name)
    return found, sorted(lost)
