"""Pack the images of a dataset folder into TFRecord shards, in parallel; interrupted work continues.

    python tools/write_records.py dataset --images 512px
    python tools/write_records.py dataset --images 512px --part 0/8     (one of eight machines)

JPEGs that are square, RGB and of the dataset's image size pass through byte for byte; others are padded white
and resized. Broken files are listed in rejected.csv. Which post goes into which shard depends on the posts
and the seed alone: train in one fixed random order, the other splits by post id. Every post of posts.parquet
ends up either in a shard (and in ids.npy) or in rejected.csv.
"""

import collections
import concurrent.futures
import csv
import dataclasses
import io
import itertools
import os
import pathlib
import shutil
import sys

import cv2
import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from Utils import images
from Utils.commands import Parser, UserError, WorkError, command, progress
from Utils.definitions import SPLITS
from Utils.files import git_commit, read_json, replacing, require_file, sha256_of, write_json

PROGRESS = ".progress"  # in the dataset folder while shards are missing: plan.json and one JSON a shard
AHEAD = 8  # images in work or waiting for their turn, per worker


def parser():
    """Return the argument parser."""
    words = Parser(prog="tools/write_records.py", description=__doc__)
    words.add_argument("dataset", help="dataset folder made by tools/select_tags.py")
    words.add_argument("--images", required=True, metavar="DIR", help="the image folder given to select_tags")
    words.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="threads (default: all cores)"
    )
    words.add_argument("--shard-size", type=int, default=1024, help="posts a shard (default: 1024)")
    words.add_argument("--seed", type=int, default=0, help="of the order of the training posts (default: 0)")
    words.add_argument(
        "--part", metavar="I/N", help="write only the shards with number modulo N = I (from 0)"
    )
    words.add_argument("--overwrite", action="store_true", help="start afresh where there are shards already")
    return words


@command
def main(argv=None):
    """Run the command; returns the exit code."""
    options = parser().parse_args(argv)
    part = check(options)
    folder = pathlib.Path(options.dataset)
    manifest = open_dataset(folder)
    if options.overwrite:
        manifest = clear(folder, manifest)
    if manifest["records"] and not (folder / PROGRESS).exists():
        return confirm(folder, manifest, options)
    posts = Posts(folder)
    shards = plan(folder, manifest, posts, options)
    pending = [
        shard for shard in shards if shard.number % part[1] == part[0] and not shard.note(folder).is_file()
    ]
    if pending:
        look(posts, pathlib.Path(options.images))
        pack(pending, posts, folder, manifest, options)
    missing = sum(not shard.note(folder).is_file() for shard in shards)
    if missing:
        print(f"part {options.part} is done; {missing} of {len(shards)} shards are left to other parts")
        return 0
    try:
        print(finish(folder, manifest, shards, options))
    except FileNotFoundError:  # another part found all shards done in the same moment and swept up
        return confirm(folder, open_dataset(folder), options)
    return 0


def check(options):
    """Return ``(I, N)`` of --part, (0, 1) without; UserError for numbers out of range."""
    for name in ("workers", "shard_size"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(options, name)}")
    if not options.part:
        return 0, 1
    if options.overwrite:
        raise UserError(
            "--overwrite with --part would remove what other parts wrote; delete the shards first"
        )
    index, _, count = options.part.partition("/")
    if not (index.isdecimal() and count.isdecimal() and int(index) < int(count)):
        raise UserError(f"--part is I/N with I from 0 to N - 1, as 0/4; it is {options.part!r}")
    return int(index), int(count)


def open_dataset(folder):
    """Return dataset.json; UserError where select_tags made no such folder."""
    require_file(folder / "dataset.json", "dataset.json of a folder made by tools/select_tags.py")
    require_file(folder / "posts.parquet", "the posts of the dataset (posts.parquet)")
    return read_json(folder / "dataset.json")


def clear(folder, manifest):
    """Remove every shard; the manifest goes first, so that it never speaks of shards that are gone."""
    made = {name: value for name, value in manifest["made"].items() if name != "write_records"}
    manifest = {**manifest, "made": made, "records": None}
    write_json(folder / "dataset.json", manifest)
    shutil.rmtree(folder / PROGRESS, ignore_errors=True)
    for split in SPLITS:
        shutil.rmtree(folder / split, ignore_errors=True)
    return manifest


def confirm(folder, manifest, options):
    """Answer a run on a finished dataset: compare arguments and the sizes of the shards."""
    same_arguments(folder, manifest["made"]["write_records"], arguments(options))
    shards = [shard for split in manifest["records"].values() for shard in split["shards"]]
    for shard in shards:
        path = folder / shard["file"]
        size = path.stat().st_size if path.is_file() else None
        if size != shard["bytes"]:
            found = "is gone" if size is None else f"has {size} bytes"
            raise WorkError(
                f"{path} {found}, dataset.json says {shard['bytes']}; --overwrite writes all shards anew"
            )
    records = sum(split["records"] for split in manifest["records"].values())
    print(f"{folder} is complete: {records} records in {len(shards)} shards; nothing to do")
    return 0


