"""The posts on which taggers are compared: their ids, pictures and labels, from a dataset or any source."""

import dataclasses
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.data import danbooru_fields, dataset_folder, picture_contents, post_images, sources
from Utils.data.sources.stream import Source
from Utils.files import parquet_files
from Utils.images import image_folder, picture_index
from Utils.images.places import Place

LabeledPosts = tuple[np.ndarray, np.ndarray, np.ndarray, list[str | None]]  # ids, sizes, rows of tags, paths
_NO_PICTURE = "no picture in the place"


@dataclasses.dataclass(frozen=True)
class JudgedPosts:
    """N posts by rising id; post i has the tags ``labels[offsets[i]:offsets[i + 1]]``, rows of ``tags``."""

    ids: np.ndarray  # (N,) int64
    paths: list[str]  # of their pictures, in the place
    offsets: np.ndarray  # (N + 1,) int64
    labels: np.ndarray  # int64
    tags: pd.DataFrame  # the tags that the labels may have
    is_closed: bool  # whether tags that the list lacks are unknown; else nobody gave them to any post
    left_out: dict[str, int]  # reason -> number of posts

    def __len__(self) -> int:
        return len(self.ids)

    def select(self, rows: np.ndarray, reason: str) -> "JudgedPosts":
        """Return these rows (rising) only; the others are counted as left out for ``reason``."""
        sizes = np.diff(self.offsets)
        kept = np.zeros(len(self), bool)
        kept[rows] = True
        count = len(self) - int(kept.sum())
        left_out = {**self.left_out, **({reason: self.left_out.get(reason, 0) + count} if count else {})}
        return dataclasses.replace(
            self,
            ids=self.ids[kept],
            paths=[path for path, is_kept in zip(self.paths, kept.tolist(), strict=True) if is_kept],
            offsets=np.concatenate([[0], np.cumsum(sizes[kept])]),
            labels=self.labels[np.repeat(kept, sizes)],
            left_out=left_out,
        )

    def matrix(self, tag_of: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Return the labels as uint8 (N, K).

        Args:
            tag_of: (len(tags),) the tag that every row of ``tags`` stands for.
            columns: (K,) the tags of the matrix; others are left out.
        """
        column_of = np.full(int(max(tag_of.max(initial=-1), columns.max(initial=-1))) + 1, -1, np.int64)
        column_of[columns] = np.arange(len(columns))
        rows = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        places = column_of[tag_of[self.labels]] if len(self.labels) else self.labels
        matrix = np.zeros((len(self), len(columns)), np.uint8)
        matrix[rows[places >= 0], places[places >= 0]] = 1
        return matrix

    def digest(self, place: Place) -> str:
        """Return a hash of ids, paths, sizes and times of the pictures: the same for the same pictures."""
        digest = hashlib.sha256()
        for post, path in zip(self.ids.tolist(), self.paths, strict=True):
            digest.update(f"{post}\t{path}\t{place.stamp(path)}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


def of_dataset(folder: Any, splits: Sequence[str], place: Place) -> JudgedPosts:
    """Return the posts of a dataset's splits whose pictures lie in a place; says where they are others.

    Raises UserError without posts.parquet, for a split that is not there, and where no picture is.
    """
    dataset = dataset_folder.load(folder)
    path_of = _dataset_paths(dataset)
    blocks: list[LabeledPosts] = []
    for split in splits:
        dataset.shards(split)
        labeled = dataset.label_blocks(split)
        if labeled is None:
            raise UserError(
                f"{dataset.folder} has no {dataset_folder.POSTS}, whose labels are compared with: original "
                "shards have them in their records only; name a source of labels with --labels"
            )
        for ids, sizes, labels in labeled:
            blocks.append((ids, sizes, labels.astype(np.int64), [path_of.get(post) for post in ids.tolist()]))
    posts = _located(blocks, dataset.tags, True, place, {}, f"{dataset.folder} {' and '.join(splits)}")
    path_of = dict(zip(posts.ids.tolist(), posts.paths, strict=True))
    picture_contents.warn_of_others(dataset.folder, place, path_of)
    return posts


def _dataset_paths(dataset: dataset_folder.Dataset) -> dict[int, str]:
    path = dataset.folder / dataset_folder.POSTS
    if not path.is_file():
        return {}
    columns = {name: dataset_folder.POST_COLUMNS[name] for name in ("post_id", "path")}
    table = parquet_files.read(path, "the posts of a dataset", columns)
    return dict(zip(table["post_id"].to_pylist(), table["path"].to_pylist(), strict=True))


def of_source(path: Any, place: Place) -> tuple[JudgedPosts, list[str]]:
    """Return the posts of any source of labels whose pictures lie in a place, and sentences about it.

    Raises UserError where the path is no source of posts, or none of its posts has a picture there.
    """
    detected = sources.detect(path, pictures_apart=True)
    source = sources.read(detected.kind, detected.path, place)
    tags = danbooru_fields.numbered(source.tags)
    row_of = dict(zip(source.tags["tag_id"].tolist(), range(len(tags)), strict=True))
    known = np.array(sorted(row_of), np.int64)
    rows = np.array([row_of[tag_id] for tag_id in known.tolist()], np.int64)
    left_out = {"records that are no post": len(source.rejected)} if source.rejected else {}
    blocks = (
        (ids, sizes, rows[np.searchsorted(known, tag_ids)], paths)
        for ids, sizes, tag_ids, paths in _source_blocks(source, place)
    )
    posts = _located(blocks, tags, False, place, left_out, str(path))
    return posts, [f"{path}: {detected}", *source.notes]


def _source_blocks(source: Source, place: Place) -> Iterator[LabeledPosts]:
    """Yield the posts of a source; the path is None where it knows no file of the place."""
    files = picture_index.index(place, True, True) if source.has_names else None
    for block in source.blocks():
        paths: list[str | None] = list(block.paths or [None] * len(block.ids))
        if files is not None:
            numbers = files.find(block.ids, block.keys)
            present = np.flatnonzero(numbers >= 0)
            for row, path in zip(present.tolist(), files.paths(numbers[present]), strict=True):
                paths[row] = path
        yield block.ids, np.diff(block.offsets), block.tag_ids, paths


def _located(
    blocks: Iterable[LabeledPosts],
    tags: pd.DataFrame,
    is_closed: bool,
    place: Place,
    left_out: dict[str, int],
    origin: str,
) -> JudgedPosts:
    """Return the posts of which a picture is in the place, each once; UserError where there is none."""
    finder, num_posts = post_images.PictureFinder(place), 0
    posts: dict[int, tuple[str, np.ndarray]] = {}  # id -> path, labels: of a large source few posts are here
    for ids, sizes, labels, paths in blocks:
        num_posts += len(ids)
        known = {post: path for post, path in zip(ids.tolist(), paths, strict=True) if path is not None}
        members = finder.find(ids.tolist(), known)
        for post, part in zip(ids.tolist(), np.split(labels, np.cumsum(sizes)[:-1]), strict=True):
            if post in members:
                posts.setdefault(post, (members[post], part))
    if not posts:
        raise UserError(f"none of the {num_posts} posts of {origin} has a picture in {place}")
    ordered = sorted(posts)
    missing = num_posts - len(posts)
    return JudgedPosts(
        np.array(ordered, np.int64),
        [posts[post][0] for post in ordered],
        np.concatenate([[0], np.cumsum([len(posts[post][1]) for post in ordered])]),
        np.concatenate([posts[post][1] for post in ordered]).astype(np.int64),
        tags,
        is_closed,
        {**left_out, **({_NO_PICTURE: missing} if missing else {})},
    )


def newer_than(posts: JudgedPosts, post_id: int) -> JudgedPosts:
    """Return the posts with greater ids; those without a number of their own, whose age is unknown, go too.

    Raises UserError where none is left.
    """
    hashes = np.array([image_folder.path_id(path) for path in posts.paths], np.int64)
    numbered = posts.select(np.flatnonzero(posts.ids != hashes), "no number of its own, so of unknown age")
    newer = numbered.select(np.flatnonzero(numbered.ids > post_id), f"not newer than post {post_id}")
    if not len(newer):
        newest = f"; the newest is {numbered.ids[-1]}" if len(numbered) else ""
        raise UserError(f"none of the {len(posts)} posts is newer than {post_id}{newest}")
    return newer
