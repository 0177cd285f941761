"""Tag images with a release: captions for trainers, sidecars for Hydrus, or one JSON or CSV file for all.

txt writes x.txt beside every image, tags between commas, the most probable first; hydrus writes x.jpg.txt,
one tag a line, with the namespaces character: series: creator: meta: rating:. Of images that share a stem,
like 1.jpg and 1.png, the first by name has 1.txt and every other its full name, 1.png.txt. json and csv hold
probabilities and go to -o, or to the screen. Names stay as in selected_tags.csv unless --spaces.

Images that have their sidecar are skipped, so the command continues an interrupted run. With --overwrite a
sidecar with words that are no tags of the model is kept as .bak. Files that cannot be read are set aside and
listed; the exit code is 1 where nothing was tagged. Wrong suffixes and what is passed by are counted.
Pictures in tar, zip and Parquet files, and on other file systems, are read where they lie; nothing can be
written beside them, so their sidecars need -o FOLDER, whose folders are then those of the pictures
(select_tags.py --from FOLDER --images PLACE reads both). With --every a frame of each film is taken so often:
json and csv have a record for each, sidecars the highest probabilities.

With --dump DUMP --images PLACE no model is run: the probabilities are those that predict.py wrote.

--maps OUT writes, instead of captions, where in each picture its tags are: a picture with the tag's map over
it for the most probable tags, and maps.json with the map's highest point in pixels of the picture (turned as
its EXIF data say). --only TAG --threshold 0 asks for a tag that is not predicted.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import pathlib
import sys

from Utils.command.backend import deferred
from Utils.command.cli import Parser, UserError, WorkError, command, number, print_json
from Utils.command.text import counted
from Utils.files import hub
from Utils.files.output_files import FileKind, has_header, require_replaceable_file
from Utils.files.output_folders import require_replaceable_folder
from Utils.images import films, image_limits, image_reader, places
from Utils.serving import (
    execution_providers,
    onnx_tagger,
    picture_jobs,
    tag_maps,
    tag_selection,
    tag_table,
    tag_writers,
)
from Utils.serving.dump_predictions import DumpPredictions
from Utils.serving.picture_jobs import Folder, Job, Rejected
from Utils.serving.tag_writers import Tagger, Work
from Utils.tags import sidecars

FORMATS = (*sidecars.KINDS, *tag_table.FORMATS)
REJECTED = FileKind("a list of unreadable images", has_header(("path", "reason")))
# Options that only some formats have.
FORMATS_OF = {"spaces": ("txt", "hydrus"), "prefix": ("txt", "hydrus"), "append": ("txt", "hydrus"),
              "escape": ("txt",), "rating": ("txt",), "output": FORMATS}  # fmt: skip
# Options that --maps does without, and why.
NOT_WITH_MAPS = {
    "format": "it writes no captions", "dump": "it needs the model", "every": "it takes no films",
    "implications": "it shows the model's own tags", "aliases": "it shows the model's own tags",
    "replace": "it shows the model's own tags", "append": "it writes no captions",
}  # fmt: skip


def parser() -> Parser:
    """Return the command's parser."""
    command_line = Parser(prog="tag_images.py", description=__doc__)
    add = command_line.add_argument
    add("model", metavar="RELEASE|RUN|FILE.keras|TIMM|HUB_ID", nargs="?", type=hub.argument)
    add("paths", metavar="PATH", nargs="*", help="images, folders; tar, zip or Parquet files of images")
    add("--dump", type=pathlib.Path, metavar="DUMP", help="predictions that are there, instead of a model")
    add("--images", metavar="PLACE", help="the pictures that --dump is about")
    add("--format", choices=FORMATS, help="what to write (txt)")
    add("-o", "--output", type=pathlib.Path, metavar="FILE|FOLDER",
        help="file of json or csv; folder of sidecars (default: beside the pictures)")  # fmt: skip
    add("--json", action="store_true", help="print what was done as one JSON object")
    add("--rejected", type=pathlib.Path, metavar="CSV", help="list of unreadable images: path,reason")
    add("--maps", type=pathlib.Path, metavar="OUT", help="folder of maps: where in the pictures the tags are")
    add("--maps-by", choices=tag_maps.METHODS, help="how; releases can be asked by occlusion only (auto)")
    existing = command_line.add_mutually_exclusive_group()
    existing.add_argument("--overwrite", action="store_true", help="replace files that exist")
    existing.add_argument("--append", action="store_true", help="add the missing tags to sidecars that exist")
    tag_selection.add_arguments(command_line)
    add("--spaces", action="store_true", help="instead of underscores; emoticons like ^_^ keep theirs")
    add("--escape", action="store_true", help="a backslash before parentheses, for prompts (txt)")
    add("--rating", action="store_true", help="the rating as first tag, rating:general (txt)")
    add(
        "--prefix",
        default="",
        type=_line,
        metavar="TEXT",
        help="text before the tags, for example a trigger word",
    )
    add("--recursive", action="store_true", default=True, help="folders with all below them (default)")
    add("--no-recursive", action="store_false", dest="recursive", help="folders without those below them")
    add("--every", type=_interval, metavar="1s", help="also films, a frame of them so often; 1s, 0.5s, 2min")
    image_reader.add_max_pixels(command_line)
    add("--batch-size", type=number(least=1), default=8, help="images at a time (8)")
    execution_providers.add_device(command_line)
    add("--workers", type=number(least=0), default=0, help="threads that decode (one for each core)")
    return command_line


