"""Writes the folder of a selected dataset: tags, posts, what was left out, the definition, dataset.json."""

import collections
import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from Utils.data import dataset_folder
from Utils.data.dataset_selection import Pictures, Selection
from Utils.data.definition import SPLITS
from Utils.data.sources.stream import Source
from Utils.files import csv_tables, parquet_files
from Utils.files.atomic import write_json
from Utils.images import image_folder
from Utils.tags import tag_list

POSTS_SCHEMA = pa.schema(list(dataset_folder.POST_COLUMNS.items()))

ImagesOfTags = Mapping[str, np.ndarray]  # split -> (num_labels,) posts of every tag


def write(
    folder: pathlib.Path,
    source: Source,
    pictures: Pictures,
    selected: Selection,
    provenance: Mapping[str, Any],
    definition_toml: str | None = None,
) -> tuple[dict[str, int], ImagesOfTags]:
    """Write every file of the dataset folder; returns ``{split: posts}`` and the posts of every tag.

    Args:
        folder: an empty one.
        provenance: how the dataset was made, for the manifest.
        definition_toml: the text of definition.toml, where the folder is to have one.
    """
    tag_list.write(selected.tags, folder / dataset_folder.TAGS)
    image_folder.write_rejected(folder / "rejected.csv", selected.rejected)
    splits, images = _write_posts(folder / "posts.parquet", pictures, selected)
    columns = list(tag_list.COLUMNS)
    csv_tables.write_frame(folder / "tag_splits.csv", selected.tags[columns].assign(**images))
    csv_tables.write_frame(folder / "dropped_tags.csv", selected.dropped.astype({"images": "Int64"}))
    if definition_toml is not None:
        (folder / "definition.toml").write_text(definition_toml, encoding="utf-8")
    manifest = manifest_of(source, selected, splits, provenance)
    write_json(folder / dataset_folder.MANIFEST, manifest)
    return splits, images


def _write_posts(
    path: pathlib.Path, pictures: Pictures, selected: Selection
) -> tuple[dict[str, int], ImagesOfTags]:
    """Write posts.parquet block by block; returns ``{split: posts}`` and ``{split: posts of every tag}``."""
    counts, num_tags = collections.Counter(), len(selected.tags)
    images = np.zeros(len(SPLITS) * num_tags, np.int64)
    has_contents = any(block.contents is not None for block in selected.blocks)
    more = [pa.field(dataset_folder.PICTURE_COLUMN, pa.int64())] if has_contents else []
    schema = pa.schema([*POSTS_SCHEMA, *more])
    with pq.ParquetWriter(path, schema, write_page_checksum=True) as writer:
        for block in selected.blocks:
            if not len(block.ids):
                continue
            offsets, labels = selected.label_indexes(block)
            # One histogram for all splits: the cell of (split, tag) is split * num_tags + tag.
            cells = np.repeat(block.splits.astype(np.int64), np.diff(offsets)) * num_tags + labels
            images += np.bincount(cells, minlength=len(images))
            splits = [SPLITS[row] for row in block.splits]
            counts.update(splits)
            columns = [
                pa.array(block.ids),
                pa.array(splits),
                pa.array(pictures.paths(block), pa.string()),
                pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(labels, pa.int32())),
                *([pa.array(block.contents)] if has_contents else []),
            ]
            writer.write_table(pa.table(columns, schema=schema))
    by_split = images.reshape(len(SPLITS), num_tags)
    images_of_tags = {split: by_split[row] for row, split in enumerate(SPLITS)}
    return {split: counts[split] for split in SPLITS if counts[split]}, images_of_tags


def write_lists(folder: pathlib.Path) -> list[str]:
    """Write train.txt and so on: the files of each split, by post id, one a line.

    Returns the paths that hold a line break and are in no list: their parts may be the names of other files.
    """
    columns = {name: dataset_folder.POST_COLUMNS[name] for name in ("split", "path")}
    table = parquet_files.read(folder / "posts.parquet", "the posts of a dataset", columns).to_pandas()
    is_line = ~table["path"].str.contains(r"[\r\n]")
    for split, part in table.groupby("split"):
        text = "".join(f"{path}\n" for path in part["path"][is_line])
        (folder / f"{split}.txt").write_text(text, encoding="utf-8", newline="\n")
    return table["path"][~is_line].tolist()


def manifest_of(
    source: Source, selected: Selection, splits: Mapping[str, int], provenance: Mapping[str, Any]
) -> dict[str, Any]:
    """Return dataset.json as far as it is known before there are records.

    It holds no time and no output path: the same input gives the same bytes.
    """
    return {
        "name": selected.definition.name,
        "tags_sha256": tag_list.digest(selected.tags),
        "num_labels": len(selected.tags),
        "image_size": selected.definition.image_size,
        "definition": dataclasses.asdict(selected.definition),
        "source": {
            "kind": source.kind,
            "path": source.path,
            "posts": source.num_posts,
            "tags": len(source.tags),
            **({"keeps_unrated": True} if source.keep_unrated else {}),
        },
        "selection": {"posts": selected.post_steps, "tags": selected.tag_steps, "splits": dict(splits)},
        "made": {"select_tags": dict(provenance)},
        "records": None,
    }
