"""Lists of tags that a program wrote into one text: ``["1girl", "long hair"]``.

pandas writes a column of lists to CSV as Python shows them, ``['1girl', 'long hair']``, and a column that it
read from Parquet as NumPy does, ``['1girl' 'long hair']``; databases and tables hold lists as JSON.
"""

import ast
import json
import re
from collections.abc import Sequence

_STARTS = ("[", "{")  # of every text that is looked at closer
_LIKE_A_LIST = re.compile(r"""[\[{]\s*['"]""")
_TEXT = r"""(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
# Blanks can be matched in one way only: a text that is no list is told in time that grows with its length.
_OF_PYTHON = re.compile(rf"\[\s*(?:{_TEXT}\s*(?:,\s*|(?=['\"\]])))*\]", re.DOTALL)


def parse(text: str) -> list[str] | None:
    """Return the names of a list that a text is; None for any other text, and for a list that is damaged."""
    text = text.strip()
    if not text.startswith("[") or not text.endswith("]"):
        return None
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        try:
            names = _of_python(text)
        except (ValueError, SyntaxError):  # an escape that is none
            return None
    return names if isinstance(names, list) and all(isinstance(name, str) for name in names) else None


def _of_python(text: str) -> list[str] | None:
    # Not the whole list at once: 'a' 'b' is one text for Python.
    return (
        [ast.literal_eval(name) for name in re.findall(_TEXT, text, re.DOTALL)]
        if _OF_PYTHON.fullmatch(text)
        else None
    )


def seems_one(text: str) -> bool:
    """Whether a text begins as lists or objects do that programs write, whether `parse` reads it or not."""
    text = text.strip()
    return text.startswith(_STARTS) and (text == "[]" or _LIKE_A_LIST.match(text) is not None)


def write(names: Sequence[str], before: str) -> str:
    """Return a list of names as one text, in JSON or as Python shows it, as ``before`` is written."""
    try:
        json.loads(before)
    except ValueError:
        return repr(list(names))
    return json.dumps(list(names), ensure_ascii=False)
