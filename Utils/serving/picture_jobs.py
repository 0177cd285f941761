"""Which pictures a command is to tag: files, folders, archives, and frames of films."""

import itertools
import os
import pathlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from Utils.command import programs
from Utils.command.cli import UserError, suggest_beside
from Utils.command.text import join_names
from Utils.files import archive_scan, csv_tables
from Utils.files.atomic import is_remote, to_path
from Utils.images import codec, films, formats, image_folder, image_reader, places
from Utils.images.places import Place, join
from Utils.tags import sidecars
from Utils.tags.sidecars import SidecarFormat


class Job(NamedTuple):
    """An image to tag; a tuple, because there may be millions."""

    place: Place
    folder: str  # in the place
    name: str
    sidecar: pathlib.Path | None = None  # for sidecars only
    film: str = ""  # path of the film, of which the job is a frame
    content: bytes | None = None  # of a frame

    @property
    def path(self) -> str:
        """The image's path, as people name it."""
        if "://" in self.place.path:
            return join(self.place.path, join(self.folder, self.name))
        return f"{pathlib.PurePath(self.place.path, self.folder)}/{self.name}"


class Folder(NamedTuple):
    """A folder with images to tag."""

    place: Place
    folder: str  # in the place
    images: dict[str, None]  # names to tag, as a set that keeps its order
    names: set[str]  # of all files in it


Rejected = list[tuple[Any, str]]  # (path, reason)
_CAPTIONS = (".caption", ".tags", ".txt")
SHOWN = 20  # of the images set aside, on the screen


def find(
    paths: Sequence[str], output: pathlib.Path | None, recursive: bool, with_films: bool
) -> tuple[dict[str, Folder], Rejected, str]:
    """Return ``({path: its Folder}, [(path, reason)], what was passed by)`` for what a user names.

    Args:
        paths: images, folders, archives of images.
        output: beside which indexes of archives are kept.
        recursive: folders with all below them.
        with_films: films, too.

    Raises UserError where nothing is there to tag.
    """
    folders: dict[str, Folder] = {}
    parents: dict[Any, Folder] = {}  # of single pictures: a folder is listed once, however many are named
    rejected: Rejected = []
    census = image_folder.Census()
    for path in paths:
        actual = to_path(path)
        if actual.is_dir() or _is_archive(path):
            place = places.open_place(path, output)
            parts = _walk(place, census, with_films)
            parts = parts if recursive else itertools.islice(parts, 1)
        elif not actual.exists():
            similar = "" if is_remote(actual) else suggest_beside(pathlib.Path(actual))
            raise UserError(f"there is no picture and no folder {path}{similar}")
        elif _is_picture(path, with_films):
            if actual.parent not in parents:
                place = places.open_place(actual.parent)
                names = set() if place.folder_path("") is None else _file_names(actual.parent)
                parents[actual.parent] = Folder(place, "", {}, names)
            parts = [parents[actual.parent]._replace(images={actual.name: None})]
        else:
            rejected.append((path, f"not named as a picture, {' '.join(formats.SUFFIXES)}, nor one"))
            continue
        for part in parts:  # each picture once, whatever path or link leads to it
            local = part.place.folder_path(part.folder)
            key = join(part.place.path, part.folder) if local is None else os.path.realpath(local)
            folders.setdefault(key, part).images.update(part.images)
    if with_films:
        for suffix in films.SUFFIXES:
            del census.others[suffix]
    if not any(folder.images for folder in folders.values()) and not rejected:
        raise UserError(
            f"{', '.join(paths)}: no pictures there; they end in {' '.join(formats.SUFFIXES)}"
            f"{'' if recursive else ', and --no-recursive looks at no folder below'}"
            f"{'; ' * bool(census.passed_by())}{census.passed_by()}"
            f"{'; the tagger is named first, then the pictures' if any(map(_is_tagger, paths)) else ''}"
        )
    rejected += [
        (path, f"archive cannot be read: {reason}") for path, reason in census.unreadable_archives.items()
    ]
    return folders, rejected, census.passed_by()


def _walk(place: Place, census: image_folder.Census, with_films: bool) -> Iterator[Folder]:
    for folder, names, pictures in image_folder.walk_pictures(place, census):
        film_names = filter(films.is_film, names) if with_films else ()
        yield Folder(place, folder, dict.fromkeys([*pictures, *film_names]), set(names))


def _is_picture(path: str, with_films: bool) -> bool:
    """Whether a file is a picture by its name or content, or a film where those are tagged, too."""
    name = to_path(path).name
    is_named = image_folder.is_image(name) or (with_films and films.is_film(name))
    return is_named or image_reader.holds_picture(path)


def _is_tagger(path: str) -> bool:
    return (to_path(path) / "selected_tags.csv").is_file()


def _is_archive(path: str) -> bool:
    return path.lower().endswith((*archive_scan.SUFFIXES, *places.COMPRESSED_SUFFIXES))


def captions_of_other_endings(folders: Iterable[Folder]) -> list[str]:
    """Return the names of captions beside pictures that no sidecar replaces: ``1.caption``, ``1.TXT``."""
    names = []
    for item in folders:
        found = [name for name in item.names if name.lower().endswith(_CAPTIONS) and name[-4:] != ".txt"]
        stems = {*item.images, *map(image_folder.stem_of, item.images)} if found else set()
        names += sorted(name for name in found if image_folder.stem_of(name) in stems)
    return names