def arguments(options):
    """Return the arguments that decide what is written."""
    return {"shard_size": options.shard_size, "seed": options.seed}


def same_arguments(folder, before, now):
    """Raise UserError where work would continue with other arguments than it was begun with."""
    for name, value in now.items():
        if before.get(name) != value:
            raise UserError(
                f"{folder} was begun with {name} = {before.get(name)}, now it is {value}; give the same, "
                "or --overwrite to start afresh"
            )


class Posts:
    """posts.parquet in memory, in its own order (by post id)."""

    def __init__(self, folder):
        self.path = folder / "posts.parquet"
        table = pq.read_table(self.path).combine_chunks()
        self.ids = table["post_id"].to_numpy()
        self.splits = table["split"]
        self._paths, self._labels = table["path"], table["label_indexes"]

    def rows(self, split, seed):
        """Return the rows of a split in record order: train shuffled by the seed, others by post id."""
        rows = np.flatnonzero(self.splits.to_numpy(zero_copy_only=False) == split)
        keys = scrambled(self.ids[rows], seed) if split == "train" else self.ids[rows]
        return rows[np.argsort(keys, kind="stable")]

    def take(self, rows):
        """Yield ``(post id, path, label indexes)`` of some rows."""
        paths, labels = self._paths.take(rows).to_pylist(), self._labels.take(rows).to_pylist()
        yield from zip(self.ids[rows].tolist(), paths, labels, strict=True)


