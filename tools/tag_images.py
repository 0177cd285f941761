"""Tag pictures with a release: captions for trainers, sidecars for Hydrus, or one JSON or CSV of all.

txt writes x.txt beside every picture, tags between commas, the likeliest first; hydrus writes x.jpg.txt,
a tag a line, with the namespaces character: series: creator: meta: rating:. Of pictures that share a stem,
as 1.jpg and 1.png do, the first by name has 1.txt and every other its whole name, 1.png.txt. json and csv
hold probabilities and go to -o, or to the screen. Names stay as in selected_tags.csv unless --spaces.

Pictures that have their sidecar are left alone, so the same command goes on where it was stopped. What cannot
be read is set aside and listed; the exit code is 1 only where nothing could be tagged.
"""

import csv
import hashlib
import os
import pathlib
import sys

from Utils.command.backend import deferred
from Utils.command.cli import Parser, UserError, command, progress
from Utils.files.atomic import replacing, require_absent
from Utils.images import image_folder, image_reader
from Utils.serving import onnx_tagger, tag_selection, tag_table
from Utils.tags import sidecars, tag_list

FORMATS = (*sidecars.KINDS, *tag_table.FORMATS)
SHOWN = 20  # of the pictures set aside, on the screen
TEXT_OPTIONS = {"spaces": FORMATS[:2], "prefix": FORMATS[:2], "append": FORMATS[:2], "escape": ("txt",),
                "rating": ("txt",), "output": tag_table.FORMATS}  # fmt: skip


def parser():
    """Return the argument parser."""
    made = Parser(prog="tag_images.py", description=__doc__)
    made.add_argument("model", metavar="RELEASE|RUN|FILE.keras", type=pathlib.Path)
    made.add_argument("paths", metavar="PATH", nargs="+", type=pathlib.Path, help="pictures and folders")
    made.add_argument("--format", choices=FORMATS, default="txt", help="what to write (txt)")
    made.add_argument("-o", "--output", type=pathlib.Path, metavar="FILE", help="file of json or csv")
    made.add_argument(
        "--rejected", type=pathlib.Path, metavar="CSV", help="list what was set aside: path,reason"
    )
    kept = made.add_mutually_exclusive_group()
    kept.add_argument("--overwrite", action="store_true", help="replace what is there")
    kept.add_argument("--append", action="store_true", help="add to sidecars what they lack")
    tag_selection.add_arguments(made)
    made.add_argument(
        "--spaces", action="store_true", help="for underscores; emoticons such as ^_^ keep theirs"
    )
    made.add_argument(
        "--escape", action="store_true", help="a backslash before parentheses, for prompts (txt)"
    )
    made.add_argument("--rating", action="store_true", help="the rating as first tag, rating:general (txt)")
    made.add_argument(
        "--prefix", default="", metavar="TEXT", help="put before the tags, such as a trigger word"
    )
    made.add_argument(
        "--recursive", action="store_true", default=True, help="folders with all below (default)"
    )
    made.add_argument(
        "--no-recursive", action="store_false", dest="recursive", help="only their own pictures"
    )
    made.add_argument("--batch-size", type=int, default=8, help="pictures at a time (8)")
    made.add_argument("--workers", type=int, default=0, help="threads that decode (one a core)")
    return made


@command
def main(argv=None):
    """Run the command."""
    options = parser().parse_args(argv)
    _check(options)
    places, rejected = _places(options.paths, options.recursive)
    if options.format in sidecars.KINDS:
        write, (jobs, kept) = _write_sidecars, _sidecar_jobs(options, places)
    else:
        jobs = [(folder, name) for folder, (wanted, _) in places.items() for name in wanted]
        write, kept = _write_table, 0
    del places  # many names
    if not jobs and not rejected:
        _say(f"all {kept} pictures have their sidecar; --overwrite or --append would tag them again")
        _list(rejected, options.rejected)
        return 0
    tagger = onnx_tagger.load(options.model, deferred("Models.load"))
    chooser, source = tag_selection.of_options(options, tagger, lambda text: _say(f"warning: {text}"))
    _say(f"{tagger.name}: {len(tagger.tags)} tags at {tagger.image_size} px; thresholds: {source}")
    tagged = write(options, jobs, tagger, chooser, rejected)
    _list(rejected, options.rejected)
    _say(f"{tagged} pictures tagged, {kept} left as they were, {len(rejected)} set aside")
    return 1 if rejected and not tagged and not kept else 0


def _say(text):
    print(text, file=sys.stderr)


def _check(options):
    for name, formats in TEXT_OPTIONS.items():
        if getattr(options, name) and options.format not in formats:
            raise UserError(f"--{name} belongs to --format {' or '.join(formats)}; got {options.format}")
    for name, least in (("batch_size", 1), ("workers", 0)):
        if getattr(options, name) < least:
            flag = name.replace("_", "-")
            raise UserError(f"--{flag} must be {least} or more; got {getattr(options, name)}")
    if options.output is not None:
        require_absent(options.output, options.overwrite)


# Which pictures


