"""What killed processes left beside an output: temporary files and folders, ``.NAME.PID.END``."""

import glob
import os
import pathlib

from Utils.files import atomic
from Utils.files.atomic import AnyPath, process_is_alive


def abandoned(path: pathlib.Path, end: str) -> list[pathlib.Path]:
    """Return what killed processes left beside ``path`` as ``.NAME.PID.END``; a long NAME is hashed."""
    left, name = [], atomic.short_name(path.name)
    for item in beside(path, end):
        pid = item.name[len(name) + 2 :].split(".")[0]
        # With our own number it is an earlier process's: this one has nothing under way at this point.
        if pid.isdigit() and (int(pid) == os.getpid() or not process_is_alive(int(pid))):
            left.append(item)
    return left


def beside(path: pathlib.Path, end: str) -> list[pathlib.Path]:
    """Return the temporary files and folders of ``path``, whatever process they are of."""
    return sorted(path.parent.glob(f".{glob.escape(atomic.short_name(path.name))}.*.{end}"))


def remove_unfinished(path: AnyPath) -> None:
    """Remove the temporary files of ``path`` that killed processes left beside it (`atomic.replacing`)."""
    path = pathlib.Path(path)
    for file in abandoned(path, "part*"):
        if file.is_file():
            file.unlink(missing_ok=True)
