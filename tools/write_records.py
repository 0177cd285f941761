"""Pack the images of a dataset folder into TFRecord shards, in parallel; interrupted work continues.

    python tools/write_records.py dataset
    python tools/write_records.py dataset --images elsewhere            (the pictures were moved)
    python tools/write_records.py dataset --part 0/8                    (one of eight machines)
    python tools/write_records.py newer --labels-only --reuse dataset   (other labels, the same images)

JPEGs that are square, RGB and of the dataset's image size pass through byte for byte; others are padded white
and resized. Pictures are told by their bytes; suffixes that lie are counted. Broken files are listed in
rejected.csv. JPEGs that pass through are not decoded: --check, or tools/check_images.py, finds those that are
damaged inside. Which post goes into which shard depends on the posts and the seed alone: train in one fixed
random order, the other splits by post id. Every post of posts.parquet ends up either in a shard (and in
ids.npy) or in rejected.csv. With --reuse the old shards are verified first: checksums of records, SHA-256 of
shards, and that every record is of the post that ids.npy says. --overwrite writes a whole dataset beside the
old one, which stays until the new one is complete.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import collections
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from Utils.command import programs
from Utils.command.cli import Parser, UserError, WorkError, command, number, print_json, progress
from Utils.command.machine import num_cores
from Utils.command.text import counted
from Utils.data import dataset_folder, packing, parquet_copy, shard_writer
from Utils.data.dataset_posts import Posts
from Utils.evaluation import same_pictures
from Utils.files import job_engines
from Utils.files.atomic import git_commit, is_remote, to_path
from Utils.files.output_folders import replacing_folder
from Utils.images import animation, image_limits, image_reader

COPIED_FROM = 4  # shards: fewer read Parquet files again for each of them
FEW = 1000  # up to so many posts, starting another process takes longer than packing


def parser() -> Parser:
    """Return the argument parser."""
    parser = Parser(prog="tools/write_records.py", description=__doc__)
    parser.add_argument("dataset", help="dataset folder made by tools/select_tags.py")
    parser.add_argument(
        "--images", metavar="PLACE", help="the pictures, where they are not where select_tags saw them"
    )
    parser.add_argument(
        "--workers",
        type=number(least=1),
        default=num_cores(),
        help="shards at a time (default: cores)",
    )
    parser.add_argument(
        "--shard-size", type=number(least=1), default=1024, help="posts a shard (default: 1024)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the order of the training posts (default: 0)")
    parser.add_argument(
        "--part",
        type=_part,
        default=(0, 1),
        metavar="I/N",
        help="write only the shards with number modulo N = I (from 0)",
    )
    parser.add_argument(
        "--labels-only", action="store_true", help="take the images from the records of --reuse as they are"
    )
    parser.add_argument(
        "--check", action="store_true", help="decode the JPEGs that pass through, too, to find damaged ones"
    )
    image_reader.add_max_pixels(parser)
    parser.add_argument(
        "--frames",
        choices=animation.CHOICES,
        help="of animated pictures: the first, the middle one, or each a record; default: rejected",
    )
    parser.add_argument("--reuse", metavar="OLD_DATASET", help="a dataset folder with records of these posts")
    parser.add_argument(
        "--engine",
        choices=job_engines.ENGINES,
        default="local",
        help="processes here, or tasks of a Ray cluster",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument(
        "--overwrite", action="store_true", help="write all shards again; the old ones stay until then"
    )
    return parser


def _part(text: str) -> tuple[int, int]:
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise argparse.ArgumentTypeError(f"is I/N with I from 0 to N - 1, as 0/4; got {text!r}")
    return int(index), int(count)


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parser().parse_args(argv)
    check(options)
    folder = to_path(options.dataset)
    manifest = packing.open_manifest(folder)
    if options.overwrite and manifest["records"] and is_remote(folder):
        raise UserError(
            f"--overwrite replaces the records of a dataset on this machine only, and {folder} stays as it "
            "is: run select_tags and write_records for another place, then delete this one"
        )
    options.images_given = bool(options.images)
    if not (options.images or options.reuse):
        options.images = recorded_images(folder, manifest)
    reused = packing.ReusedDataset(options.reuse, folder, manifest) if options.reuse else None
    if reused:
        overlap = same_pictures.compare_datasets(*map(dataset_folder.load, (folder, options.reuse)))
        overlap.require(f"--reuse {options.reuse}", folder)
    if options.overwrite and manifest["records"]:
        with replacing_folder(folder, dataset_folder.DATASET, overwrite=True) as fresh:
            manifest = packing.copy_selection(folder, fresh)
            shards, _ = write_shards(fresh, manifest, reused, options)
            manifest = packing.finish(fresh, manifest, shards, packing_record(options))
        return report(manifest, options, f"wrote {folder}")
    with packing.held(folder, alone=options.overwrite):
        return pack_here(folder, packing.open_manifest(folder), reused, options)


def pack_here(
    folder: pathlib.Path,
    manifest: Mapping[str, Any],
    reused: packing.ReusedDataset | None,
    options: argparse.Namespace,
) -> int:
    """Begin or continue the records of a dataset in its own folder; returns the exit code."""
    if options.overwrite:
        manifest = packing.clear(folder, manifest)
    if manifest["records"] and not (folder / packing.PROGRESS).exists():
        return confirm(folder, manifest, options)
    try:
        shards, missing = write_shards(folder, manifest, reused, options)
        if missing:
            return report_missing(options, missing, len(shards))
        manifest = packing.finish(folder, manifest, shards, packing_record(options))
    except FileNotFoundError:  # another run wrote the last shard, finished, and removed the notes
        manifest = packing.open_manifest(folder)
        if not manifest["records"]:
            raise
        return confirm(folder, manifest, options)
    return report(manifest, options, f"wrote {folder}")


def write_shards(
    folder: pathlib.Path,
    manifest: Mapping[str, Any],
    reused: packing.ReusedDataset | None,
    options: argparse.Namespace,
) -> tuple[list[packing.Shard], int]:
    """Write the missing shards of this part; return all shards, and how many are left to other parts."""
    posts = Posts(folder)
    posts.require_valid(manifest["num_labels"])
    if reused:
        reused.verify()
    shards = packing.divide(folder, manifest["name"], posts, settings(options))
    pack(folder, manifest, posts, shards, reused, options)
    return shards, len(packing.without_note(folder, shards))


def check(options: argparse.Namespace) -> None:
    """Raise UserError for options that contradict each other."""
    if options.labels_only != bool(options.reuse):
        raise UserError("--labels-only and --reuse OLD_DATASET belong together; only one of them is given")
    if options.labels_only and (options.check or options.frames):
        raise UserError(
            "--labels-only takes the images of --reuse as they are: leave --check and --frames out"
        )
    if options.overwrite and options.part != (0, 1):
        raise UserError(
            "--overwrite with --part would remove what other parts wrote; delete the shards first"
        )
    job_engines.require_engine(options.engine)


def recorded_images(folder: pathlib.Path, manifest: Mapping[str, Any]) -> str:
    """Return where the pictures are by dataset.json; UserError where it does not say."""
    images = packing.images_of(manifest)
    if images is None:
        raise UserError(
            f"{folder / dataset_folder.MANIFEST} does not say where the pictures are (select_tags of today "
            "notes it); --images DIR is needed, the image folder given to tools/select_tags.py"
        )
    return images


def settings(options: argparse.Namespace) -> dict[str, int]:
    """Return the options that decide what is written, which may not change before all is written."""
    limit = {"max_pixels": options.max_pixels} if options.max_pixels != image_limits.MAX_PIXELS else {}
    check = {"check": 1} if options.check else {}
    frames = {"frames": options.frames} if options.frames else {}
    return {"shard_size": options.shard_size, "seed": options.seed, **limit, **check, **frames}


def packing_record(options: argparse.Namespace) -> dict[str, Any]:
    """Return how the shards were made, for the manifest."""
    reuse = {"reuse": options.reuse} if options.reuse else {}
    tool = {"tool": "tools/write_records.py", "git": git_commit(), "images": options.images}
    return {**tool, **reuse, **settings(options)}


def pack(
    folder: pathlib.Path,
    manifest: Mapping[str, Any],
    posts: Posts,
    shards: Sequence[packing.Shard],
    reused: packing.ReusedDataset | None,
    options: argparse.Namespace,
) -> None:
    """Write the missing shards of this part, each a job of its own."""
    index, parts = options.part
    own = [shard for shard in shards if shard.number % parts == index]
    missing = packing.without_note(folder, own)
    if not missing:
        return
    place = None
    if options.images:
        place = posts.open_images(options.images, options.dataset, options.images_given)
        if len(own) >= COPIED_FROM:
            paths = posts.paths(np.concatenate([shard.rows for shard in own]))
            copies = folder / packing.PROGRESS / f"{parquet_copy.FOLDER}{index}"
            place = parquet_copy.readable_in_any_order(place, paths, copies)
    how = (options.check, options.max_pixels, options.frames, not options.images_given)
    jobs = (packing.job(shard, posts, folder, manifest, place, reused, *how) for shard in missing)
    workers = 1 if sum(len(shard.rows) for shard in missing) < FEW else options.workers
    notes = job_engines.run(shard_writer.write_shard, jobs, options.engine, workers)
    for _ in progress(notes, total=len(missing), label="records", unit="shards"):
        pass


def confirm(folder: pathlib.Path, manifest: Mapping[str, Any], options: argparse.Namespace) -> int:
    """Answer a run on a finished dataset: compare the settings and the sizes of the shards."""
    packing.require_same(folder, manifest["made"]["write_records"], settings(options))
    shards = [shard for entry in manifest["records"].values() for shard in entry["shards"]]
    for shard in shards:
        path = folder / shard["file"]
        size = path.stat().st_size if path.is_file() else None
        if size != shard["bytes"]:
            state = "is gone" if size is None else f"has {size} bytes"
            raise WorkError(
                f"{path} {state}, dataset.json says {shard['bytes']}; --overwrite writes all shards again"
            )
    records = sum(entry["records"] for entry in manifest["records"].values())
    size = f"{counted(records, 'record')} in {counted(len(shards), 'shard')}"
    return report(manifest, options, f"{folder} is complete: {size}; nothing to do")


def report_missing(options: argparse.Namespace, missing: int, shards: int) -> int:
    """Print that other parts have shards to write."""
    if options.json:
        print_json({"dataset": options.dataset, "complete": False, "shards": shards, "missing": missing})
    else:
        part = "/".join(map(str, options.part))
        print(f"part {part} is done; {missing} of {counted(shards, 'shard')} left to other parts")
    return 0


def report(manifest: Mapping[str, Any], options: argparse.Namespace, last_line: str) -> int:
    """Print what the dataset holds: records by split, rejected images by reason."""
    records = manifest["records"]
    rejected = collections.Counter()
    for entry in records.values():
        rejected.update(entry.get("reasons", {}))
    wrong_suffixes = manifest["made"]["write_records"].get("wrong_suffixes", {})
    reasons = dict(sorted(rejected.items(), key=lambda pair: (-pair[1], pair[0])))
    if options.json:
        counts = {split: entry["records"] for split, entry in records.items()}
        answer = {"dataset": options.dataset, "complete": True, "records": counts, "rejected": reasons}
        print_json(answer | ({"wrong_suffixes": wrong_suffixes} if wrong_suffixes else {}))
        return 0
    lines = [
        f"{split:<12}{entry['records']:>10,} records in {counted(len(entry['shards']), 'shard')}"
        for split, entry in records.items()
    ]
    lines += [f"{'rejected':<12}{count:>10,} {reason}" for reason, count in reasons.items()]
    lines += [f"{'note':<12}{count:>10,} {remark}" for remark, count in wrong_suffixes.items()]
    words = "finetune", "--dataset", options.dataset, "--init-from", "SOURCE", "--run-dir", "runs/mine"
    source = "SOURCE: a run, a release, a timm folder or a hub id"
    next_line = f"{programs.next_line('train', *words)}   ({source}; small instead of finetune needs none)"
    print("\n".join([*lines, last_line, next_line]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