def scrambled(ids, seed):
    """Return a pseudo-random key for every post id: uint64, the splitmix64 of id and seed.

    Sorting by it shuffles; a post's place among others depends on nothing but their ids and the seed.
    """
    value = ids.astype(np.uint64) + np.uint64((seed * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        value = (value ^ (value >> np.uint64(shift))) * np.uint64(factor)
    return value ^ (value >> np.uint64(31))


@dataclasses.dataclass(frozen=True)
class Shard:
    """One TFRecord file to be: which posts, in which order."""

    number: int  # over all splits, for --part
    split: str
    file: str  # relative to the dataset folder
    rows: np.ndarray

    def note(self, folder):
        """Return the path of the JSON that says that this shard is written and what is in it."""
        return folder / PROGRESS / f"{self.number:06d}.json"


def plan(folder, manifest, posts, options):
    """Divide the posts into shards; note the plan, or check that it is the one noted before."""
    shards = []
    for split in SPLITS:
        rows = posts.rows(split, options.seed)
        parts = [rows[at : at + options.shard_size] for at in range(0, len(rows), options.shard_size)]
        for index, part in enumerate(parts):
            name = f"{split}/{manifest['name']}-{index:05d}-of-{len(parts):05d}.tfrecord"
            shards.append(Shard(len(shards), split, name, part))
    note = folder / PROGRESS / "plan.json"
    now = {**arguments(options), "posts.parquet": sha256_of(posts.path), "shards": len(shards)}
    if note.is_file():
        same_arguments(folder, read_json(note), now)
    else:
        write_json(note, now)
    return shards


def look(posts, folder):
    """Raise UserError where none of 100 images is there: a wrong --images would reject every post."""
    rows = np.unique(np.linspace(0, len(posts.ids) - 1, 100).astype(np.int64))
    paths = [path for _, path, _ in posts.take(rows)]
    if not any((folder / path).exists() for path in paths):
        there = sorted(path.name for path in folder.iterdir())[:5] if folder.is_dir() else []
        raise UserError(
            f"--images {folder}: none of {len(paths)} images is there, as {folder / paths[0]}; "
            f"the folder {'holds ' + ', '.join(there) + ' ...' if there else 'is empty or missing'}"
        )


def pack(pending, posts, folder, manifest, options):
    """Write the shards that are missing, one after another, with the images of the next ones read ahead."""
    cv2.setNumThreads(1)  # the threads here are the parallelism
    size, quality = manifest["image_size"], manifest["definition"]["jpeg_quality"]
    source = pathlib.Path(options.images)

    def prepare(post):
        number, path, labels = post
        try:
            return number, path, labels, stored(source / path, size, quality), None
        except images.ImageError as error:
            return number, path, labels, None, str(error)

    items = itertools.chain.from_iterable(posts.take(shard.rows) for shard in pending)
    with concurrent.futures.ThreadPoolExecutor(options.workers) as pool:
        done = in_order(pool, prepare, items, AHEAD * options.workers)
        done = progress(done, total=sum(len(shard.rows) for shard in pending), label="records", unit="image")
        for shard in pending:
            write_shard(folder, shard, itertools.islice(done, len(shard.rows)))


def in_order(pool, function, items, ahead):
    """Map with at most ``ahead`` items in work; results come in the order of the items."""
    waiting = collections.deque()
    try:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def stored(path, size, quality):
    """Return the JPEG to store for an image file; ImageError with the reason where it is unfit."""
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise images.ImageError("file missing") from error
    except OSError as error:  # a dead disk is no reason to reject what lies on it
        raise WorkError(f"{path} cannot be read: {error}; mend that and run the command again") from error
    image = images.check(data, path.suffix)
    if image.shape[:2] == (size, size) and is_plain_jpeg(data):
        return data
    return images.encode_jpeg(images.fit(image, size), quality)


def is_plain_jpeg(data):
    """Whether the bytes are a JPEG in three colors that is shown as it is stored (no EXIF rotation)."""
    if not data.startswith(b"\xff\xd8\xff"):
        return False
    with Image.open(io.BytesIO(data)) as picture:
        return picture.mode == "RGB" and picture.getexif().get(0x0112, 1) == 1


def write_shard(folder, shard, results):
    """Write one shard, then the note that it is whole; a broken image leaves its place empty."""
    import tensorflow as tf  # here, so that --help is quick

    from Generators import records

    ids, rejected = [], []
    with replacing(folder / shard.file) as beside:
        with tf.io.TFRecordWriter(str(beside)) as writer:
            for number, path, labels, data, reason in results:
                if reason:
                    rejected.append((number, path, reason))
                    continue
                writer.write(records.encode(number, data, labels))
                ids.append(number)
        size, digest = beside.stat().st_size, sha256_of(beside)
    entry = {"file": shard.file, "records": len(ids), "bytes": size, "sha256": digest}
    write_json(shard.note(folder), {**entry, "split": shard.split, "ids": ids, "rejected": rejected})


def finish(folder, manifest, shards, options):
    """Put ids, rejections and the manifest together; the same in whichever run it happens."""
    notes = [read_json(shard.note(folder)) for shard in shards]
    rejected = [tuple(row) for note in notes for row in note["rejected"]]
    reasons = collections.Counter(reason for _, _, reason in rejected)
    if not any(note["records"] for note in notes):
        raise WorkError(
            f"no image could be packed: {', '.join(f'{n} {reason}' for reason, n in reasons.items())}"
        )
    merge_rejected(folder / "rejected.csv", rejected)
    records = {
        split: summary(split, notes) for split in SPLITS if any(note["split"] == split for note in notes)
    }
    made = {
        "tool": "tools/write_records.py",
        "git": git_commit(),
        "images": options.images,
        **arguments(options),
    }
    manifest = {**manifest, "made": {**manifest["made"], "write_records": made}, "records": records}
    write_json(folder / "dataset.json", manifest)
    for split in sorted(records, key="validation".__eq__):
        write_ids(
            folder / split / "ids.npy", [n for note in notes if note["split"] == split for n in note["ids"]]
        )
    sweep(folder)
    lines = [
        f"{split:<12}{entry['records']:>10,} records in {len(entry['shards']):,} shards"
        for split, entry in records.items()
    ]
    lines += [f"{'rejected':<12}{number:>10,} {reason}" for reason, number in reasons.most_common()]
    return "\n".join([*lines, f"wrote {folder}"])


def summary(split, notes):
    """Return the manifest's entry of a split."""
    notes = [note for note in notes if note["split"] == split]
    shards = [{name: note[name] for name in ("file", "records", "bytes", "sha256")} for note in notes]
    rejected = sum(len(note["rejected"]) for note in notes)
    return {"records": sum(note["records"] for note in notes), "rejected": rejected, "shards": shards}


def write_ids(path, ids):
    """Write post ids in record order as int64."""
    with replacing(path) as beside:
        np.save(beside, np.array(ids, np.int64))


def merge_rejected(path, rejected):
    """Add rows to rejected.csv, ordered by post id and path; rows that are there already count once."""
    rows = {}
    if path.is_file():
        with path.open(newline="", encoding="utf-8") as file:
            rows = {(int(row["post_id"]), row["path"]): row["reason"] for row in csv.DictReader(file)}
    rows.update({(number, name): reason for number, name, reason in rejected})
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("post_id", "path", "reason"))
        writer.writerows((*key, rows[key]) for key in sorted(rows))


def sweep(folder):
    """Remove what only the work needed: progress notes, and halves that a killed run left beside files."""
    for place in (folder, *(folder / split for split in SPLITS)):
        for path in place.glob(".*.part*"):
            path.unlink(missing_ok=True)
    shutil.rmtree(folder / PROGRESS, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
