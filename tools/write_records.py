"""Pack the images of a dataset folder into TFRecord shards, in parallel; interrupted work continues.

    python tools/write_records.py dataset --images 512px
    python tools/write_records.py dataset --images 512px --part 0/8     (one of eight machines)
    python tools/write_records.py newer --labels-only --reuse dataset   (other labels, the same images)

JPEGs that are square, RGB and of the dataset's image size pass through byte for byte; others are padded white
and resized. Broken files are listed in rejected.csv. Which post goes into which shard depends on the posts
and the seed alone: train in one fixed random order, the other splits by post id. Every post of posts.parquet
ends up either in a shard (and in ids.npy) or in rejected.csv.
"""

import collections
import csv
import dataclasses
import pathlib
import shutil
import sys

import numpy as np
import pyarrow.parquet as pq

from Utils.command.cli import Parser, UserError, WorkError, command, print_json, progress
from Utils.command.machine import num_cores
from Utils.data import dataset_folder, shard_writer
from Utils.data.definition import SPLITS
from Utils.files import job_engines
from Utils.files.atomic import git_commit, read_json, replacing, require_file, sha256_of, write_json
from Utils.images import image_folder

FEW = 1000  # posts for which no other process is started
PROGRESS = ".progress"  # in the dataset folder while shards are missing: plan.json and one JSON a shard


def parser():
    """Return the argument parser."""
    words = Parser(prog="tools/write_records.py", description=__doc__)
    words.add_argument("dataset", help="dataset folder made by tools/select_tags.py")
    words.add_argument("--images", metavar="DIR", help="the image folder given to select_tags")
    words.add_argument("--workers", type=int, default=num_cores(), help="shards at a time (default: cores)")
    words.add_argument("--shard-size", type=int, default=1024, help="posts a shard (default: 1024)")
    words.add_argument("--seed", type=int, default=0, help="of the order of the training posts (default: 0)")
    words.add_argument(
        "--part", metavar="I/N", help="write only the shards with number modulo N = I (from 0)"
    )
    words.add_argument(
        "--labels-only", action="store_true", help="take the images from the records of --reuse as they are"
    )
    words.add_argument("--reuse", metavar="OLD_DATASET", help="a dataset folder with records of these posts")
    words.add_argument(
        "--engine",
        choices=job_engines.ENGINES,
        default="local",
        help="threads here, or tasks of a Ray cluster",
    )
    words.add_argument("--json", action="store_true", help="print one JSON object")
    words.add_argument("--overwrite", action="store_true", help="start afresh where there are shards already")
    return words


@command
def main(argv=None):
    """Run the command; returns the exit code."""
    options = parser().parse_args(argv)
    part = check(options)
    folder = pathlib.Path(options.dataset)
    manifest = open_dataset(folder)
    old = open_old(options, folder, manifest)
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
        if options.images:
            look(posts, pathlib.Path(options.images))
        try:
            pack(pending, posts, folder, manifest, options, old)
        except FileNotFoundError:  # another run of the same work was done first and swept up
            if not open_dataset(folder)["records"]:
                raise
            return confirm(folder, open_dataset(folder), options)
    missing = sum(not shard.note(folder).is_file() for shard in shards)
    if missing:
        return tell_rest(options, missing, len(shards))
    try:
        manifest = finish(folder, manifest, shards, options)
    except FileNotFoundError:  # another part found all shards done in the same moment and swept up
        return confirm(folder, open_dataset(folder), options)
    return tell(manifest, options, f"wrote {folder}")


def tell_rest(options, missing, shards):
    """Say that other parts still have shards to write."""
    if options.json:
        print_json({"dataset": options.dataset, "complete": False, "shards": shards, "missing": missing})
    else:
        print(f"part {options.part} is done; {missing} of {shards} shards are left to other parts")
    return 0


def tell(manifest, options, last):
    """Say what the dataset holds: records by split, rejected images by reason."""
    records = manifest["records"]
    lost = collections.Counter()
    for entry in records.values():
        lost.update(entry.get("reasons", {}))
    reasons = dict(sorted(lost.items(), key=lambda pair: (-pair[1], pair[0])))
    if options.json:
        counts = {split: entry["records"] for split, entry in records.items()}
        print_json({"dataset": options.dataset, "complete": True, "records": counts, "rejected": reasons})
        return 0
    lines = [
        f"{split:<12}{entry['records']:>10,} records in {len(entry['shards']):,} shards"
        for split, entry in records.items()
    ]
    lines += [f"{'rejected':<12}{number:>10,} {reason}" for reason, number in reasons.items()]
    print("\n".join([*lines, last]))
    return 0


