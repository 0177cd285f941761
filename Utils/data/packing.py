"""Packs a dataset folder: assigns posts to shards, tracks which are written, completes the manifest.

While shards are missing, the folder ``.progress`` of the dataset holds plan.json, which says how the posts
are divided, and one note (JSON) a written shard. Several processes and machines may pack one folder: each
only looks for notes, and whichever finds them all writes the manifest, which is the same from all of them.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import pathlib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from Utils.command.cli import UserError, WorkError
from Utils.data import dataset_folder, shard_writer
from Utils.data.dataset_posts import Posts
from Utils.data.definition import SPLITS
from Utils.files import atomic, csv_tables, damage, locking, shapes
from Utils.files.atomic import AnyPath, read_json, replacing, require_file, sha256_of, write_json
from Utils.images import image_folder, image_limits
from Utils.images.places import Place

PROGRESS = ".progress"
_READERS = 16  # notes read at a time
_LONGEST_PLANNING = 60.0  # seconds that another process may take to compare or write the plan
# What packing needs of dataset.json beyond what every reader does.
_SHAPE = {
    "image_size": int,
    "num_labels": int,
    "made": {"write_records?": dict},
    "definition": {"jpeg_quality": int},
    "records": ({"*": {"records": int, "rejected": int, "reasons": {"*": int}}}, None),
}
_NOTE = {
    "split": str, "file": str, "records": int, "bytes": int, "sha256": str, "ids": [int],
    "rejected": [[object]],
}  # fmt: skip


def open_manifest(folder: pathlib.Path) -> dict[str, Any]:
    """Return dataset.json; UserError if select_tags did not make the folder, or the tag list has changed."""
    require_file(folder / "dataset.json", "dataset.json of a folder made by tools/select_tags.py")
    require_file(folder / "posts.parquet", "the posts of the dataset (posts.parquet)")
    manifest = dataset_folder.load(folder).manifest
    shapes.require(folder / "dataset.json", manifest, _SHAPE)
    return manifest


def held(folder: pathlib.Path, alone: bool) -> contextlib.AbstractContextManager[None]:
    """Return a context in which nobody replaces a dataset on this machine; ``alone``: nor packs it."""
    return contextlib.nullcontext() if atomic.is_remote(folder) else locking.holding(folder, alone)


def clear(folder: pathlib.Path, manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Remove all shards and return the manifest without them.

    The manifest is written first, so that it never names shards that are gone.
    """
    provenance = {name: value for name, value in manifest["made"].items() if name != "write_records"}
    manifest = {**manifest, "made": provenance, "records": None}
    write_json(folder / "dataset.json", manifest)
    atomic.remove_tree(folder / PROGRESS)
    for split in SPLITS:
        _remove_records(folder / split)
    return manifest


def _remove_records(folder: pathlib.Path) -> None:
    """Remove the shards and ids.npy of a split, and its folder where a user put nothing there."""
    for pattern in (dataset_folder.SHARDS, ".*.part*", "ids.npy"):
        for path in folder.glob(pattern):
            path.unlink()
    if folder.is_dir() and not atomic.is_remote(folder) and not any(folder.iterdir()):
        folder.rmdir()


def copy_selection(folder: pathlib.Path, fresh: pathlib.Path) -> dict[str, Any]:
    """Copy a dataset without its records to a new folder; return the copy's manifest."""
    for path in folder.iterdir():
        if path.is_file() and path.name != "dataset.json" and not path.name.startswith("."):
            shutil.copy2(path, fresh)
    return clear(fresh, open_manifest(folder))


def images_of(manifest: Mapping[str, Any]) -> str | None:
    """Return where the pictures of a dataset are by its dataset.json, None where it does not say.

    The place that write_records read last, if it was another, comes before that of select_tags.
    """
    made = manifest.get("made") or {}
    places = [(made.get(tool) or {}).get("images") for tool in ("write_records", "select_tags")]
    return next((place for place in places if isinstance(place, str) and place), None)


