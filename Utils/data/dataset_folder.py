"""Dataset folders, local or remote: those of tools/write_records.py, and shards of the original project."""

import dataclasses
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from Utils.command.cli import UserError, found, suggest
from Utils.command.text import join_names
from Utils.data.definition import SPLITS
from Utils.files import arrays, csv_tables, parquet_files, shapes, tfrecord
from Utils.files.atomic import AnyPath, is_remote, read_json, to_path
from Utils.files.output_folders import FolderKind
from Utils.images import codec
from Utils.tags import tag_list

# Post ids (N,) int64, numbers of labels of each (N,), all labels in a row (sum,) int32.
LabelBlock = tuple[np.ndarray, np.ndarray, np.ndarray]
POSTS_AT_ONCE = 65_536  # rows of posts.parquet that are read together

MANIFEST = "dataset.json"
POSTS = "posts.parquet"
FRAMES = "frames.csv"  # of animated pictures, where several of them are records
TAG_SPLITS = "tag_splits.csv"
POST_COLUMNS = {
    "post_id": pa.int64(), "split": pa.string(), "path": pa.string(), "label_indexes": pa.list_(pa.int32()),
}  # fmt: skip
# First 63 bits of the SHA-256 of the picture's file, int64; only where select_tags reads all pictures.
PICTURE_COLUMN = "picture"
_SHARD = {"file": str, "records?": int, "bytes?": int, "sha256?": (str, None)}
_SHAPE = {
    "name": str,
    "image_size": (int, None),
    "num_labels?": int,
    "tags_sha256?": (str, None),
    "made?": dict,
    "definition?": dict,
    "source?": dict,
    "records?": ({"*": {"shards": [_SHARD]}}, None),
}
TAGS = tag_list.FILE
SHARDS = "*-[0-9][0-9][0-9][0-9][0-9]*-of-[0-9][0-9][0-9][0-9][0-9]*.tfrecord"  # NAME-00000-of-00042.tfrecord
DATASET = FolderKind(
    "a dataset", (MANIFEST, TAGS),
    (
        "posts.parquet", "rejected.csv", "dropped_tags.csv", TAG_SPLITS, "definition.toml",
        "categories.json", FRAMES,
        *(name for split in SPLITS for name in (f"{split}.txt", f"{split}/ids.npy", f"{split}/{SHARDS}")),
        ".progress*", ".*.part*", "*/.*.part*",
    ),
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A dataset folder; made by `load`."""

    folder: pathlib.Path
    name: str
    tags: pd.DataFrame  # selected_tags.csv: row i is label i
    manifest: dict[str, Any]  # dataset.json; for original shards its like, made from what is in the folder
    image_size: int | None  # side of the stored JPEGs; None where original shards have no square ones
    splits: tuple[str, ...]  # those with shards, in the order train, validation, test

    @property
    def num_labels(self) -> int:
        """Return the number of tags."""
        return len(self.tags)

    def tag_weights(self, column: str) -> np.ndarray | None:
        """Return a weight of every tag, see `tag_list.weights`; None for the column ""."""
        return tag_list.weights(self.tags, column) if column else None

    def shards(self, split: str) -> list[str]:
        """Return the paths of a split's TFRecord files in order; UserError names the splits there are."""
        return [str(self.folder / shard["file"]) for shard in self.shard_entries(split)]

    def shard_entries(self, split: str) -> list[dict[str, Any]]:
        """Return what dataset.json says of a split's shards: file, and records, bytes, sha256 where known."""
        return self._entry(split)["shards"]

    def num_records(self, split: str) -> int:
        """Return the number of records of a split; those of original shards are counted, once."""
        return sum(self.record_counts(split))

    def record_counts(self, split: str) -> list[int]:
        """Return the number of records of every shard of a split, in the order of `shards`."""
        counts = [shard.get("records") for shard in self.shard_entries(split)]
        known_counts = [count for count in counts if count is not None]
        if len(known_counts) < len(counts):
            return [tfrecord.count_records(path) for path in self.shards(split)]
        return known_counts

    def require_shards(self, split: str) -> None:
        """Raise UserError for the first local shard that is missing or has another size than was written."""
        for path, entry in zip(self.shards(split), self.shard_entries(split), strict=True):
            file = to_path(path)
            if is_remote(file):
                return
            tfrecord.require_here(file)
            size = file.stat().st_size
            if entry.get("bytes") not in (None, size):
                raise UserError(
                    f"{path} has {size} bytes, dataset.json says {entry['bytes']}: it was cut off or "
                    "exchanged; restore it, or write the records again"
                )

    def has_post_ids(self, split: str) -> bool:
        """Return whether a split has a list of its post ids; datasets of the original project have none."""
        return (self.folder / split / "ids.npy").is_file()

    def post_ids(self, split: str) -> np.ndarray:
        """Return the post ids of a split in record order, int64 (num_records,); UserError without a list."""
        self._entry(split)
        path = self.folder / split / "ids.npy"
        if not self.has_post_ids(split):
            raise UserError(
                f"post ids of {split} expected at {path}; original shards carry them in the records only"
            )
        ids = arrays.read(path, "the post ids of a split (ids.npy)", rank=1, kinds="iu")
        if len(ids) != self.num_records(split):
            raise UserError(
                f"{path} must name {self.num_records(split)} posts, one a record; it names {len(ids)}"
            )
        return ids

    def tag_frequencies(self, split: str) -> np.ndarray | None:
        """Return about which share of a split's posts has each tag: (num_labels,), above 0 and below 1.

        From tag_splits.csv, without reading the posts: of posts that were selected, whether they have a
        record or not, with half a post added for and against (the Jeffreys prior). None without that file.
        """
        path = self.folder / TAG_SPLITS
        if not path.is_file():
            return None
        frame = csv_tables.read(path, "the posts of each tag by split", ("tag_id", split), dtype=str)
        counts = pd.to_numeric(frame[split], errors="coerce").to_numpy(np.float64)
        if frame["tag_id"].tolist() != self.tags["tag_id"].astype(str).tolist() or not (counts >= 0).all():
            raise UserError(f"{path} must have a count for each tag of {self.folder / TAGS}, in its order")
        return (counts + 0.5) / (max(self.num_records(split), counts.max(initial=0)) + 1.0)

    def label_blocks(self, split: str) -> Iterator[LabelBlock] | None:
        """Return the labels of the posts of a split that have a record, block by block.

        Millions of posts with all their labels would fill the memory. None without posts.parquet.
        """
        path = self.folder / POSTS
        return self._label_blocks(path, split) if path.is_file() else None

    def _label_blocks(self, path: AnyPath, split: str) -> Iterator[LabelBlock]:
        columns = {name: POST_COLUMNS[name] for name in ("post_id", "split", "label_indexes")}
        recorded = np.sort(self.post_ids(split)) if self.has_post_ids(split) else None
        for table in parquet_files.batches(path, "the posts of a dataset", columns, POSTS_AT_ONCE):
            table = table.filter(pc.equal(table["split"], split))  # pyright: ignore[reportAttributeAccessIssue]
            lists = table["label_indexes"].combine_chunks()
            ids = table["post_id"].to_numpy()
            labels = lists.flatten().to_numpy(zero_copy_only=False)
            require_labels(path, labels, self.num_labels)
            lengths = lists.value_lengths().fill_null(0).to_numpy(zero_copy_only=False)
            if recorded is not None:  # a picture may be missing or damaged
                places = np.searchsorted(recorded, ids)
                has_record = np.append(recorded, -1)[places] == ids
                ids, labels = ids[has_record], labels[np.repeat(has_record, lengths)]
                lengths = lengths[has_record]
            yield ids, lengths, labels

    def _entry(self, split: str) -> dict[str, Any]:
        if split in self.splits:
            return self.manifest["records"][split]
        if not self.splits:
            raise UserError(f"{self.folder} has no records yet; run tools/write_records.py {self.folder}")
        raise UserError(
            f"{self.folder} has no split {split!r}; it has {', '.join(self.splits)}"
            f"{suggest(split, self.splits)}"
        )


def load(folder: AnyPath) -> Dataset:
    """Open a dataset folder, or a folder of original shards: selected_tags.csv, train/*.tfrecord and so on.

    Raises UserError that says what was looked for and what is there.
    """
    folder = to_path(folder)
    if not folder.is_dir():
        raise UserError(f"a dataset folder was expected at {folder}; found {found(folder)}")
    has_manifest = (folder / MANIFEST).is_file()
    shards = {} if has_manifest else _original_shards(folder)
    if not (folder / TAGS).is_file() or not (shards or has_manifest):
        content = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
        raise UserError(
            f"{folder} is no dataset: it needs {TAGS}, and {MANIFEST} or .tfrecord files in "
            f"{', '.join(f'{split}/' for split in SPLITS)}; it holds {join_names(content, 12)}"
        )
    frame = tag_list.read(folder / TAGS)
    manifest = _original_manifest(folder, shards, frame) if shards else read_json(folder / MANIFEST)
    _check(folder, manifest, frame)
    entries = manifest.get("records") or {}
    splits = tuple(split for split in SPLITS if entries.get(split, {}).get("shards"))
    return Dataset(folder, manifest["name"], frame, manifest, manifest["image_size"], splits)


def _check(folder: pathlib.Path, manifest: dict[str, Any], frame: pd.DataFrame) -> None:
    shapes.require(folder / MANIFEST, manifest, _SHAPE)
    if manifest.get("tags_sha256") not in (None, tag_list.digest(frame)):
        raise UserError(
            f"{folder / TAGS} is not the tag list that the records were written with: {MANIFEST} has the "
            f"hash of another list, of {manifest.get('num_labels')} tags; the file has {len(frame)}. "
            "Restore that list or write the records again"
        )


def require_labels(path: AnyPath, labels: np.ndarray, num_labels: int) -> None:
    """Raise UserError where labels of posts, (K,), are no rows of a tag list of ``num_labels``."""
    wrong = labels[(labels < 0) | (labels >= num_labels)]
    if len(wrong):
        raise UserError(
            f"{path} has the label {wrong[0]}, but the tag list ({TAGS}) has rows 0 to {num_labels - 1}: "
            "they do not belong together"
        )


def _original_shards(folder: pathlib.Path) -> dict[str, list[pathlib.Path]]:
    shards = {split: sorted((folder / split).glob("[!.]*.tfrecord")) for split in SPLITS}
    return {split: paths for split, paths in shards.items() if paths}


def _original_manifest(
    folder: pathlib.Path, shards: dict[str, list[pathlib.Path]], frame: pd.DataFrame
) -> dict[str, Any]:
    """Return what dataset.json would say about a folder of original shards."""
    records = {
        split: {"shards": [{"file": f"{split}/{path.name}"} for path in paths]}
        for split, paths in shards.items()
    }
    first_shard = next(iter(shards.values()))[0]
    return {
        "name": folder.resolve().name,
        "tags_sha256": tag_list.digest(frame),
        "num_labels": len(frame),
        "image_size": _image_size(first_shard),
        "source": {"kind": "original shards"},
        "records": records,
    }


def _image_size(shard: pathlib.Path) -> int | None:
    """Return the side of the square JPEG in a shard's first record, or None."""
    data = next(tfrecord.read_records(shard, take=1), b"")
    try:
        _, width, height = codec.probe(tfrecord.decode_example(data)[1])
    except ValueError:  # no Example, or no image in it (ImageError)
        return None
    return width if width == height else None