def _line(text: str) -> str:
    if text.splitlines() not in ([], [text]):  # a caption of several lines has a tag in each
        raise argparse.ArgumentTypeError(f"must be one line; got {text!r}")
    return text


def _interval(text: str) -> float:
    try:
        return films.parse_interval(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"is a time between frames, as 1s, 0.5s or 2min; {error}") from error


@command
def main(argv: list[str] | None = None) -> int:
    """Run the command."""
    options = parser().parse_args(argv)
    _check(options)
    image_limits.allow_pixels(options.max_pixels)
    folders, rejected, passed_by = picture_jobs.find(
        options.paths, options.output, options.recursive, bool(options.every)
    )
    if passed_by:
        _say(passed_by)
    if options.format in sidecars.KINDS:
        jobs, num_done = _sidecar_jobs(options, folders)
    else:
        jobs = [Job(item.place, item.folder, name) for item in folders.values() for name in item.images]
        num_done = 0
    del folders  # its sets of names take much memory
    if options.maps:
        tag_maps.require_few(len(jobs))
    if not jobs and not rejected:
        return _report(options, rejected, 0, num_done)
    tagger = _load(options)
    selector, source = tag_selection.selector_from_options(
        options, tagger, lambda text: _say(f"warning: {text}")
    )
    size = "" if isinstance(tagger, DumpPredictions) else f" at {tagger.image_size} px"
    _say(f"{tagger.name}: {counted(len(tagger.tags), 'tag')}{size}; thresholds: {source}")
    for sentence in tagger.evidence:
        _say(f"  {sentence}")
    reading = (options.every, options.batch_size, options.workers)
    num_tagged = _write(options, Work(jobs, tagger, selector, rejected, _say, *reading))
    return _report(options, rejected, num_tagged, num_done)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _load(options: argparse.Namespace) -> Tagger:
    """Return what gives the probabilities: a model, or a dump of them."""
    if options.dump:
        return DumpPredictions(options.dump, places.open_place(options.images, options.output))
    return onnx_tagger.load(options.model, deferred("Models.load"), device=options.device)


def _check(options: argparse.Namespace) -> None:
    """Raise UserError for options that do not go together, and for outputs that may not be replaced."""
    _check_inputs(options)
    _check_format(options)
    if options.every is not None:
        films.require_reader()
    if options.rejected:  # a list of an earlier run is replaced, any other file is kept
        require_replaceable_file(options.rejected, REJECTED, overwrite=True)
    if options.maps:
        require_replaceable_folder(options.maps, tag_maps.FOLDER, options.overwrite)
        tag_maps.require_apart(options.maps, options.paths if options.recursive else ())
    if options.output is not None and options.format in tag_table.FORMATS:
        require_replaceable_file(options.output, tag_table.KINDS[options.format], options.overwrite)
    elif options.output is not None and _is_named_as_a_table(options.output):
        raise UserError(
            f"--output belongs to --format json or csv; got {options.format}, whose sidecars go to a folder, "
            f"not to {options.output}"
        )


def _check_inputs(options: argparse.Namespace) -> None:
    if bool(options.dump) != bool(options.images):
        raise UserError("--dump DUMP and --images PLACE belong together; only one of them is given")
    if options.dump and options.model:
        raise UserError(f"--dump is instead of a model, and --images of paths; got {options.model}, too")
    if not options.dump and not options.paths:
        raise UserError("a model and pictures are needed, RELEASE PATH..., or --dump DUMP --images PLACE")
    if options.dump:
        options.paths = [options.images]