@dataclasses.dataclass(frozen=True)
class Shard:
    """One shard to be written: which posts, in which order."""

    number: int  # over all splits
    split: str
    file: str  # relative to the dataset folder
    rows: np.ndarray  # of Posts
    plan: str  # digest of what decides which posts are in which shard

    def note(self, folder: pathlib.Path) -> pathlib.Path:
        """Return the path of the JSON that says that this shard is written and what is in it."""
        return folder / PROGRESS / f"{self.number:06d}.json"


def divide(folder: pathlib.Path, name: str, posts: Posts, settings: Mapping[str, int]) -> list[Shard]:
    """Divide the posts into shards; write the plan, or compare it with the one that is there.

    Args:
        folder: the dataset folder.
        name: of the dataset, in the file names.
        posts: all of them.
        settings: ``shard_size`` (posts) and ``seed``.

    Raises UserError if the work was started with other posts or settings.
    """
    shards, posts_sha256 = [], sha256_of(posts.path)
    plan = hashlib.sha256(json.dumps([settings, posts_sha256], sort_keys=True).encode()).hexdigest()
    for split in SPLITS:
        rows = posts.rows(split, settings["seed"])
        parts = [rows[at : at + settings["shard_size"]] for at in range(0, len(rows), settings["shard_size"])]
        for index, part in enumerate(parts):
            file = f"{split}/{name}-{index:05d}-of-{len(parts):05d}.tfrecord"
            shards.append(Shard(len(shards), split, file, part, plan))
    path = folder / PROGRESS / "plan.json"
    inputs = {**settings, "posts.parquet": posts_sha256, "shards": len(shards)}
    remote = atomic.is_remote(folder)
    # Of two that begin at once with other settings the second is to see the plan of the first.
    with contextlib.nullcontext() if remote else locking.sole_writer(path, _LONGEST_PLANNING):
        if path.is_file():
            require_same(folder, read_json(path, dict), inputs)
        else:
            write_json(path, inputs)
    return shards


def without_note(folder: pathlib.Path, shards: Iterable[Shard]) -> list[Shard]:
    """Return the shards that are not written yet, by one listing: elsewhere a request takes its time."""
    progress = folder / PROGRESS
    if atomic.is_remote(progress):
        file_system: Any = progress
        file_system.fs.invalidate_cache()  # other machines write there, too
    names = {path.name for path in progress.iterdir()} if progress.is_dir() else set()
    return [shard for shard in shards if shard.note(folder).name not in names]


