"""List the images of a place that no dataset can use, each with its reason, decoding every one of them.

    python tools/check_images.py --images 512px -o rejected.csv
    python tools/check_images.py --images tars -o rejected.csv   (tar or zip files, read where they lie)

Reasons are: empty, truncated, damaged (of JPEGs in libjpeg's words), no image, animated, too large. Pictures
are told by their bytes; suffixes that lie are counted. Images that are merely odd are not listed, since they
can be used: CMYK, gray, palette and 16-bit pixels become 8-bit colors, alpha is composited on white, EXIF
rotation is applied, any aspect is padded white and resized. A run that was stopped continues where it was.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import collections
import concurrent.futures
import glob
import hashlib
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence

import cv2

from Utils.command import programs
from Utils.command.cli import Parser, command, number, print_json, progress
from Utils.command.machine import num_cores
from Utils.command.text import counted
from Utils.files import locking
from Utils.files.atomic import read_json, write_json
from Utils.files.output_files import FileKind, has_header, require_replaceable_file
from Utils.images import codec, formats, image_folder, image_limits, image_reader, places
from Utils.images.places import Place

REJECTED = FileKind("a list of rejected images", has_header(image_folder.REJECTED_COLUMNS))

CHUNK = 512  # images whose result is noted together
DIGITS = 12  # of the digest in the names of notes
NOTE = {"rows": [[object]], "remarks": {"*": int}, "stamp?": str}
SMALLEST = 64  # side in pixels: the pixels do not matter here, and large JPEGs are read in less memory


def parser() -> Parser:
    """Return the argument parser."""
    parser = Parser(prog="tools/check_images.py", description=__doc__)
    parser.add_argument(
        "--images",
        required=True,
        metavar="PLACE",
        help="a folder, with all below it; tar, zip or Parquet files",
    )
    parser.add_argument(
        "-o", "--output", required=True, type=pathlib.Path, metavar="CSV", help="post_id,path,reason"
    )
    parser.add_argument(
        "--workers", type=number(least=1), default=num_cores(), help="threads (default: cores)"
    )
    image_reader.add_max_pixels(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--overwrite", action="store_true", help="replace CSV where it exists")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parser().parse_args(argv)
    require_replaceable_file(options.output, REJECTED, options.overwrite)
    with locking.sole_writer(options.output):
        return _check(options)


def _check(options: argparse.Namespace) -> int:
    require_replaceable_file(options.output, REJECTED, options.overwrite)  # another run may have ended
    output, place = options.output, places.open_place(options.images, options.output)
    image_limits.allow_pixels(options.max_pixels)
    passed_by = []
    paths = image_folder.image_paths(place, passed_by.append)
    notes = note_prefix(output, place, [str(options.max_pixels), *paths])
    rejected, wrong_suffixes = [], collections.Counter()
    chunks = check_chunks(place, paths, notes, options.workers)
    total = -(-len(paths) // CHUNK)
    for rows, remarks in progress(chunks, total=total, label="checked", unit=f"x {CHUNK} images"):
        rejected += rows
        wrong_suffixes.update(remarks)
    rejected += image_folder.unreadable_rows(place)
    image_folder.write_rejected(output, rejected)
    for note in notes.parent.glob(f".{glob.escape(output.name)}.{'?' * DIGITS}.*.json"):  # older ones, too
        note.unlink()
    for text in passed_by:
        print(text, file=sys.stderr)
    report(options, len(paths), rejected, wrong_suffixes)
    return 0


def note_prefix(output: pathlib.Path, place: Place, paths: Sequence[str]) -> pathlib.Path:
    """Return the path, beside the output, with which the notes of this work begin.

    It depends on the list of files, so that another list is checked anew.
    """
    digest = hashlib.sha256("\n".join([str(place), *paths]).encode("utf-8", "surrogateescape")).hexdigest()
    return output.with_name(f".{output.name}.{digest[:DIGITS]}")


def check_chunks(
    place: Place, paths: Sequence[str], notes: pathlib.Path, workers: int
) -> Iterator[tuple[list[tuple[int, str, str]], dict[str, int]]]:
    """Yield the rows of rejected.csv, and counts of wrong suffixes, of every chunk of paths.

    They come from a note where an earlier run left one, and its files have not changed.
    """
    cv2.setNumThreads(1)  # the threads here are the parallelism
    ids = image_folder.post_ids(paths, place)
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for start in range(0, len(paths), CHUNK):
            note = notes.with_name(f"{notes.name}.{start // CHUNK:06d}.json")
            chunk = paths[start : start + CHUNK]
            stamp = stamp_of(place, chunk)
            noted = read_json(note, NOTE) if note.is_file() else {}
            if noted.get("stamp") == stamp:
                yield noted["rows"], noted["remarks"]
                continue
            results = list(pool.map(lambda path: examine(place, path), chunk))
            rows = [
                (post_id, image_folder.printable(path), reason)
                for post_id, path, (reason, _) in zip(ids[start : start + CHUNK], chunk, results, strict=True)
                if reason
            ]
            remarks = dict(collections.Counter(remark for _, remark in results if remark))
            write_json(note, {"rows": rows, "remarks": remarks, "stamp": stamp})
            yield rows, remarks


def stamp_of(place: Place, paths: Sequence[str]) -> str:
    """Return a text that changes when one of some files does: pictures are restored between two runs."""
    digest = hashlib.sha256()
    for path in paths:
        try:
            stamp = place.stamp(path)
        except (codec.ImageError, OSError):  # gone since the place was listed: checking it says so
            stamp = None
        digest.update(f"{stamp}\n".encode())
    return digest.hexdigest()


def examine(place: Place, path: str) -> tuple[str | None, str | None]:
    """Return why an image is unfit, and how its suffix lies; None where it does not."""
    if not image_folder.is_unicode(path):
        return "file name is no UTF-8", None
    try:
        data = place.open(path)
        codec.check(data, SMALLEST)
    except codec.ImageError as error:
        return str(error), None
    except OSError as error:
        return f"cannot be read: {error.strerror}", None
    return None, formats.wrong_suffix(data, pathlib.PurePath(path).suffix)


def report(
    options: argparse.Namespace,
    num_images: int,
    rejected: Sequence[Sequence[object]],
    wrong_suffixes: Mapping[str, int],
) -> None:
    """Print how many images are unfit, by reason, and how many suffixes lie."""
    reasons = dict(collections.Counter(str(why) for _, _, why in rejected).most_common())
    if options.json:
        counts = {"images": num_images, "rejected": len(rejected), "reasons": reasons}
        print_json(counts | {"wrong_suffixes": dict(wrong_suffixes)})
        return
    lines = [f"{count:>10,} {why}" for why, count in reasons.items()]
    lines += [f"{count:>10,} {remark}: not rejected" for remark, count in sorted(wrong_suffixes.items())]
    print(
        "\n".join([*lines, f"{counted(num_images, 'image')}, {len(rejected):,} rejected: {options.output}"])
    )
    if rejected:
        print(f"{programs.next_line('write_records', 'DATASET', '--check')}   (leaves them out)")


if __name__ == "__main__":
    sys.exit(main())
