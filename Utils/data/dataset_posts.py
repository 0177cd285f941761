"""The posts of a dataset folder, as packing holds them: ids, splits, paths and labels in memory."""

import functools
import itertools
import pathlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from Utils.command.cli import UserError
from Utils.data import dataset_folder, id_hash, shard_writer
from Utils.data.definition import SPLITS
from Utils.files import parquet_files
from Utils.files.atomic import AnyPath, to_path
from Utils.images import places
from Utils.images.places import Place

_COLUMNS = ["path", "label_indexes"]


def _narrow(labels: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return lists of labels in two bytes a label; as they are where one does not fit, or is none."""
    try:
        return labels.cast(pa.list_(pa.uint16()))
    except pa.ArrowInvalid:
        return labels


class Posts:
    """posts.parquet in memory, in its own order (by post id).

    Paths and labels stay in the blocks in which they were read: joined they would be there twice for a
    moment, which of ten million posts is gigabytes.
    """

    def __init__(self, folder: pathlib.Path) -> None:
        self.path = folder / "posts.parquet"
        ids, splits = [np.zeros(0, np.int64)], [np.zeros(0, np.int8)]
        self._blocks: list[pa.Table] = []
        columns, size = dataset_folder.POST_COLUMNS, dataset_folder.POSTS_AT_ONCE
        for block in parquet_files.batches(self.path, "the posts of a dataset", columns, size):
            ids.append(block["post_id"].to_numpy())
            names = block["split"].to_numpy(zero_copy_only=False)
            splits.append(
                np.select([names == name for name in SPLITS], range(len(SPLITS)), -1).astype(np.int8)
            )
            self._blocks.append(pa.table([block["path"], _narrow(block["label_indexes"])], _COLUMNS))
        self.ids, self._splits = np.concatenate(ids), np.concatenate(splits)
        self._ends = np.cumsum([len(block) for block in self._blocks])

    @functools.cached_property
    def contents(self) -> np.ndarray | None:
        """The `picture_contents.number_of` every post's picture, (N,) int64; None where nobody read them."""
        name, size = dataset_folder.PICTURE_COLUMN, dataset_folder.POSTS_AT_ONCE
        what = "the posts of a dataset"
        columns = {name: pa.int64()}
        if not parquet_files.has_column(self.path, what, name):
            return None
        parts = [part[name].to_numpy() for part in parquet_files.batches(self.path, what, columns, size)]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def require_valid(self, num_labels: int) -> None:
        """Raise UserError where a post has a label that is no row of the tag list, or an id comes twice."""
        start = 0
        for block in self._blocks:
            lists = block["label_indexes"].combine_chunks()
            labels = lists.flatten().to_numpy(zero_copy_only=False)
            outside = np.flatnonzero(~((labels >= 0) & (labels < num_labels)))
            if len(outside):
                row = start + pc.call_function("list_parent_indices", [lists])[int(outside[0])].as_py()
                raise UserError(
                    f"{self.path}: post {self.ids[row]} has the label {labels[outside[0]]}, but the tag list "
                    f"({dataset_folder.TAGS}) has rows 0 to {num_labels - 1}: they do not belong together"
                )
            start += len(block)
        ascending = np.sort(self.ids)
        twice = ascending[1:][ascending[1:] == ascending[:-1]]
        if len(twice):
            raise UserError(f"{self.path} has the post {twice[0]} in more than one row")

    def rows(self, split: str, seed: int) -> np.ndarray:
        """Return the rows of a split in record order: train shuffled by the seed, others by post id."""
        rows = np.flatnonzero(self._splits == SPLITS.index(split))
        keys = id_hash.splitmix64(self.ids[rows], seed) if split == "train" else self.ids[rows]
        return rows[np.argsort(keys, kind="stable")]

    def at(self, rows: np.ndarray) -> Iterator[shard_writer.Post]:
        """Yield the posts of some rows."""
        paths: list[str] = [""] * len(rows)
        labels: list[list[int]] = [[]] * len(rows)
        block_of = np.searchsorted(self._ends, rows, side="right")
        for number in np.unique(block_of).tolist():
            places = np.flatnonzero(block_of == number)
            block = self._blocks[number]
            part = block.take(rows[places] - (self._ends[number] - len(block)))
            values = zip(part["path"].to_pylist(), part["label_indexes"].to_pylist(), strict=True)
            for place, (path, indexes) in zip(places.tolist(), values, strict=True):
                paths[place], labels[place] = path, indexes
        yield from zip(self.ids[rows].tolist(), paths, labels, strict=True)

    def paths(self, rows: np.ndarray) -> Iterator[list[str]]:
        """Yield the paths of the posts of some rows, block by block, in the order of the file."""
        is_asked = np.zeros(len(self.ids), bool)
        is_asked[rows] = True
        for block, mask in zip(self._blocks, np.split(is_asked, self._ends[:-1]), strict=True):
            yield block["path"].filter(pa.array(mask)).to_pylist()

    def open_images(self, images: str, beside: AnyPath, given: bool = True) -> Place:
        """Return the place of pictures that ``images`` names, its index kept beside an output.

        ``given`` says whether it is that of --images, or the one that dataset.json has. Raises UserError
        where none of 100 images is there: a wrong place would reject every post; and where an archive with
        some of the posts cannot be read any more.
        """
        rows = np.unique(np.linspace(0, len(self.ids) - 1, 100).astype(np.int64))
        paths = [path for _, path, _ in self.at(rows)]
        place = places.open_place(images, beside) if to_path(images).exists() else None
        if place is not None and any(place.has(paths)):
            self._require_readable(place)
            return place
        if not given:
            raise UserError(
                f"the pictures were in {images} when select_tags listed them; none of {len(paths)} "
                f"looked for is there now, as {paths[0]}. Say where they are: --images PLACE"
            )
        walked = place.walk() if place is not None else iter(())
        names = [name for _, files in itertools.islice(walked, 5) for name in files[:5]][:5]
        raise UserError(
            f"--images {images}: none of {len(paths)} images is there, as {images}/{paths[0]}; "
            f"{'it holds ' + ', '.join(names) + ' ...' if names else 'it is empty or missing'}"
        )

    def _require_readable(self, place: Place) -> None:
        """Raise UserError where posts are in an archive that cannot be read, as select_tags could."""
        for archive, reason in place.unreadable:
            options = pc.MatchSubstringOptions(f"{archive}/")
            are_inside = (pc.call_function("starts_with", [block["path"]], options) for block in self._blocks)
            count = sum(pc.call_function("sum", [mask]).as_py() or 0 for mask in are_inside)
            if count:
                raise UserError(
                    f"{count:,} of {len(self.ids):,} posts are in {place}/{archive}, which cannot be read "
                    f"now: {reason}. Restore it, or run select_tags again to go on without its pictures"
                )
