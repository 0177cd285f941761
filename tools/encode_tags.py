"""Encode the tags of posts as labels.npy: row i is line i of IDS.txt, column j is row j of the tag list.

IDS.txt has one post a line, as an id or as the path of its image relative to the image folder; an ids.npy of
a dataset will do too. The source is read once, in bulk. Tags are matched by id, else by name.
"""

import pathlib
import sys
import types

import numpy as np

from Utils.command.cli import Parser, UserError, WorkError, command, progress
from Utils.command.text import join_names
from Utils.data import selection, sources
from Utils.evaluation.predictions import matrix
from Utils.files.atomic import replacing, require_absent, require_file
from Utils.images import image_folder
from Utils.tags import tag_list

WRITTEN = 1024  # rows at a time


def parser():
    """Return the argument parser."""
    made = Parser(prog="encode_tags.py", description=__doc__)
    made.add_argument("ids", type=pathlib.Path, metavar="IDS.txt", help="one post a line, or an ids.npy")
    made.add_argument("--source", required=True, choices=sorted(sources.SOURCES), help="what kind of booru")
    made.add_argument("--from", required=True, dest="origin", metavar="PATH", help="database, file or folder")
    made.add_argument("--images", metavar="DIR", help="image folder of sidecars (PATH unless given)")
    made.add_argument("--tags", required=True, type=pathlib.Path, help="selected_tags.csv: the columns")
    made.add_argument("-o", "--output", required=True, type=pathlib.Path, metavar="labels.npy")
    made.add_argument(
        "--ratings-map", nargs="+", default=[], metavar="LETTER=RATING",
        help="what the letters of a source of before April 2022 mean: s=general q=questionable e=explicit",
    )  # fmt: skip
    made.add_argument(
        "--allow-missing",
        action="store_true",
        help="posts that the source lacks get no labels",
    )
    made.add_argument("--overwrite", action="store_true", help="replace an existing file")
    return made


@command
def main(argv=None):
    """Run the command."""
    options = parser().parse_args(argv)
    require_absent(options.output, options.overwrite)
    ids = read_ids(options.ids)
    tags = tag_list.read(options.tags)
    source = _source(options)
    labels = tag_labels(tags, source.tags)
    ratings = rating_labels(tags, source, options.ratings_map)
    wanted, rows = np.unique(ids, return_inverse=True)
    found = collect(source, wanted, labels, ratings)
    missing = wanted[~found.seen]
    if len(missing) and not options.allow_missing:
        raise WorkError(
            f"{len(missing)} of {len(wanted)} posts are not in {options.origin}: "
            f"{join_names(missing.tolist())}; --allow-missing gives them rows without labels"
        )
    write(options.output, found, rows, len(tags))
    _say(options, len(ids), tags, labels, ratings, len(missing))
    return 0


def read_ids(path):
    """Return the post ids of a file, (N,) int64, in its order."""
    if path.suffix == ".npy":
        ids = matrix(path, 1)
        if ids.dtype.kind not in "iu":
            raise UserError(f"{path} must hold whole numbers; got {ids.dtype}")
        ids = ids.tolist()
    else:
        ids = _lines(path)
    if not ids:
        raise UserError(f"{path} names no post; one id or path a line is expected")
    return np.array(ids, np.int64)


def _lines(path):
    lines = require_file(path, "a list of post ids").read_text(encoding="utf-8-sig").splitlines()
    return [image_folder.post_id(line.strip()) for line in lines if line.strip()]


def _source(options):
    if options.images is None:
        return sources.SOURCES[options.source](options.origin)
    if options.source != "sidecars":
        raise UserError(f"--images belongs to --source sidecars; got --source {options.source}")
    return sources.sidecars(options.origin, options.images)


def tag_labels(tags, known):
    """Return ``(rising tag ids of the source, their labels)`` of the tags that are in both lists.

    Raises UserError where no tag is, but for ratings, which are no tags of a source.
    """
    rows = tag_list.matches(tags, known)
    named = tags["category"].to_numpy() != tag_list.CATEGORIES["rating"]
    labels = np.flatnonzero((rows >= 0) & named)
    if named.any() and not len(labels):
        raise UserError(
            f"none of the {int(named.sum())} tags is among the {len(known)} of the source; the list starts "
            f"with {', '.join(tags['name'][named][:4])}, the source with {', '.join(known['name'][:4])}"
        )
    ids = known["tag_id"].to_numpy()[rows[labels]]
    order = np.argsort(ids)
    return ids[order], labels[order]


