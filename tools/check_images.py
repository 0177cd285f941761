"""List the images of a folder that no dataset can use, each with its reason, decoding every one of them.

    python tools/check_images.py --images 512px -o rejected.csv

Reasons are: empty, truncated, damaged, no image, data of another format than the name says, animated, too
large. Images that are merely odd are not listed, since they can be used: CMYK, gray, palette and 16-bit
pixels become 8-bit colors, alpha is composited on white, EXIF rotation is applied, any aspect is padded white
and resized. A run that was stopped continues where it was.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import collections
import concurrent.futures
import hashlib
import pathlib
import sys
from collections.abc import Iterator, Sequence

import cv2

from Utils.command.cli import Parser, command, number, print_json, progress
from Utils.command.machine import num_cores
from Utils.files.atomic import read_json, write_json
from Utils.files.outputs import FileKind, has_header, require_replaceable_file
from Utils.images import codec, image_folder, image_reader

REJECTED = FileKind("a list of rejected images", has_header(image_folder.REJECTED_COLUMNS))

CHUNK = 512  # images whose result is noted together


def parser() -> Parser:
    """Return the argument parser."""
    parser = Parser(prog="tools/check_images.py", description=__doc__)
    parser.add_argument("--images", required=True, metavar="DIR", help="the image folder, with all below it")
    parser.add_argument("-o", "--output", required=True, metavar="CSV", help="post_id,path,reason")
    parser.add_argument(
        "--workers", type=number(least=1), default=num_cores(), help="threads (default: cores)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--overwrite", action="store_true", help="replace CSV where it exists")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parser().parse_args(argv)
    require_replaceable_file(options.output, REJECTED, options.overwrite)
    output, root = pathlib.Path(options.output), pathlib.Path(options.images)
    paths = image_folder.image_paths(root)
    notes = note_prefix(output, root, paths)
    rejected = []
    chunks = check_chunks(root, paths, notes, options.workers)
    total = -(-len(paths) // CHUNK)
    for rows in progress(chunks, total=total, label="checked", unit=f"x {CHUNK} images"):
        rejected += rows
    image_folder.write_rejected(output, rejected)
    for note in notes.parent.glob(f"{notes.name}.*"):
        note.unlink()
    report(options, len(paths), rejected)
    return 0


def note_prefix(output: pathlib.Path, root: pathlib.Path, paths: Sequence[str]) -> pathlib.Path:
    """Return the path, beside the output, with which the notes of this work begin.

    It depends on the list of files, so that a folder that changed is checked anew.
    """
    digest = hashlib.sha256("\n".join([str(root), *paths]).encode("utf-8", "surrogateescape")).hexdigest()
    return output.with_name(f".{output.name}.{digest[:12]}")


def check_chunks(
    root: pathlib.Path, paths: Sequence[str], notes: pathlib.Path, workers: int
) -> Iterator[list[tuple[int, str, str]]]:
    """Yield the rows of rejected.csv of every chunk of paths; from its note where an earlier run left one."""
    cv2.setNumThreads(1)  # the threads here are the parallelism
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(paths), CHUNK):
            note = notes.with_name(f"{notes.name}.{start // CHUNK:06d}.json")
            if note.is_file():
                yield read_json(note)
                continue
            chunk = paths[start : start + CHUNK]
            reasons = pool.map(lambda path: reason(root, path), chunk)
            rows = [
                (image_folder.post_id(path), image_folder.printable(path), why)
                for path, why in zip(chunk, reasons, strict=True)
                if why
            ]
            write_json(note, rows)
            yield rows


def reason(root: pathlib.Path, path: str) -> str | None:
    """Return why an image is unfit; None where it is fit."""
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


def report(options: argparse.Namespace, num_images: int, rejected: Sequence[Sequence[object]]) -> None:
    """Print how many images are unfit, by reason."""
    reasons = dict(collections.Counter(str(why) for _, _, why in rejected).most_common())
    if options.json:
        print_json({"images": num_images, "rejected": len(rejected), "reasons": reasons})
        return
    lines = [f"{count:>10,} {why}" for why, count in reasons.items()]
    print("\n".join([*lines, f"{num_images:,} images, {len(rejected):,} rejected: {options.output}"]))


if __name__ == "__main__":
    sys.exit(main())
