"""Choose the tags and posts of a dataset: a definition and a booru go in, a dataset folder comes out.

    python tools/select_tags.py 2021_0000_0899 --source fire-eggs --from danbooru.db --images 512px -o dataset
    python tools/select_tags.py my.toml --source sidecars --from pictures -o dataset

Writes selected_tags.csv, posts.parquet, rejected.csv, dataset.json, tag_splits.csv (posts of every tag in
every split), dropped_tags.csv (the rule that left out each tag, but for tags of other categories);
tools/write_records.py adds the images.
"""

import collections
import dataclasses
import pathlib
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from Utils.command.cli import Parser, UserError, command, print_json, progress
from Utils.data import selection, sources, tag_rules
from Utils.data.definition import SPLITS, read_definition
from Utils.data.sources import stream
from Utils.evaluation import duplicate_groups
from Utils.files import csv_tables
from Utils.files.atomic import git_commit, replacing_folder, require_absent, write_json
from Utils.images import image_folder
from Utils.tags import tag_list

POSTS = pa.schema(
    [
        ("post_id", pa.int64()),
        ("split", pa.string()),
        ("path", pa.string()),
        ("label_indexes", pa.list_(pa.int32())),
    ]
)

EXPORTS = {
    "aliases": "antecedent_name is written as consequent_name",
    "implications": "a post with antecedent_name has consequent_name too",
    "deprecated": "tags that are left out (name, is_deprecated)",
    "tags": "categories and ids (name, category, id, is_deprecated), for sources that lack them",
}


def parser():
    """Return the argument parser."""
    words = Parser(prog="tools/select_tags.py", description=__doc__)
    words.add_argument("definition", help="definition.toml, or a folder that holds one")
    words.add_argument("--source", required=True, choices=sorted(sources.SOURCES), help="what kind of booru")
    words.add_argument("--from", required=True, dest="origin", metavar="PATH", help="its database or folder")
    words.add_argument("--images", metavar="DIR", help="image folder (sidecars: PATH unless given)")
    words.add_argument("-o", "--output", required=True, metavar="DATASET", help="dataset folder to make")
    words.add_argument(
        "--groups", metavar="CSV", help="groups of near-duplicates (group,post_id,...): one split each"
    )
    words.add_argument(
        "--write-lists", action="store_true", help="also write train.txt ...: the files of each split"
    )
    for name, what in EXPORTS.items():
        words.add_argument(f"--{name}", metavar="FILE", help=f"Danbooru's export (CSV, JSON lines): {what}")
    words.add_argument("--json", action="store_true", help="print one JSON object")
    words.add_argument("--overwrite", action="store_true", help="replace DATASET where it exists")
    return words


@command
def main(argv=None):
    """Run the command; returns the exit code."""
    options = parser().parse_args(argv)
    require_absent(options.output, options.overwrite)
    definition = read_definition(options.definition)
    groups = duplicate_groups.read(options.groups) if options.groups else None
    rules = tag_rules.read(**{name: getattr(options, name) for name in EXPORTS})
    source, files = open_source(options)
    tidied = tag_rules.tidied(source, rules)
    chosen = choose(definition, *tidied, files, groups)
    with replacing_folder(options.output, options.overwrite) as beside:
        splits = write_dataset(beside, definition, source, files, chosen, options)
    if options.json:
        print_json(summary(options.output, chosen, splits))
    else:
        print(report(options.output, chosen, splits))
    return 0


def open_source(options):
    """Return the source, and the index of its image folder (None where the source found the files itself)."""
    if options.source == "sidecars":
        return sources.sidecars(options.origin, options.images), None
    if not options.images:
        raise UserError(
            f"--images DIR is needed with --source {options.source}: posts without a file are left out"
        )
    named = options.source != "fire-eggs"  # their posts have an MD5, and files may be named by it
    files = image_folder.index(
        options.images, named
    )  # first: it is quick to say that there is no such folder
    return sources.SOURCES[options.source](options.origin), files


@dataclasses.dataclass(frozen=True)
class Chosen:
    """What the rules left: posts in blocks, the tag list, and how it came about."""

    blocks: list  # of selection.Kept
    tags: pd.DataFrame
    labels: np.ndarray  # candidate row -> label, -1 for none
    rating_labels: dict  # code point -> label
    missing: np.ndarray  # ids of posts without a file
    post_steps: list  # {"rule", "before", "after"}
    tag_steps: list
    dropped: pd.DataFrame  # tags left out: tag_id, name, category, count, images, rule