def require_same(folder: pathlib.Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Raise UserError if work would continue with other settings than it started with."""
    for name, value in now.items():
        if before.get(name) != value:
            raise UserError(
                f"{folder} was started with {name} = {before.get(name)}, now it is {value}; give the same, "
                "or --overwrite to start afresh"
            )


class ReusedDataset:
    """A dataset whose images are copied instead of being made again.

    Raises UserError where its images are of another size or quality than ``manifest`` asks for.
    """

    def __init__(self, path: AnyPath, folder: pathlib.Path, manifest: Mapping[str, Any]) -> None:
        dataset = dataset_folder.load(path)
        if dataset.folder.resolve() == folder.resolve():
            raise UserError(f"--reuse {path} is the dataset to be written; give another one")
        if not dataset.splits:
            raise UserError(f"--reuse {path} has no records")
        if (dataset.folder / dataset_folder.FRAMES).is_file():
            raise UserError(
                f"--reuse {path} has several frames of animated pictures ({dataset_folder.FRAMES}), which "
                "posts.parquet does not name; pack the pictures again, with --frames all"
            )
        definition = dataset.manifest.get("definition", {})  # shards of the original project have none
        present = {**definition, "image_size": dataset.image_size}
        quality = manifest["definition"]["jpeg_quality"]
        for name, value in (("image_size", manifest["image_size"]), ("jpeg_quality", quality)):
            if present.get(name, value) != value:
                raise UserError(
                    f"--reuse {path} has {name} = {present[name]}, {folder} wants {value}; "
                    "--labels-only does not process images again"
                )
        rejected = _read_rejected(dataset.folder / "rejected.csv")
        self._reasons = {post_id: reason for (post_id, _), reason in rejected.items()}
        self._records = shard_writer.RecordIndex(dataset)
        self._contents: dict[int, int] = {}
        if (dataset.folder / dataset_folder.POSTS).is_file():
            posts = Posts(dataset.folder)
            if posts.contents is not None:
                self._contents = dict(zip(posts.ids.tolist(), posts.contents.tolist(), strict=True))

    def verify(self) -> None:
        """Raise UserError where records, shards or ids.npy of the old dataset are damaged or exchanged."""
        self._records.verify()

    def find(
        self, ids: Sequence[int], contents: Sequence[int] | None = None
    ) -> list[shard_writer.Place | str]:
        """Return the location of every post's record, or the reason why it has none.

        Args:
            ids: of the posts.
            contents: of their pictures, as `Posts.contents`; None: not known. A picture that had another
                content when the old dataset was selected has no record: its number may be another one's now.
        """
        places: list[shard_writer.Place | str] = [
            place or self._reasons.get(post_id, "not in the old dataset")
            for post_id, place in zip(ids, self._records.find(ids), strict=True)
        ]
        for row, (post_id, content) in enumerate(zip(ids, contents or (), strict=contents is not None)):
            if isinstance(places[row], tuple) and self._contents.get(post_id, content) != content:
                places[row] = "another picture than in the old dataset"
        return places


def job(
    shard: Shard,
    posts: Posts,
    folder: pathlib.Path,
    manifest: Mapping[str, Any],
    place: Place | None,
    reused: ReusedDataset | None,
    checks: bool = False,
    max_pixels: int = image_limits.MAX_PIXELS,
    frames: str | None = None,
    same_place: bool = False,
) -> shard_writer.ShardJob:
    """Return the job that writes a shard of the dataset folder from a place of pictures or a dataset.

    ``checks``, ``max_pixels`` and ``frames`` are as in `shard_writer.ShardJob`; ``same_place`` says that the
    pictures lie where select_tags read them, so that they must be the same.
    """
    members = list(posts.at(shard.rows))
    ids = [post_id for post_id, _, _ in members]
    contents = None if posts.contents is None else posts.contents[shard.rows].tolist()
    return shard_writer.ShardJob(
        path=atomic.absolute(folder / shard.file),
        file=shard.file,
        split=shard.split,
        note=atomic.absolute(shard.note(folder)),
        plan=shard.plan,
        place=place.part([path for _, path, _ in members]) if place else None,
        image_size=manifest["image_size"],
        quality=manifest["definition"]["jpeg_quality"],
        checks=checks,
        max_pixels=max_pixels,
        frames=frames,
        posts=members,
        reused=None if reused is None else reused.find(ids, contents),
        contents=contents if same_place else None,
    )


def finish(
    folder: pathlib.Path, manifest: Mapping[str, Any], shards: Sequence[Shard], made: Mapping[str, Any]
) -> dict[str, Any]:
    """Put ids, rejections and the manifest together, when all shards are written; returns the manifest.

    Args:
        folder: the dataset folder.
        manifest: before, without records.
        shards: all of them.
        made: how they were made, for the manifest.

    Raises FileNotFoundError where another process did it meanwhile, WorkError where no image is left or
    another process wrote shards of other posts.
    """
    with concurrent.futures.ThreadPoolExecutor(_READERS) as pool:  # ten thousand of them may lie elsewhere
        notes = list(pool.map(lambda shard: _read_note(shard.note(folder), shard.plan), shards))
    rejected = [tuple(row) for note in notes for row in note["rejected"]]
    if not any(note["records"] for note in notes):
        reasons = collections.Counter(reason for *_, reason in rejected)
        raise WorkError(
            f"no image could be packed: {', '.join(f'{n} {reason}' for reason, n in reasons.items())}"
        )
    _merge_rejected(folder / "rejected.csv", rejected)
    _write_frames(folder / dataset_folder.FRAMES, [row for note in notes for row in note.get("frames", [])])
    of_split = {split: [note for note in notes if note["split"] == split] for split in SPLITS}
    records = {split: _entry(notes) for split, notes in of_split.items() if notes}
    wrong_suffixes: collections.Counter[str] = collections.Counter()
    for note in notes:
        wrong_suffixes.update(note.get("wrong_suffixes", {}))
    if wrong_suffixes:  # not among the records, which are the same where images are copied by --reuse
        made = {**made, "wrong_suffixes": dict(sorted(wrong_suffixes.items()))}
    manifest = {**manifest, "made": {**manifest["made"], "write_records": made}, "records": records}
    for split in records:
        ids = np.concatenate([note["ids"] for note in of_split[split]])
        with replacing(folder / split / "ids.npy") as temporary:
            np.save(temporary, ids)
    write_json(folder / "dataset.json", manifest)  # last, so that every file it names exists
    _remove_progress(folder)
    return manifest


def _read_note(path: pathlib.Path, plan: str) -> dict[str, Any]:
    """Return the note of a shard, its ids as an array: ten million numbers of Python take 400 MB.

    Raises WorkError where the shard was written by another plan, or nobody says by which.
    """
    note = read_json(path, _NOTE)
    if note.get("plan") != plan:
        raise WorkError(
            f"{note['file']} has other posts or labels: another process still packed what was selected "
            f"before; --overwrite starts afresh, once no other write_records works on {path.parents[1]}"
        )
    return {**note, "ids": np.array(note["ids"], np.int64)}


def _entry(notes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the manifest's entry of a split from the notes of its shards."""
    shards = [{name: note[name] for name in ("file", "records", "bytes", "sha256")} for note in notes]
    reasons = collections.Counter(reason for note in notes for *_, reason in note["rejected"])
    counts = {"records": sum(note["records"] for note in notes), "rejected": sum(reasons.values())}
    return {**counts, "reasons": dict(sorted(reasons.items())), "shards": shards}


def _read_rejected(path: pathlib.Path) -> dict[tuple[int, str], str]:
    """Return ``{(post id, path): reason}`` of rejected.csv; empty without that file."""
    if not path.is_file():
        return {}
    frame = csv_tables.read(
        path, "rejected images", image_folder.REJECTED_COLUMNS, dtype=str, keep_default_na=False
    )
    with damage.named(path, "has a post_id that is no whole number"):
        keys = [(int(post_id), name) for post_id, name in zip(frame["post_id"], frame["path"], strict=True)]
    return dict(zip(keys, frame["reason"], strict=True))


def _merge_rejected(path: pathlib.Path, rejected: Iterable[tuple[int, str, str]]) -> None:
    """Add rows to rejected.csv, each once."""
    rows = _read_rejected(path) | {(post_id, name): reason for post_id, name, reason in rejected}
    image_folder.write_rejected(path, [(*key, reason) for key, reason in rows.items()])


def _write_frames(path: pathlib.Path, animated: Sequence[tuple[int, str, int]]) -> None:
    """Write the frames of animated pictures as groups of near-duplicates, which the tools' ``--groups`` take.

    Args:
        path: of the table.
        animated: post id, path and number of records of each animated picture.
    """
    rows = [
        (group, shard_writer.frame_id(post_id, number), f"{name}#{number}" if number else name, 0, post_id)
        for group, (post_id, name, count) in enumerate(sorted(animated), start=1)
        for number in range(count)
    ]
    if rows:
        csv_tables.write_rows(path, ("group", "post_id", "path", "distance", "parent_id"), rows)


def _remove_progress(folder: pathlib.Path) -> None:
    """Remove the notes, and unfinished files that a killed run left beside its shards."""
    if not atomic.is_remote(folder):  # elsewhere files appear when they are complete
        for place in (folder, *(folder / split for split in SPLITS)):
            for path in place.glob(".*.part*"):
                path.unlink(missing_ok=True)
    atomic.remove_tree(folder / PROGRESS)