def _places(paths, recursive):
    """Return ``({folder: (its pictures to tag, all its file names)}, [(path, reason)])``."""
    places, rejected, seen = {}, [], {}
    for path in paths:
        if path.is_dir():
            for top, names in image_folder.walk(path):
                _note(places, seen, path / top, names, filter(image_folder.is_image, names))
                if not recursive:
                    break
        elif path.exists() and image_folder.is_image(path.name):
            _note(places, seen, path.parent, None, [path.name])
        elif path.exists():
            rejected.append((path, f"not named as a picture, {' '.join(image_folder.SUFFIXES)}"))
        else:
            raise UserError(f"there is no picture and no folder {path}")
    if not any(wanted for wanted, _ in places.values()) and not rejected:
        raise UserError(
            f"{', '.join(map(str, paths))}: no pictures there; they end in {' '.join(image_folder.SUFFIXES)}"
            f"{'' if recursive else ', and --no-recursive looks at no folder below'}"
        )
    return places, rejected


def _note(places, seen, folder, names, wanted):
    """Add pictures of a folder, each once however the folder is reached."""
    folder = seen.setdefault(os.path.realpath(folder), folder)
    if folder not in places:
        places[folder] = ({}, set(os.listdir(folder) if names is None else names))  # noqa: PTH208
    places[folder][0].update(dict.fromkeys(wanted))


def _path(job):
    """Return the path of a job's picture; a job begins with its folder and its name."""
    return f"{job[0]}/{job[1]}"


def _batches(jobs, tagger, options, rejected):
    """Yield ``(jobs, what each gets)`` with a progress bar."""
    found = image_reader.batches(
        jobs,
        tagger.image_size,
        options.batch_size,
        path_of=_path,
        readers=options.workers or len(os.sched_getaffinity(0)),
    )
    total = -(-len(jobs) // options.batch_size)
    for good, pictures, bad in progress(found, total=total, label="tag", unit="batches"):
        rejected += [(_path(job), reason) for job, reason in bad]
        yield good, tagger.probabilities(pictures)


# Sidecars


def _sidecar_jobs(options, places):
    """Return ``([(folder, picture, its sidecar)], how many have theirs)``."""
    kind, jobs, kept = sidecars.KINDS[options.format], [], 0
    for folder, (wanted, names) in places.items():
        if not os.access(folder, os.W_OK):
            raise UserError(f"{folder} cannot be written to; --format json or csv with -o writes elsewhere")
        taken = () if options.overwrite else names
        sidecar_of = sidecars.sidecar_names(filter(image_folder.is_image, names), kind, taken)
        for name, sidecar in sidecar_of.items():
            done = sidecar in names and sidecars.is_written(folder / sidecar)
            if name in wanted and done and not (options.overwrite or options.append):
                kept += 1
            elif name in wanted:
                jobs.append((folder, name, sidecar))
    return jobs, kept


def _write_sidecars(options, jobs, tagger, chooser, rejected):
    """Write a sidecar for every job; return how many."""
    kind, tagged = sidecars.KINDS[options.format], 0
    style = sidecars.Style(options.spaces, options.escape, options.rating, options.prefix)
    sidecars.require_tellable(tagger.tags["name"], kind)
    for good, probabilities in _batches(jobs, tagger, options, rejected):
        for job, row in zip(good, probabilities, strict=True):
            folder, _, sidecar = job
            try:
                sidecars.write(folder / sidecar, kind.words(chooser.choose(row), style), kind, options.append)
                tagged += 1
            except (OSError, UserError) as error:
                rejected.append((_path(job), f"the sidecar cannot be written: {error}"))
    return tagged


# Tables


def _write_table(options, jobs, tagger, chooser, rejected):
    """Write the table of all jobs to the output or the screen; return how many are in it."""
    if options.output is None:
        found = [0]
        tag_table.write(
            _counted(_records(options, jobs, tagger, chooser, rejected), found), sys.stdout, options.format
        )
        return found[0]
    with tag_table.Journal(options.output, _settings(options, tagger, chooser)) as journal:
        left = [job for job in jobs if image_folder.shown(_path(job)) not in journal.done]
        for batch in _records(options, left, tagger, chooser, rejected):
            journal.add(batch)
        journal.finish(options.format)
    return len(journal.done)


def _counted(batches, count):
    for batch in batches:
        count[0] += len(batch)
        yield from batch


def _records(options, jobs, tagger, chooser, rejected):
    for good, probabilities in _batches(jobs, tagger, options, rejected):
        found = zip(good, probabilities, strict=True)
        yield [tag_table.record(_path(job), chooser.choose(row)) for job, row in found]


def _settings(options, tagger, chooser):
    """Return what the records of a table depend on."""
    chosen = hashlib.sha256(chooser.thresholds.tobytes() + chooser.allowed.tobytes()).hexdigest()
    return {
        "model": str(options.model.resolve()),
        "tags": tag_list.digest(tagger.tags),
        "chosen": chosen,
        "limits": [options.mcut, options.max_tags],
        "paths": [str(path) for path in options.paths],
    }


def _list(rejected, path):
    """Show what was set aside, and write it as CSV where that is asked for."""
    rejected = [(image_folder.shown(str(picture)), reason) for picture, reason in rejected]
    for picture, reason in rejected[:SHOWN]:
        _say(f"set aside: {picture}: {reason}")
    if len(rejected) > SHOWN:
        _say(f"and {len(rejected) - SHOWN} more{'' if path else '; --rejected FILE.csv lists all'}")
    if path is not None:
        with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(("path", "reason"))
            writer.writerows(rejected)


if __name__ == "__main__":
    sys.exit(main())
