"""The user's cache of this project, ``$XDG_CACHE_HOME/sw-cv-modelzoo``: answers that took long to get.

Whatever is in it may be deleted at any time. Where it cannot be written, everything works without.
"""

import contextlib
import os
import pathlib
from typing import Any

from Utils.command.cli import UserError
from Utils.files import atomic


def folder() -> pathlib.Path:
    """Return the folder of the cache; it need not be there."""
    base = os.environ.get("XDG_CACHE_HOME") or pathlib.Path("~/.cache").expanduser()
    return pathlib.Path(base) / "sw-cv-modelzoo"


def read(name: str) -> Any:
    """Return what was written under a name, ``KIND-DIGEST``; None for nothing, or a damaged file."""
    with contextlib.suppress(OSError, ValueError, UserError):
        return atomic.read_json(folder() / f"{name}.json")
    return None


def write(name: str, value: Any) -> None:
    """Keep a JSON value under a name."""
    with contextlib.suppress(OSError):
        folder().mkdir(parents=True, exist_ok=True)
        atomic.write_json(folder() / f"{name}.json", value)