def _check_format(options: argparse.Namespace) -> None:
    if options.maps is None and options.maps_by:
        raise UserError("--maps-by belongs to --maps OUT; there is none")
    for name, reason in NOT_WITH_MAPS.items() if options.maps else ():
        if getattr(options, name):
            raise UserError(f"--maps goes without --{name}: {reason}")
    options.format = options.format or ("maps" if options.maps else "txt")
    for name, allowed in FORMATS_OF.items():
        if getattr(options, name) and options.format not in allowed:
            got = "--maps" if options.maps else options.format
            raise UserError(f"--{name} belongs to --format {' or '.join(allowed)}; got {got}")
    if options.json and options.format == "csv" and _is_on_screen(options):
        raise UserError("--json and --format csv would both print; give the table a place with -o FILE.csv")


def _is_on_screen(options: argparse.Namespace) -> bool:
    return options.format in tag_table.FORMATS and options.output is None


def _is_named_as_a_table(path: pathlib.Path) -> bool:
    names = [f".{name}" for name in tag_table.FORMATS]
    return path.suffix.lower() in names or (path.exists() and not path.is_dir())


def _sidecar_jobs(options: argparse.Namespace, folders: dict[str, Folder]) -> tuple[list[Job], int]:
    """Return the jobs, and how many images have their sidecar already."""
    jobs, num_done, num_elsewhere = picture_jobs.sidecar_jobs(
        folders.values(),
        sidecars.KINDS[options.format],
        options.output,
        replaces=options.overwrite,
        appends=options.append,
    )
    if others := picture_jobs.captions_of_other_endings(folders.values()) if options.output is None else []:
        _say(
            f"kept: {counted(len(others), 'caption')} with other endings, such as {others[0]}; a new .txt "
            "beside them goes before them where captions are read"
        )
    if num_elsewhere:
        sentence = (
            f"no sidecar can be written beside {counted(num_elsewhere, 'picture')} in archives or on another "
            "file system; -o FOLDER takes their sidecars, --format json or csv with -o FILE all tags"
        )
        if not (jobs or num_done):
            raise UserError(sentence)
        _say(sentence)
    return jobs, num_done


def _write(options: argparse.Namespace, work: Work) -> int:
    """Tag the pictures and write what was asked for; return how many pictures are in it."""
    if options.maps:
        keras_mapper = deferred("Models.localization.mapper")
        return tag_writers.write_maps(
            work, options.maps, options.maps_by or "auto", keras_mapper, options.overwrite
        )
    if options.format in tag_table.FORMATS:
        is_file = not options.dump and pathlib.Path(options.model).is_file()  # one of several in a folder
        model = options.dump or (pathlib.Path(options.model) if is_file else work.tagger.folder)
        origin = {"model": str(model.resolve()), "paths": options.paths}
        return tag_writers.write_table(work, options.format, options.output, origin)
    return tag_writers.write_sidecars(
        work,
        sidecars.KINDS[options.format],
        sidecars.Style(options.spaces, options.escape, options.rating, options.prefix),
        options.output,
        replaces=options.overwrite,
        appends=options.append,
    )


def _report(options: argparse.Namespace, rejected: Rejected, num_tagged: int, num_done: int) -> int:
    """Show what was done and set aside, and write the latter to --rejected; return the exit code."""
    rows = picture_jobs.list_rejected(rejected, options.rejected, _say)
    _say(f"{counted(num_tagged, 'picture')} tagged, {num_done} left as they were, {len(rejected)} set aside")
    if num_done and options.format in sidecars.KINDS:
        _say("those that were left have their sidecar; --overwrite or --append would tag them again")
    if options.json and not _is_on_screen(options):  # where the table is the object that is printed
        set_aside = [{"path": path, "reason": reason} for path, reason in rows]
        print_json({"tagged": num_tagged, "left_as_they_were": num_done, "set_aside": set_aside})
    if rejected and not (num_tagged or num_done):
        path, reason = rows[0]
        raise WorkError(f"none of {len(rejected)} pictures is tagged, the first: {path}: {reason}")
    if num_tagged + num_done and not _is_on_screen(options):
        by = ("--dump", options.dump) if options.dump else (options.model,)
        _say(picture_jobs.next_line(options.paths, by, options.format in sidecars.KINDS, options.output))
    return 0


if __name__ == "__main__":
    sys.exit(main())
