"""Lists the files of a source whose path is one file or a folder."""

import pathlib
from collections.abc import Collection, Iterable

from Utils.command.cli import UserError
from Utils.command.text import join_names
from Utils.data import dataset_folder

_MANIFESTS = (dataset_folder.MANIFEST, "dump.json", "release.json")


def folder_of(file: pathlib.Path, path: pathlib.Path) -> str:
    """Return the folder of a file relative to the path at which it was found, "" for the path's own."""
    folder = "" if file == path else file.parent.relative_to(path).as_posix()
    return "" if folder == "." else folder


def is_output(names: Iterable[str]) -> bool:
    """Whether a folder with these files is a dataset, dump or release: no source of posts, wherever it is."""
    names = set(names)
    return dataset_folder.TAGS in names and not names.isdisjoint(_MANIFESTS)


def find_files(path: pathlib.Path, suffixes: Collection[str], what: str) -> list[pathlib.Path]:
    """Return the path itself if it is a file, else the files below that folder with some suffixes, by path.

    What lies in a dataset that was made there is left out.

    Args:
        suffixes: in lower case, with their dot; "" is a name without a suffix.
        what: what is expected, for errors.

    Raises UserError where there is no such file.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{what} or a folder of such files was expected at {path}; found nothing")
    files, listed = [], []
    for file in path.rglob("*"):
        if file.suffix.lower() in suffixes and file.is_file():
            files.append(file)
        if file.name == dataset_folder.TAGS and file.parent != path:
            listed.append(file.parent)
    outputs = {folder for folder in listed if is_output(item.name for item in folder.iterdir())}
    files = sorted(file for file in files if outputs.isdisjoint(file.parents))
    if not files:
        endings = " ".join(suffix or "(no suffix)" for suffix in suffixes)
        names = join_names(sorted(item.name for item in path.iterdir()))
        raise UserError(f"{path} has no file that ends in {endings}; it holds {names}")
    return files
