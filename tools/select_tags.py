"""Select the tags and posts of a dataset: a definition and a booru go in, a dataset folder comes out.

    python tools/select_tags.py 2021_0000_0899 --source fire-eggs --from danbooru.db --images 512px -o dataset
    python tools/select_tags.py my.toml --source sidecars --from pictures -o dataset

Writes selected_tags.csv, posts.parquet, rejected.csv, dataset.json, tag_splits.csv (posts of every tag in
every split) and dropped_tags.csv (the rule that dropped each tag, without tags of other categories);
tools/write_records.py adds the images.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import collections
import dataclasses
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from Utils.command.cli import Parser, UserError, command, print_json, progress
from Utils.data import danbooru_fields, dataset_folder, selection, sources, tag_rules
from Utils.data.definition import SPLITS, Definition, read_definition
from Utils.data.selection import SelectedPosts, Step
from Utils.data.sources import stream
from Utils.data.sources.stream import Source
from Utils.evaluation import duplicate_groups
from Utils.files import csv_tables, parquet_files
from Utils.files.atomic import git_commit, write_json
from Utils.files.outputs import replacing_folder, require_replaceable_folder
from Utils.images import image_folder
from Utils.images.image_folder import ImageFolder
from Utils.tags import tag_list

POSTS_SCHEMA = pa.schema(list(dataset_folder.POST_COLUMNS.items()))

EXPORTS = {
    "aliases": "antecedent_name is written as consequent_name",
    "implications": "a post with antecedent_name has consequent_name too",
    "deprecated": "tags that are dropped (name, is_deprecated)",
    "tags": "categories and ids (name, category, id, is_deprecated), for sources that lack them",
}


def parser() -> Parser:
    """Return the argument parser."""
    parser = Parser(prog="tools/select_tags.py", description=__doc__)
    parser.add_argument("definition", help="definition.toml, or a folder that holds one")
    parser.add_argument("--source", required=True, choices=sorted(sources.SOURCES), help="kind of source")
    parser.add_argument("--from", required=True, dest="origin", metavar="PATH", help="its database or folder")
    parser.add_argument("--images", metavar="DIR", help="image folder (default for sidecars: PATH)")
    parser.add_argument("-o", "--output", required=True, metavar="DATASET", help="dataset folder to make")
    parser.add_argument(
        "--groups", metavar="CSV", help="groups of near-duplicates (group,post_id,...): one split each"
    )
    parser.add_argument(
        "--write-lists", action="store_true", help="also write train.txt ...: the files of each split"
    )
    for name, what in EXPORTS.items():
        parser.add_argument(f"--{name}", metavar="FILE", help=f"Danbooru's export (CSV, JSON lines): {what}")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--overwrite", action="store_true", help="replace DATASET where it exists")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parser().parse_args(argv)
    require_replaceable_folder(options.output, dataset_folder.DATASET, options.overwrite)
    definition = read_definition(options.definition)
    groups = duplicate_groups.read(options.groups) if options.groups else None
    rules = tag_rules.read(**{name: getattr(options, name) for name in EXPORTS})
    source, files = open_source(options)
    passed_by = files.census.passed_by() if files else source.passed_by
    if passed_by:
        print(passed_by, file=sys.stderr)
    selected = select(definition, *tag_rules.apply(source, rules), files, groups)
    with replacing_folder(options.output, dataset_folder.DATASET, options.overwrite) as folder:
        splits = write_dataset(folder, definition, source, files, selected, options)
    if options.json:
        print_json(summary(options.output, selected, splits))
    else:
        print(report(options.output, selected, splits))
    return 0


def open_source(options: argparse.Namespace) -> tuple[Source, ImageFolder | None]:
    """Return the source, and the index of its image folder (None where the source found the files itself)."""
    if options.source == "sidecars":
        return sources.read_sidecars(options.origin, options.images), None
    if not options.images:
        raise UserError(
            f"--images DIR is needed with --source {options.source}: posts without a file are left out"
        )
    # The posts of other sources have an MD5, and their files may be named by it.
    named = options.source != "fire-eggs"
    # The folder first: that it does not exist is said at once, not after reading millions of posts.
    files = image_folder.index(options.images, named)
    return sources.SOURCES[options.source](options.origin), files


@dataclasses.dataclass(frozen=True)
class Selection:
    """The posts and tags that passed all rules, and how many each rule dropped."""

    blocks: list[SelectedPosts]
    tags: pd.DataFrame
    labels: np.ndarray  # candidate row -> label, -1 for none
    rating_labels: dict[int, int]  # code point -> label
    missing: np.ndarray  # ids of posts without a file
    post_steps: list[Step]
    tag_steps: list[Step]
    dropped: pd.DataFrame  # dropped tags: tag_id, name, category, count, images, rule


def select(
    definition: Definition,
    source: Source,
    tag_steps: list[Step],
    dropped: pd.DataFrame,
    files: ImageFolder | None,
    groups: pd.DataFrame | None = None,
) -> Selection:
    """Apply every rule of the definition to a source; UserError where nothing passes.

    Args:
        source, tag_steps, dropped: as `tag_rules.apply` returns them.
        files: the index of the image folder; None where the source found the files itself.
        groups: near-duplicates, each group in one split.
    """
    candidates, candidate_steps, rare_tags = selection.candidate_tags(source.tags, definition)
    ratings, rating_names = None, {}
    if definition.ratings_as_labels:
        ratings, rating_names = selection.rating_tags(source.rating_counts(), definition.ratings_map)
    find = files.find if files else None
    post_filter = selection.PostFilter(definition, candidates["tag_id"].to_numpy(), find, source.keep_unrated)
    num_blocks = -(-source.num_posts // stream.BLOCK_SIZE)
    blocks = [
        post_filter.select(block)
        for block in progress(source.blocks(), total=num_blocks, label="posts", unit="blocks")
    ]
    excluded = collections.Counter(post_filter.excluded)
    post_filter.require_one_alphabet()
    if groups is not None:
        blocks, excluded["near-duplicate in an earlier split"] = without_duplicates(blocks, groups)
    post_steps = post_steps_of(source, excluded)
    num_selected = sum(len(block.ids) for block in blocks)
    if not num_selected:
        raise UserError(no_posts(post_steps, post_filter, files))
    images = selection.count_images(blocks, len(candidates))
    passed, late_steps, late_tags = selection.select_tags(
        candidates, images, num_selected, source.num_posts, definition
    )
    tag_steps = [*tag_steps, *candidate_steps, *late_steps]
    if not passed.any():
        raise UserError(no_tags(definition, tag_steps, candidates, images))
    selection.require_filled_splits(blocks, definition)
    tags, labels = selection.final_tag_list(candidates, passed, ratings)
    tags = tag_list.with_category_names(tags, danbooru_fields.source_category_names())
    is_rating = tags["category"] == tag_list.CATEGORIES["rating"]
    label_of_rating = {name: label for label, name in enumerate(tags["name"][is_rating])}
    return Selection(
        blocks=blocks,
        tags=tags,
        labels=labels,
        rating_labels={code: label_of_rating[name] for code, name in rating_names.items()},
        missing=np.concatenate([*post_filter.missing, np.empty(0, np.int64)]),
        post_steps=post_steps,
        tag_steps=tag_steps,
        dropped=pd.concat([dropped, rare_tags, late_tags], ignore_index=True),
    )


def without_duplicates(blocks: list[SelectedPosts], groups: pd.DataFrame) -> tuple[list[SelectedPosts], int]:
    """Return the blocks without near-duplicates of an earlier split, and how many posts that drops."""
    ids = np.concatenate([block.ids for block in blocks])
    splits = np.concatenate([block.splits for block in blocks])
    duplicates = selection.duplicates_of_earlier_splits(groups, ids, splits)
    return [block.where(~np.isin(block.ids, duplicates)) for block in blocks], len(duplicates)


def post_steps_of(source: Source, excluded: collections.Counter[str]) -> list[Step]:
    """Return the steps of the rules for posts, those of the source (records that became no post) first."""
    reasons = collections.Counter(reason for _, _, reason in source.rejected)
    before, steps = source.num_posts + sum(reasons.values()), []
    for rule, number in [*reasons.items(), *excluded.items()]:
        steps.append({"rule": rule, "before": before, "after": before - number})
        before -= number
    return steps


def no_posts(steps: list[Step], post_filter: selection.PostFilter, files: ImageFolder | None) -> str:
    """Return why no post passed: what was looked for, what is there."""
    num_missing = sum(len(ids) for ids in post_filter.missing)
    if files and num_missing and not any(step["after"] for step in steps if step["rule"] == "file missing"):
        example = image_folder.bucket_path(int(np.concatenate(post_filter.missing)[0]))
        return (
            f"no image found: looked for {files.path}/{example} and the like (any folder, any image suffix, "
            f"the post id as name) for {num_missing} posts, found none; {files}"
        )
    if not post_filter.num_posts:
        return "no post is left: the source has none"
    counts = ", ".join(f"{step['rule']}: {step['before'] - step['after']}" for step in steps)
    return f"no post is left of {steps[0]['before']}; left out by {counts}"


def no_tags(definition: Definition, steps: list[Step], candidates: pd.DataFrame, images: np.ndarray) -> str:
    """Return which rule dropped the last tags, and how near the best came."""
    rule = next((step for step in steps if step["after"] == 0), steps[0])
    best = ""
    if len(candidates):
        name = candidates["name"].iloc[images.argmax()]
        best = f"; the tag on most kept images, {name!r}, is on {images.max()}"
    value = getattr(definition, rule["rule"], None)  # a definition has no aliases and no deprecated tags
    name = rule["rule"] if value is None else f"{rule['rule']} = {value}"
    return f"no tag is left: {name} passes none of {rule['before']} tags{best}"


def write_dataset(
    folder: pathlib.Path,
    definition: Definition,
    source: Source,
    files: ImageFolder | None,
    selected: Selection,
    options: argparse.Namespace,
) -> dict[str, int]:
    """Write every file of the dataset folder; returns ``{split: posts}``."""
    tag_list.write(selected.tags, folder / dataset_folder.TAGS)
    write_rejected(folder / "rejected.csv", source, selected.missing)
    splits, images = write_posts(folder / "posts.parquet", files, selected)
    columns = list(tag_list.COLUMNS)
    csv_tables.write_frame(folder / "tag_splits.csv", selected.tags[columns].assign(**images))
    csv_tables.write_frame(folder / "dropped_tags.csv", selected.dropped.astype({"images": "Int64"}))
    if options.write_lists:
        write_lists(folder)
    write_json(folder / dataset_folder.MANIFEST, manifest(definition, source, selected, splits, options))
    return splits


def write_rejected(path: pathlib.Path, source: Source, missing: np.ndarray) -> None:
    """Write rejected.csv (post_id, path, reason), by post id and path."""
    rows = [(post_id, image_folder.bucket_path(post_id), "file missing") for post_id in missing.tolist()]
    image_folder.write_rejected(path, [*source.rejected, *rows])


def write_posts(
    path: pathlib.Path, files: ImageFolder | None, selected: Selection
) -> tuple[dict[str, int], dict[str, np.ndarray]]:
    """Write posts.parquet block by block; returns ``{split: posts}`` and ``{split: posts of every tag}``."""
    counts, num_tags = collections.Counter(), len(selected.tags)
    images = np.zeros(len(SPLITS) * num_tags, np.int64)
    with pq.ParquetWriter(path, POSTS_SCHEMA) as writer:
        for block in selected.blocks:
            if not len(block.ids):
                continue
            offsets, labels = selection.label_indexes(block, selected.labels, selected.rating_labels)
            # One histogram for all splits: the cell of (split, tag) is split * num_tags + tag.
            cells = np.repeat(block.splits.astype(np.int64), np.diff(offsets)) * num_tags + labels
            images += np.bincount(cells, minlength=len(images))
            splits = [SPLITS[row] for row in block.splits]
            counts.update(splits)
            columns = [
                pa.array(block.ids),
                pa.array(splits),
                pa.array(_paths(block, files), pa.string()),
                pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(labels, pa.int32())),
            ]
            writer.write_table(pa.table(columns, schema=POSTS_SCHEMA))
    by_split = images.reshape(len(SPLITS), num_tags)
    images_of_tags = {split: by_split[row] for row, split in enumerate(SPLITS)}
    return {split: counts[split] for split in SPLITS if counts[split]}, images_of_tags


def _paths(block: SelectedPosts, files: ImageFolder | None) -> list[str]:
    if files is not None:
        return files.paths(block.files)
    assert block.paths is not None  # sources without an image folder find the files themselves
    return [block.paths[row] for row in block.files]


def write_lists(folder: pathlib.Path) -> None:
    """Write train.txt and so on: the files of each split, by post id, one a line."""
    columns = {name: dataset_folder.POST_COLUMNS[name] for name in ("split", "path")}
    table = parquet_files.read(folder / "posts.parquet", "the posts of a dataset", columns).to_pandas()
    for split, part in table.groupby("split"):
        text = "".join(f"{path}\n" for path in part["path"])
        (folder / f"{split}.txt").write_text(text, encoding="utf-8")


def manifest(
    definition: Definition,
    source: Source,
    selected: Selection,
    splits: dict[str, int],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Return dataset.json as far as it is known before there are records.

    It holds no time and no output path: the same input gives the same bytes.
    """
    provenance = {
        "tool": "tools/select_tags.py",
        "git": git_commit(),
        "images": options.images,
        "groups": options.groups,
        **{name: getattr(options, name) for name in EXPORTS if getattr(options, name)},
    }
    return {
        "name": definition.name,
        "tags_sha256": tag_list.digest(selected.tags),
        "num_labels": len(selected.tags),
        "image_size": definition.image_size,
        "definition": dataclasses.asdict(definition),
        "source": {
            "kind": source.kind,
            "path": source.path,
            "posts": source.num_posts,
            "tags": len(source.tags),
            **({"keeps_unrated": True} if source.keep_unrated else {}),
        },
        "selection": {"posts": selected.post_steps, "tags": selected.tag_steps, "splits": splits},
        "made": {"select_tags": provenance},
        "records": None,
    }