def rating_labels(tags, source, mapped):
    """Return ``{code point of a rating's letter: label}`` for the ratings in the tag list."""
    rated = tags[tags["category"] == tag_list.CATEGORIES["rating"]]
    places = {name: row for row, name in zip(rated.index, rated["name"], strict=True)}
    if not places:
        return {}
    given = dict(word.partition("=")[::2] for word in mapped) or None
    unknown = [name for name in (given or {}).values() if name not in tag_list.RATINGS]
    if unknown or any(len(letter) != 1 for letter in given or {}):
        raise UserError(
            f"--ratings-map takes LETTER=RATING, one of {', '.join(tag_list.RATINGS)}; got {mapped}"
        )
    counts = source.rating_counts()
    _, names = selection.rating_rows(types.SimpleNamespace(ratings_map=given), counts)
    return {code: int(places[name]) for code, name in names.items() if name in places}


class Found:
    """The labels of posts, post after post: those of row i are labels[starts[i]:starts[i + 1]]."""

    def __init__(self, num_posts, num_labels):
        self.seen, self.sizes = np.zeros(num_posts, bool), np.zeros(num_posts, np.int64)
        self.parts, self.dtype = [], np.min_scalar_type(max(1, num_labels))

    def add(self, rows, sizes, labels):
        """Note the labels of posts, whose rows must rise from call to call."""
        self.seen[rows] = True
        self.sizes[rows] = sizes
        self.parts.append(labels.astype(self.dtype))

    def close(self):
        """Make the lists of all posts one."""
        self.starts = np.concatenate([[0], np.cumsum(self.sizes)])
        self.labels = np.concatenate([np.empty(0, self.dtype), *self.parts])
        self.parts = []
        return self


def collect(source, wanted, labels, ratings):
    """Return what the source has of the posts ``wanted``, rising ids, as `Found`."""
    tag_ids, columns = labels
    found = Found(len(wanted), int(max([*columns.tolist(), *ratings.values()], default=0)) + 1)
    for block in progress(source.blocks(), label="read", unit="blocks"):
        place = np.minimum(np.searchsorted(wanted, block.ids), len(wanted) - 1)
        kept = wanted[place] == block.ids
        post = np.repeat(np.arange(len(block.ids)), np.diff(block.offsets))
        at = np.minimum(np.searchsorted(tag_ids, block.tag_ids), max(0, len(tag_ids) - 1))
        known = kept[post] & (tag_ids[at] == block.tag_ids if len(tag_ids) else False)
        pairs = [(post[known], columns[at[known]] if len(tag_ids) else at[known])]
        for code, label in ratings.items():
            rated = np.flatnonzero(kept & (block.ratings == code))
            pairs.append((rated, np.full(len(rated), label)))
        post, values = (np.concatenate(part) for part in zip(*pairs, strict=True))
        sizes = np.bincount(post, minlength=len(block.ids))
        found.add(place[kept], sizes[kept], values[np.argsort(post, kind="stable")])
    return found.close()


def write(path, found, rows, num_labels):
    """Write labels.npy, uint8 (len(rows), num_labels): row i has the labels of post ``rows[i]``."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), num_labels)}
    with replacing(path) as beside, beside.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for at in range(0, len(rows), WRITTEN):
            block = np.zeros((len(rows[at : at + WRITTEN]), num_labels), np.uint8)
            for line, row in zip(block, rows[at : at + WRITTEN].tolist(), strict=True):
                line[found.labels[found.starts[row] : found.starts[row + 1]]] = 1
            file.write(block.data)


def _say(options, num_rows, tags, labels, ratings, num_missing):
    known = len(labels[1]) + len(ratings)
    if known < len(tags):
        print(
            f"{len(tags) - known} of {len(tags)} tags are unknown to the source: their columns are 0",
            file=sys.stderr,
        )
    without = f", {num_missing} posts without labels" if num_missing else ""
    print(f"{options.output}: {num_rows:,} posts, {len(tags):,} tags{without}")


if __name__ == "__main__":
    sys.exit(main())