def check(options):
    """Return ``(I, N)`` of --part, (0, 1) without; UserError for numbers out of range."""
    for name in ("workers", "shard_size"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name.replace('_', '-')} must be at least 1, not {getattr(options, name)}")
    if options.labels_only != bool(options.reuse):
        raise UserError("--labels-only and --reuse OLD_DATASET belong together; only one of them is given")
    if not (options.images or options.reuse):
        raise UserError("--images DIR is needed, the image folder given to tools/select_tags.py")
    job_engines.require_engine(options.engine)
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
    last = f"{folder} is complete: {records} records in {len(shards)} shards; nothing to do"
    return tell(manifest, options, last)


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


def pack(pending, posts, folder, manifest, options, old):
    """Write the shards that are missing, each a job of its own."""
    jobs = (job_of(shard_writer.ShardJob, shard, posts, folder, manifest, options, old) for shard in pending)
    few = sum(len(shard.rows) for shard in pending) < FEW
    done = job_engines.run(shard_writer.write_shard, jobs, options.engine, 1 if few else options.workers)
    for _ in progress(done, total=len(pending), label="records", unit="shard"):
        pass


def job_of(make, shard, posts, folder, manifest, options, old):
    """Return the job that writes a shard."""
    taken, reused = list(posts.take(shard.rows)), None
    if old is not None:
        places = old.records.find([number for number, _, _ in taken])
        pairs = zip(taken, places, strict=True)
        reused = [
            place or old.reasons.get(number, "not in the old dataset") for (number, _, _), place in pairs
        ]
    return make(
        path=str((folder / shard.file).resolve()),
        file=shard.file,
        split=shard.split,
        note=str(shard.note(folder).resolve()),
        folder=str(pathlib.Path(options.images).resolve()) if options.images else None,
        image_size=manifest["image_size"],
        quality=manifest["definition"]["jpeg_quality"],
        posts=taken,
        reused=reused,
    )


@dataclasses.dataclass(frozen=True)
class Old:
    """A dataset whose images are taken over."""

    records: shard_writer.RecordIndex
    reasons: dict  # post id -> why it was rejected there


def open_old(options, folder, manifest):
    """Return the dataset of --reuse, None without; UserError where its images are of another kind."""
    if not options.labels_only:
        return None
    old = dataset_folder.load(options.reuse)
    if old.folder.resolve() == folder.resolve():
        raise UserError(f"--reuse {options.reuse} is the dataset to be written; give another one")
    if not old.splits:
        raise UserError(f"--reuse {options.reuse} has no records")
    now = {"image_size": manifest["image_size"], "jpeg_quality": manifest["definition"]["jpeg_quality"]}
    before = {"image_size": old.image_size} | {
        name: value for name, value in old.manifest.get("definition", {}).items() if name == "jpeg_quality"
    }
    for name, value in before.items():
        if value != now[name]:
            raise UserError(
                f"--reuse {options.reuse} has {name} = {value}, {folder} wants {now[name]}; "
                "--labels-only makes no image anew"
            )
    reasons = {number: reason for (number, _), reason in read_rejected(old.folder / "rejected.csv").items()}
    return Old(shard_writer.RecordIndex(old), reasons)


def finish(folder, manifest, shards, options):
    """Put ids, rejections and the manifest together, the same in whichever run; returns the manifest."""
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
        **({"reuse": options.reuse} if options.reuse else {}),
        **arguments(options),
    }
    manifest = {**manifest, "made": {**manifest["made"], "write_records": made}, "records": records}
    write_json(folder / "dataset.json", manifest)
    for split in sorted(records, key="validation".__eq__):
        write_ids(
            folder / split / "ids.npy", [n for note in notes if note["split"] == split for n in note["ids"]]
        )
    sweep(folder)
    return manifest


def summary(split, notes):
    """Return the manifest's entry of a split."""
    notes = [note for note in notes if note["split"] == split]
    shards = [{name: note[name] for name in ("file", "records", "bytes", "sha256")} for note in notes]
    reasons = collections.Counter(reason for note in notes for _, _, reason in note["rejected"])
    counts = {"records": sum(note["records"] for note in notes), "rejected": sum(reasons.values())}
    return {**counts, "reasons": dict(sorted(reasons.items())), "shards": shards}


def write_ids(path, ids):
    """Write post ids in record order as int64."""
    with replacing(path) as beside:
        np.save(beside, np.array(ids, np.int64))


def read_rejected(path):
    """Return ``{(post id, path): reason}`` of rejected.csv, empty where there is none."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {(int(row["post_id"]), row["path"]): row["reason"] for row in csv.DictReader(file)}


def merge_rejected(path, rejected):
    """Add rows to rejected.csv, ordered by post id and path; rows that are there already count once."""
    rows = read_rejected(path)
    rows.update({(number, name): reason for number, name, reason in rejected})
    image_folder.write_rejected(path, [(*key, reason) for key, reason in rows.items()])


def sweep(folder):
    """Remove what only the work needed: progress notes, and halves that a killed run left beside files."""
    for place in (folder, *(folder / split for split in SPLITS)):
        for path in place.glob(".*.part*"):
            path.unlink(missing_ok=True)
    shutil.rmtree(folder / PROGRESS, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