def summary(output: str, selected: Selection, splits: dict[str, int]) -> dict[str, Any]:
    """Return what --json prints."""
    return {
        "dataset": str(pathlib.Path(output)),
        "posts": selected.post_steps,
        "tags": selected.tag_steps,
        "splits": splits,
        "num_labels": len(selected.tags),
        "categories": count_categories(selected.tags),
        "dropped": selected.dropped["rule"].value_counts(sort=False).to_dict(),
        "files": {"dropped": "dropped_tags.csv", "images of every tag": "tag_splits.csv"},
    }


def count_categories(tags: pd.DataFrame) -> dict[str, int]:
    """Return ``{category name: tags}`` in the order of the list."""
    counts = tags["category"].value_counts(sort=False)
    rows = zip(counts.index.tolist(), counts.tolist(), strict=True)
    names = tag_list.category_names(tags)
    return {tag_list.category_name(code, names): number for code, number in rows}


def report(output: str, selected: Selection, splits: dict[str, int]) -> str:
    """Return what is printed: a line for every rule, with the number of posts or tags that it dropped."""
    lines = [f"{'posts':<44}{selected.post_steps[0]['before']:>12,}", *_lines(selected.post_steps)]
    lines += [f"{'posts kept':<44}{sum(splits.values()):>12,}"]
    lines += [f"  {split:<42}{number:>12,}" for split, number in splits.items()]
    lines += [f"{'tags':<44}{selected.tag_steps[0]['before']:>12,}", *_lines(selected.tag_steps)]
    lines += [f"{'tags kept':<44}{len(selected.tags):>12,}"]
    lines += [f"  {name:<42}{number:>12,}" for name, number in count_categories(selected.tags).items()]
    return "\n".join([*lines, f"wrote {pathlib.Path(output)}"])


def _lines(steps: list[Step]) -> list[str]:
    return [f"  {step['rule']:<42}{step['after'] - step['before']:>12,}" for step in steps]


if __name__ == "__main__":
    sys.exit(main())