def choose(definition, source, tag_steps, dropped, files, groups=None):
    """Apply every rule of the definition to a source; UserError where nothing is left.

    Args:
        tag_steps, dropped: what `tag_rules.tidied` did to the source's tags before.
    """
    frame, more, rare = selection.candidates(source.tags, definition)
    tag_steps = [*tag_steps, *more]
    ratings, codes = None, {}
    if definition.ratings_as_labels:
        ratings, codes = selection.rating_rows(definition, source.rating_counts())
    find = files.find if files else None
    sieve = selection.Sieve(definition, frame["tag_id"].to_numpy(), find, source.keep_unrated)
    blocks = [
        sieve.keep(block)
        for block in progress(source.blocks(), total=blocks_of(source), label="posts", unit="block")
    ]
    left_out = collections.Counter(sieve.left_out)
    if groups is not None:
        blocks, left_out["near-duplicate in an earlier split"] = without_leavers(blocks, groups)
    post_steps = steps_of(source, left_out)
    kept = sum(len(block.ids) for block in blocks)
    if not kept:
        raise UserError(no_posts(post_steps, sieve, files))
    images = selection.tag_images(blocks, len(frame))
    alive, more, late = selection.choose_tags(frame, images, kept, source.num_posts, definition)
    if not alive.any():
        raise UserError(no_tags(definition, tag_steps + more, frame, images))
    final, labels = selection.tag_list(frame, alive, ratings)
    rows = {
        name: row
        for row, name in enumerate(final["name"][final["category"] == tag_list.CATEGORIES["rating"]])
    }
    rating_labels = {code: rows[name] for code, name in codes.items()}
    missing = np.concatenate([*sieve.missing, np.empty(0, np.int64)])
    dropped = pd.concat([dropped, rare, late], ignore_index=True)
    return Chosen(blocks, final, labels, rating_labels, missing, post_steps, tag_steps + more, dropped)


def blocks_of(source):
    """Return how many blocks a source gives."""
    return -(-source.num_posts // stream.BLOCK)


def without_leavers(blocks, groups):
    """Return the blocks without near-duplicates of an earlier split, and how many posts that left out."""
    ids = np.concatenate([block.ids for block in blocks])
    leavers = selection.group_leavers(groups, ids, np.concatenate([block.splits for block in blocks]))
    return [block.where(~np.isin(block.ids, leavers)) for block in blocks], len(leavers)


def steps_of(source, left_out):
    """Turn counts of what every rule left out into ``[{"rule", "before", "after"}]``."""
    reasons = collections.Counter(reason.split(" by ")[0] for _, _, reason in source.rejected)
    at, steps = source.num_posts + sum(reasons.values()), []
    for rule, number in [*reasons.items(), *left_out.items()]:
        steps.append({"rule": rule, "before": at, "after": at - number})
        at -= number
    return steps


def no_posts(steps, sieve, files):
    """Say why no post was kept: what was looked for, what is there."""
    looked = sum(len(ids) for ids in sieve.missing)
    if looked and not any(step["after"] for step in steps if step["rule"] == "file missing"):
        example = image_folder.bucket_path(int(np.concatenate(sieve.missing)[0]))
        return (
            f"no image found: looked for {files.path / example} and the like (any folder, any image suffix, "
            f"the post id as name) for {looked} posts, found none; {files}"
        )
    if not sieve.posts:
        return "no post is left: the source has none"
    counts = ", ".join(f"{step['rule']}: {step['before'] - step['after']}" for step in steps)
    return f"no post is left of {steps[0]['before']}; left out by {counts}"


def no_tags(definition, steps, frame, images):
    """Say which rule left no tag, and how near the best came."""
    rule = next((step for step in steps if step["after"] == 0), steps[0])
    best = (
        f"; the tag on most kept images, {frame['name'].iloc[images.argmax()]!r}, is on {images.max()}"
        if len(frame)
        else ""
    )
    value = getattr(definition, rule["rule"], None)  # aliases and deprecated tags are in no definition
    name = rule["rule"] if value is None else f"{rule['rule']} = {value}"
    return f"no tag is left: {name} passes none of {rule['before']} tags{best}"


def write_dataset(folder, definition, source, files, chosen, options):
    """Write every file of the dataset folder; returns ``{split: posts}``."""
    tag_list.write(chosen.tags, folder / tags_file())
    write_rejected(folder / "rejected.csv", source, chosen.missing)
    splits, images = write_posts(folder / "posts.parquet", files, chosen)
    csv_tables.write_frame(folder / "tag_splits.csv", chosen.tags[list(tag_list.COLUMNS)].assign(**images))
    csv_tables.write_frame(folder / "dropped_tags.csv", chosen.dropped.astype({"images": "Int64"}))
    if options.write_lists:
        write_lists(folder)
    write_json(folder / "dataset.json", manifest(definition, source, chosen, splits, options))
    return splits


def tags_file():
    """Return the name of the tag list in a dataset folder."""
    return "selected_tags.csv"


def write_rejected(path, source, missing):
    """Write rejected.csv (post_id, path, reason), by post id and path."""
    rows = [(number, image_folder.bucket_path(number), "file missing") for number in missing.tolist()]
    image_folder.write_rejected(path, [*source.rejected, *rows])


def write_posts(path, files, chosen):
    """Write posts.parquet block by block; returns ``{split: posts}`` and ``{split: posts of every tag}``."""
    counts, num_tags = collections.Counter(), len(chosen.tags)
    images = np.zeros(len(SPLITS) * num_tags, np.int64)
    with pq.ParquetWriter(path, POSTS) as writer:
        for block in chosen.blocks:
            if not len(block.ids):
                continue
            offsets, values = selection.label_lists(block, chosen.labels, chosen.rating_labels)
            rows = np.repeat(block.splits.astype(np.int64), np.diff(offsets)) * num_tags + values
            images += np.bincount(rows, minlength=len(images))
            splits = [SPLITS[row] for row in block.splits]
            counts.update(splits)
            paths = files.paths(block.places) if files else [block.paths[row] for row in block.places]
            labels = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, pa.int32()))
            columns = [pa.array(block.ids), pa.array(splits), pa.array(paths, pa.string()), labels]
            writer.write_table(pa.table(columns, schema=POSTS))
    parts = dict(zip(SPLITS, images.reshape(len(SPLITS), num_tags), strict=True))
    return {split: counts[split] for split in SPLITS if counts[split]}, parts


