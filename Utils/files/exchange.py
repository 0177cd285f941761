"""Several files of one folder that belong together, exchanged as one: all of the old, or all of the new."""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator, Sequence

from Utils.files import atomic
from Utils.files.leftovers import abandoned

_NAMES = "names.json"  # of the files that are exchanged: {name: whether an old one was there}


@contextlib.contextmanager
def replacing_together(paths: Sequence[pathlib.Path]) -> Iterator[list[pathlib.Path]]:
    """Yield a temporary path for each of some files, which replace them when the block ends without an error.

    All lie in the folder of the first, without which the others mean nothing: it is taken away first and
    comes last, so that it never lies beside files of another one. The old files stay in a hidden folder
    beside it until all the new are there; what a kill left of them `put_back` brings back.
    """
    first, folder = paths[0], paths[0].parent
    folder.mkdir(parents=True, exist_ok=True)
    stem = f".{atomic.short_name(first.name)}.{os.getpid()}"
    temporary, aside = (first.with_name(f"{stem}.{end}") for end in ("part", "old"))
    new, old = temporary / "new", temporary / "old"
    with atomic.naming(first, temporary):
        new.mkdir(parents=True)
        old.mkdir()
    try:
        with atomic.naming(first, temporary):
            yield [new / path.name for path in paths]
            for path in paths:
                atomic.flush_file(new / path.name)
                if path.exists():
                    _keep(path, old / path.name)
            atomic.write_json(temporary / _NAMES, {path.name: path.exists() for path in paths})
        temporary.rename(aside)
        first.unlink(missing_ok=True)
        for path in reversed(paths):
            (aside / "new" / path.name).replace(path)
        # Named as temporary before it is deleted: after a kill half of it must not be put back.
        aside.rename(temporary)
    finally:
        if aside.exists():
            _undo(aside)
        shutil.rmtree(temporary, ignore_errors=True)


def put_back(first: pathlib.Path) -> bool:
    """Undo an exchange that a killed process left half done; return whether there was one."""
    for folder in abandoned(first, "part"):
        shutil.rmtree(folder, ignore_errors=True)
    folders = abandoned(first, "old")
    for folder in folders:
        _undo(folder)
    return bool(folders)


def _keep(path: pathlib.Path, copy: pathlib.Path) -> None:
    """Give a file a second name, or copy it where the file system has no such links."""
    try:
        os.link(path, copy)
    except OSError:
        shutil.copy2(path, copy)


def _undo(aside: pathlib.Path) -> None:
    """Put the old files back where new ones came in; what somebody has put there since stays."""
    names = atomic.read_json(aside / _NAMES, {"*": bool})
    folder, new, old = aside.parent, aside / "new", aside / "old"
    first = next(iter(names))
    if not (new / first).exists():
        (folder / first).unlink(missing_ok=True)
    for name in reversed(names):
        if (new / name).exists() and (folder / name).exists():
            continue  # no new one came in: it is the old one, or somebody's
        if (old / name).exists():  # else an earlier call has put it back
            (old / name).replace(folder / name)
        elif not names[name]:
            (folder / name).unlink(missing_ok=True)
    shutil.rmtree(aside.rename(aside.with_suffix(".part")), ignore_errors=True)
