"""List the images of a folder that no dataset can use, each with its reason, decoding every one of them.

    python tools/check_images.py --images 512px -o rejected.csv

Reasons are: empty, truncated, damaged, no image, data of another format than the name says, animated, too
large. What is merely odd is not listed, since it is handled: CMYK, gray, palette and 16-bit pixels become
8-bit colors, alpha is composited on white, EXIF rotation is applied, any aspect is padded white and resized.
A run that was stopped goes on where it was.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import collections
import concurrent.futures
import hashlib
import pathlib
import sys

import cv2

from Utils.command.cli import Parser, UserError, command, print_json, progress
from Utils.command.machine import num_cores
from Utils.files.atomic import read_json, require_absent, write_json
from Utils.images import codec, image_folder, image_reader

CHUNK = 512  # images between two notes


def parser():
    """Return the argument parser."""
    words = Parser(prog="tools/check_images.py", description=__doc__)
    words.add_argument("--images", required=True, metavar="DIR", help="the image folder, with all below it")
    words.add_argument("-o", "--output", required=True, metavar="CSV", help="post_id,path,reason")
    words.add_argument("--workers", type=int, default=num_cores(), help="threads (default: cores)")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    words.add_argument("--overwrite", action="store_true", help="replace CSV where it exists")
    return words


@command
def main(argv=None):
    """Run the command; returns the exit code."""
    options = parser().parse_args(argv)
    if options.workers < 1:
        raise UserError(f"--workers must be at least 1, not {options.workers}")
    require_absent(options.output, options.overwrite)
    output, root = pathlib.Path(options.output), pathlib.Path(options.images)
    paths = image_folder.image_paths(root)
    notes = notes_of(output, root, paths)
    found = []
    for rejected in progress(checked(root, paths, notes, options.workers), total=-(-len(paths) // CHUNK),
                             label="checked", unit=f"{CHUNK} images"):  # fmt: skip
        found += rejected
    image_folder.write_rejected(output, found)
    for note in notes.parent.glob(f"{notes.name}.*"):
        note.unlink()
    report(options, len(paths), found)
    return 0


def notes_of(output, root, paths):
    """Return the path that notes of this very work begin with: beside the output, by the list of files."""
    digest = hashlib.sha256("\n".join([str(root), *paths]).encode("utf-8", "surrogateescape")).hexdigest()
    return output.with_name(f".{output.name}.{digest[:12]}")


def checked(root, paths, notes, workers):
    """Yield what is rejected of every chunk of paths, from its note where there is one."""
    cv2.setNumThreads(1)  # the threads here are the parallelism
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for at in range(0, len(paths), CHUNK):
            note = notes.with_name(f"{notes.name}.{at // CHUNK:06d}.json")
            if note.is_file():
                yield read_json(note)
                continue
            part = paths[at : at + CHUNK]
            reasons = pool.map(lambda path: reason(root, path), part)
            rejected = [
                (image_folder.post_id(path), image_folder.printable(path), why)
                for path, why in zip(part, reasons, strict=True)
                if why
            ]
            write_json(note, rejected)
            yield rejected


def reason(root, path):
    """Return why an image is unfit, None where it is not."""
    if not image_folder.is_unicode(path):
        return "file name is no UTF-8"
    place = root / path
    try:
        codec.check(image_reader.read_bytes(place), place.suffix)
    except codec.ImageError as error:
        return str(error)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return None


def report(options, number, rejected):
    """Say how many images are unfit for what."""
    reasons = dict(collections.Counter(why for _, _, why in rejected).most_common())
    if options.json:
        return print_json({"images": number, "rejected": len(rejected), "reasons": reasons})
    lines = [f"{count:>10,} {why}" for why, count in reasons.items()]
    print("\n".join([*lines, f"{number:,} images, {len(rejected):,} rejected: {options.output}"]))
    return None


if __name__ == "__main__":
    sys.exit(main())