def write_lists(folder):
    """Write train.txt and so on: the files of each split, by post id, one a line."""
    table = pq.read_table(folder / "posts.parquet", columns=["split", "path"]).to_pandas()
    for split, part in table.groupby("split"):
        text = "".join(f"{path}\n" for path in part["path"])
        (folder / f"{split}.txt").write_text(text, encoding="utf-8")


def manifest(definition, source, chosen, splits, options):
    """Return dataset.json as far as it is known before there are records. No clock, no output path in it."""
    made = {
        "tool": "tools/select_tags.py",
        "git": git_commit(),
        "images": options.images,
        "groups": options.groups,
        **{name: getattr(options, name) for name in EXPORTS if getattr(options, name)},
    }
    return {
        "name": definition.name,
        "tags_sha256": tag_list.digest(chosen.tags),
        "num_labels": len(chosen.tags),
        "image_size": definition.image_size,
        "definition": dataclasses.asdict(definition),
        "source": {
            "kind": source.kind,
            "path": source.path,
            "posts": source.num_posts,
            "tags": len(source.tags),
        },
        "selection": {"posts": chosen.post_steps, "tags": chosen.tag_steps, "splits": splits},
        "made": {"select_tags": made},
        "records": None,
    }


def summary(output, chosen, splits):
    """Return what --json prints."""
    dropped = chosen.dropped["rule"].value_counts(sort=False).to_dict()
    kept = {
        tag_list.category_name(code): n
        for code, n in chosen.tags["category"].value_counts(sort=False).items()
    }
    return {
        "dataset": str(pathlib.Path(output)),
        "posts": chosen.post_steps,
        "tags": chosen.tag_steps,
        "splits": splits,
        "num_labels": len(chosen.tags),
        "categories": kept,
        "dropped": dropped,
        "files": {"dropped": "dropped_tags.csv", "images of every tag": "tag_splits.csv"},
    }


def report(output, chosen, splits):
    """Return what is printed: a line for every rule, with what it left out."""
    lines = [f"{'posts':<44}{chosen.post_steps[0]['before']:>12,}"] + _lines(chosen.post_steps)
    lines += [f"{'posts kept':<44}{sum(splits.values()):>12,}"]
    lines += [f"  {split:<42}{number:>12,}" for split, number in splits.items()]
    lines += [f"{'tags':<44}{chosen.tag_steps[0]['before']:>12,}"] + _lines(chosen.tag_steps)
    lines += [f"{'tags kept':<44}{len(chosen.tags):>12,}"]
    for code, number in chosen.tags["category"].value_counts(sort=False).items():
        lines.append(f"  {tag_list.category_name(code):<42}{number:>12,}")
    return "\n".join([*lines, f"wrote {pathlib.Path(output)}"])


def _lines(steps):
    return [f"  {step['rule']:<42}{step['after'] - step['before']:>12,}" for step in steps]


if __name__ == "__main__":
    sys.exit(main())