def sidecar_jobs(
    folders: Collection[Folder],
    kind: SidecarFormat,
    output: pathlib.Path | None,
    replaces: bool,
    appends: bool,
) -> tuple[list[Job], int, int]:
    """Return the jobs of images with the places of their sidecars.

    Args:
        folders: as `find` returns them.
        kind: of the sidecars.
        output: the folder of the sidecars; None puts each beside its image.
        replaces, appends: whether images that have a sidecar are tagged again.

    Returns ``(jobs, images that have their sidecar, images beside which none can be written)``. Raises
    UserError where ``output`` would mix several places, or a folder cannot be written to.
    """
    jobs, num_done, num_elsewhere = [], 0, 0
    if output and len(origins := {item.place.path for item in folders}) > 1:
        raise UserError(
            f"-o FOLDER takes the sidecars of one place of pictures; got {join_names(sorted(origins))}"
        )
    for item in folders:
        path = _sidecar_folder(item, output)
        if path is None:
            num_elsewhere += len(item.images)
            continue
        # Of a path that is too long pathlib raises an error; the sidecar's will be told with its picture.
        if os.path.exists(path) and not os.access(path, os.W_OK):  # noqa: PTH110
            raise UserError(f"{path} cannot be written to; -o FOLDER puts the sidecars elsewhere")
        names = item.names if output is None else _file_names(path)
        images = {*filter(image_folder.is_image, item.names), *item.images}
        for name, sidecar in sidecars.sidecar_names(images, kind, () if replaces else names).items():
            exists = sidecar in names and sidecars.is_written(path / sidecar)
            if name in item.images and exists and not (replaces or appends):
                num_done += 1
            elif name in item.images:
                jobs.append(Job(item.place, item.folder, name, path / sidecar))
    return jobs, num_done, num_elsewhere


def _sidecar_folder(item: Folder, output: pathlib.Path | None) -> pathlib.Path | None:
    """Return where the sidecars of a folder's images go: beside them, or to its namesake below ``output``.

    None where nothing can be written beside them. Raises UserError where a name in an archive would lead out
    of ``output``.
    """
    if output is None:
        return item.place.folder_path(item.folder)
    for name in item.images:
        parts = tuple(join(item.folder, name).split("/"))  # on Windows a drive or a backslash makes others
        if {"", ".", ".."} & {*parts} or "\0" in name or pathlib.PurePath(*parts).parts != parts:
            member = image_folder.printable(join(item.folder, name))
            raise UserError(f"{item.place}: its member {member!r} has no place below {output}")
    return output / item.folder


def _file_names(folder: pathlib.Path) -> set[str]:
    """Return the names of the files of a folder, none where it does not exist."""
    return set(os.listdir(folder)) if os.path.isdir(folder) else set()  # noqa: PTH112, PTH208


def with_frames(jobs: list[Job], every: float, rejected: Rejected, done: Collection[str]) -> Iterator[Job]:
    """Yield the jobs, and for each film those of its frames that are not ``done``, while it is decoded.

    A film that cannot be read is added to ``rejected``.
    """
    for job in jobs:
        if not films.is_film(job.name):
            yield job
            continue
        path = job.place.folder_path(job.folder)
        try:
            source = job.place.open(join(job.folder, job.name)) if path is None else str(path / job.name)
            for seconds, data in films.frames(source, every):
                name = films.frame_name(job.name, seconds)
                frame = job._replace(name=name, film=job.path, content=data)
                if image_folder.printable(frame.path) not in done:
                    yield frame
        except (codec.ImageError, OSError) as error:
            rejected.append((job.path, str(error)))


def films_last(rows: Iterable[tuple[Job, np.ndarray]]) -> Iterator[tuple[Job, np.ndarray]]:
    """Yield pictures and their probabilities (L,) as they come, then films: their frames' highest."""
    by_film: dict[str, tuple[Job, np.ndarray]] = {}
    for job, row in rows:
        if job.film:
            by_film[job.film] = (job, np.maximum(row, by_film[job.film][1] if job.film in by_film else row))
        else:
            yield job, row
    yield from by_film.values()


def read(job: Job) -> bytes:
    """Return the content of a job's image file."""
    return job.place.open(join(job.folder, job.name)) if job.content is None else job.content


def list_rejected(
    rejected: Rejected, path: pathlib.Path | None, say: Callable[[str], None]
) -> list[tuple[str, str]]:
    """Show the first of what was set aside, and write all of it as CSV to ``path``; return it as texts."""
    rows = [(image_folder.printable(str(image)), reason) for image, reason in rejected]
    for image, reason in rows[:SHOWN]:
        say(f"set aside: {image}: {reason}")
    if len(rows) > SHOWN:
        say(f"and {len(rows) - SHOWN} more{'' if path else '; --rejected FILE.csv lists all'}")
    if path is not None:
        csv_tables.write_rows(path, ("path", "reason"), rows)
    return rows


def next_line(
    paths: Sequence[str], tagger: Sequence[object], is_sidecars: bool, output: pathlib.Path | None
) -> str:
    """Return the command that follows: a dataset where sidecars were written, else sidecars.

    Args:
        paths: what was tagged.
        tagger: words of the command that name the model, or --dump and the predictions.
        is_sidecars: whether sidecars were written; else a table or maps.
        output: the folder of the sidecars; None: beside the pictures.
    """
    is_place = len(paths) == 1 and (not pathlib.Path(paths[0]).is_file() or _is_archive(paths[0]))
    pictures = paths[0] if is_place else "PICTURES"
    if not is_sidecars:
        words = (*tagger, "--images", pictures) if tagger[0] == "--dump" else (*tagger, pictures)
        return f"{programs.next_line('tag_images', *words)}   (the tags in a text beside each picture)"
    apart = () if output is None else ("--images", pictures)
    words = ("--from", output or pictures, *apart, "-o", "DATASET")
    return f"{programs.next_line('select_tags', *words)}   (a dataset of the pictures and these tags)"
