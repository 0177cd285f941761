"""JSON written as a text before it was: the same indentation, separators and escapes."""

import json
import re
from typing import Any


def like(text: str, value: Any) -> str:
    """Return ``value`` as JSON in the format of another JSON text, with the same space around it."""
    body = text.strip()
    before, after = text[: len(text) - len(text.lstrip())], text[len(text.rstrip()) :]
    indent = re.match(r"[{\[]\r?\n([ \t]*)", body)
    # A colon with a space behind it is what `json` writes, one without what most other programs write.
    is_wide = re.match(r'[{\[]*"(?:[^"\\]|\\.)*": ', body) is not None or '": ' in body
    separators = (",", ": ") if indent is not None else (", ", ": ") if is_wide else (",", ":")
    result = json.dumps(
        value, indent=indent[1] if indent else None, separators=separators, ensure_ascii=text.isascii()
    )
    if "\r\n" in body:
        result = result.replace("\n", "\r\n")
    # Half of a surrogate pair (\ud83d alone) cannot be encoded: it stays an escape.
    result = result.encode("utf-8", "backslashreplace").decode("utf-8")
    return f"{before}{result}{after}"
