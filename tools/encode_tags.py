"""Encode the tags of posts as labels.npy: row i is post i of IDS.txt, column j is row j of the tag list.

IDS.txt has one post a line, as an id or as the path of its image relative to the image folder; the ids.npy of
a dataset is accepted too. The source is read once, in bulk. Tags are matched by id, else by name.
"""

import Utils.command.interrupt  # noqa: F401  first: imports take long

import argparse
import pathlib
import sys
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from Utils.command import programs
from Utils.command.cli import Parser, UserError, WorkError, command, print_json, progress
from Utils.command.text import counted, join_names
from Utils.data import id_lists, selection, sources
from Utils.data.definition import check_ratings_map
from Utils.data.sources.stream import PostBlock, Source
from Utils.files.output_files import FileKind, replacing_file, require_replaceable_file
from Utils.images import image_folder
from Utils.tags import tag_categories, tag_list, tag_matching


def _is_label_matrix(path: pathlib.Path) -> bool:
    matrix = np.load(path, mmap_mode="r")  # of pickled objects ValueError
    return matrix.dtype == np.uint8 and matrix.ndim == 2 and matrix.max(initial=0) <= 1


LABELS = FileKind("a matrix of labels (.npy)", _is_label_matrix)

ROWS_AT_A_TIME = 1024  # rows of labels.npy in memory


def parser() -> Parser:
    """Return the argument parser."""
    parser = Parser(prog="encode_tags.py", description=__doc__)
    parser.add_argument("ids", type=pathlib.Path, metavar="IDS.txt", help="one post id a line, or an ids.npy")
    parser.add_argument(
        "--source", choices=sorted(sources.SOURCES), help="kind of source (default: told from PATH)"
    )
    parser.add_argument(
        "--from", required=True, dest="origin", metavar="PATH", help="database, file or folder"
    )
    parser.add_argument("--images", metavar="PLACE", help="pictures of sidecars and archives (default: PATH)")
    parser.add_argument("--tags", required=True, type=pathlib.Path, help="selected_tags.csv: the columns")
    parser.add_argument("-o", "--output", required=True, type=pathlib.Path, metavar="labels.npy")
    parser.add_argument(
        "--ratings-map", nargs="+", default=[], metavar="LETTER=RATING",
        help="meaning of the letters in a source of before April 2022: s=general q=questionable e=explicit",
    )  # fmt: skip
    parser.add_argument(
        "--allow-missing", action="store_true", help="give posts missing in the source a row without labels"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    return parser


@command
def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit code."""
    options = parser().parse_args(argv)
    require_replaceable_file(options.output, LABELS, options.overwrite)
    lines = id_lists.read(options.ids)
    tags = tag_list.read(options.tags)
    if not len(tags):
        raise UserError(f"{options.tags} lists no tag, so there are no labels to write")
    if options.ratings_map and not _is_rating(tags).any():
        raise UserError(f"--ratings-map is about ratings, and {options.tags} lists none; leave it out")
    source = open_source(options)
    ids = post_ids(lines, source)
    tag_ids, columns = match_tags(tags, source.tags)
    ratings = rating_columns(tags, source, options.ratings_map)
    posts, rows = np.unique(ids, return_inverse=True)  # a post may be asked for more than once
    labels = collect(source, posts, tag_ids, columns, ratings)
    missing = posts[~labels.seen]
    if len(missing) and not options.allow_missing:
        raise WorkError(
            f"{len(missing)} of {len(posts)} posts are not in {options.origin}: "
            f"{join_names(_names_of(missing, ids, lines))}; --allow-missing gives them rows without labels"
        )
    if not labels.seen.any():
        raise UserError(f"none of the {len(posts)} posts of {options.ids} is in {options.origin}")
    with replacing_file(options.output, LABELS, options.overwrite) as part:
        write(part, labels, rows, len(tags))
    num_unknown = len(tags) - len(columns) - len(set(ratings.values()))  # letters may mean the same rating
    if options.json:
        counts = {"posts": len(ids), "tags": len(tags), "unknown_tags": num_unknown}
        print_json({"labels": str(options.output), **counts, "posts_without_labels": len(missing)})
    else:
        _report(options.output, len(ids), len(tags), num_unknown, len(missing))
    words = "-d", "PROBABILITIES.npy", "--labels", options.output, "--tags", options.tags
    print(programs.next_line("analyze_metrics", *words), file=sys.stderr)
    return 0


def post_ids(names: Sequence[int] | Sequence[str], source: Source) -> np.ndarray:
    """Return the post ids of numbers, or of lines that are a number or a picture's path: int64 (N,).

    A source that found its pictures knows the id of each; else paths give it as in a folder of just these.
    """
    lines = [name for name in names if isinstance(name, str)]
    images = dict.fromkeys(line for line in lines if image_folder.is_image(line))
    id_of = dict(zip(images, image_folder.post_ids(list(images)), strict=True))
    if images and source.kind in sources.FINDS_PICTURES:
        for block in source.blocks():
            known = zip(block.paths or (), block.ids.tolist(), strict=False)
            id_of |= {path: post_id for path, post_id in known if path in images}
    id_of |= {line: image_folder.post_id(line) for line in lines if line not in images}
    return np.array([id_of[name] if isinstance(name, str) else name for name in names], np.int64)


def _names_of(missing: np.ndarray, ids: np.ndarray, names: Sequence[int] | Sequence[str]) -> list[str]:
    """Return what the list calls posts; the id of a path is a number that no user knows."""
    name_of = dict(zip(ids.tolist(), names, strict=True))
    return [str(name_of[post]) for post in missing.tolist()]


def open_source(options: argparse.Namespace) -> Source:
    """Return the source that the flags name, or that lies at PATH."""
    kind, path = options.source, options.origin
    if kind is None:
        detected = sources.detect(path, options.images is not None)
        kind, path = detected.kind, detected.path
        print(f"{options.origin}: {detected}", file=sys.stderr)
    if kind not in sources.FINDS_PICTURES and options.images is not None:
        belongs = " and ".join(sources.FINDS_PICTURES)
        raise UserError(f"--images belongs to --source {belongs}; got --source {kind}")
    images = [options.images] if options.images is not None else []
    source = sources.SOURCES[kind](path, *images)
    for note in source.notes:
        print(note, file=sys.stderr)
    return source


def match_tags(tags: pd.DataFrame, source_tags: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(ascending tag ids of the source, their columns)`` of the tags that are in both lists.

    Raises UserError where no tag is. Ratings do not count: they are no tags of a source.
    """
    for described, owner in ((tags, "the list"), (source_tags, "the source")):
        if repeated := tag_list.describe_repeated(described):
            print(f"warning: {owner} has {repeated}", file=sys.stderr)
    source_rows = tag_matching.matching_rows(tags, source_tags)
    is_tag = ~_is_rating(tags)
    columns = np.flatnonzero((source_rows >= 0) & is_tag)
    if is_tag.any() and not len(columns):
        first, source_first = (", ".join(names[:4]) for names in (tags["name"][is_tag], source_tags["name"]))
        raise UserError(
            f"none of the {int(is_tag.sum())} tags is among the {len(source_tags)} of the source; "
            f"the list starts with {first}, the source with {source_first}"
        )
    ids = source_tags["tag_id"].to_numpy()[source_rows[columns]]
    order = np.argsort(ids)
    return ids[order], columns[order]


def _is_rating(tags: pd.DataFrame) -> np.ndarray:
    return tags["category"].to_numpy() == tag_categories.CODES["rating"]


def rating_columns(tags: pd.DataFrame, source: Source, assignments: Sequence[str]) -> dict[int, int]:
    """Return ``{code point of a rating's letter: column}`` for the ratings in the tag list.

    Args:
        assignments: words ``LETTER=RATING`` of --ratings-map.
    """
    is_rating = _is_rating(tags)
    columns = {name: row for row, name in enumerate(tags["name"]) if is_rating[row]}
    if not columns:
        return {}
    try:
        letters = {letter: rating for letter, _, rating in (word.partition("=") for word in assignments)}
        ratings_map = check_ratings_map(letters or None)
    except UserError as error:
        raise UserError(f"--ratings-map takes LETTER=RATING and {error}; got {assignments}") from error
    _, names = selection.rating_tags(source.rating_counts(), ratings_map)
    return {code: columns[name] for code, name in names.items() if name in columns}


class PostLabels:
    """The labels of posts, post after post: those of row i are labels[starts[i]:starts[i + 1]].

    Args:
        num_posts: rows.
        num_labels: all labels are smaller; it decides the dtype.
    """

    def __init__(self, num_posts: int, num_labels: int) -> None:
        self.seen = np.zeros(num_posts, bool)  # whether the source has the post
        self._sizes = np.zeros(num_posts, np.int64)
        self._parts = [np.empty(0, np.min_scalar_type(max(1, num_labels)))]

    def add(self, rows: np.ndarray, sizes: np.ndarray, labels: np.ndarray) -> None:
        """Add the labels of posts, whose rows must rise from call to call."""
        self.seen[rows] = True
        self._sizes[rows] = sizes
        self._parts.append(labels.astype(self._parts[0].dtype))

    def close(self) -> "PostLabels":
        """Join the parts; ``starts`` and ``labels`` are there afterwards."""
        self.starts = np.concatenate([[0], np.cumsum(self._sizes)])
        self.labels = np.concatenate(self._parts)
        self._parts = []
        return self


def collect(
    source: Source, posts: np.ndarray, tag_ids: np.ndarray, columns: np.ndarray, ratings: Mapping[int, int]
) -> PostLabels:
    """Return the labels that a source has for some posts, given by ascending ids.

    Args:
        tag_ids, columns: as `match_tags` returns them.
        ratings: as `rating_columns` returns them.
    """
    num_labels = int(max([*columns.tolist(), *ratings.values()], default=0)) + 1
    labels = PostLabels(len(posts), num_labels)
    for block in progress(source.blocks(), label="read", unit="blocks"):
        rows = np.minimum(np.searchsorted(posts, block.ids), len(posts) - 1)
        is_asked = posts[rows] == block.ids
        places, values = _block_labels(block, is_asked, tag_ids, columns, ratings)
        sizes = np.bincount(places, minlength=len(block.ids))
        labels.add(rows[is_asked], sizes[is_asked], values[np.argsort(places, kind="stable")])
    return labels.close()


def _block_labels(
    block: PostBlock,
    is_asked: np.ndarray,
    tag_ids: np.ndarray,
    columns: np.ndarray,
    ratings: Mapping[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Return ``(place in the block, label)`` pairs of the posts that were asked for, unordered."""
    pairs = []
    if len(tag_ids):
        places = np.repeat(np.arange(len(block.ids)), np.diff(block.offsets))
        tags = np.minimum(np.searchsorted(tag_ids, block.tag_ids), len(tag_ids) - 1)
        is_label = is_asked[places] & (tag_ids[tags] == block.tag_ids)
        pairs.append((places[is_label], columns[tags[is_label]]))
    for code, label in ratings.items():
        rated = np.flatnonzero(is_asked & (block.ratings == code))
        pairs.append((rated, np.full(len(rated), label)))
    places, values = zip(*pairs, strict=True) if pairs else ((), ())
    return np.concatenate([np.empty(0, np.int64), *places]), np.concatenate([np.empty(0, np.int64), *values])


def write(path: pathlib.Path, labels: PostLabels, rows: np.ndarray, num_labels: int) -> None:
    """Write labels.npy, uint8 (len(rows), num_labels): row i has the labels of post ``rows[i]``."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (len(rows), num_labels)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        # Block by block: the dense matrix of millions of posts would not fit in memory.
        for start in range(0, len(rows), ROWS_AT_A_TIME):
            block_rows = rows[start : start + ROWS_AT_A_TIME].tolist()
            block = np.zeros((len(block_rows), num_labels), np.uint8)
            for line, row in zip(block, block_rows, strict=True):
                line[labels.labels[labels.starts[row] : labels.starts[row + 1]]] = 1
            file.write(block.data)


def _report(path: pathlib.Path, num_rows: int, num_tags: int, num_unknown: int, num_missing: int) -> None:
    if num_unknown:
        print(
            f"{num_unknown} of {num_tags} tags are unknown to the source: their columns are 0",
            file=sys.stderr,
        )
    without = f", {counted(num_missing, 'post')} without labels" if num_missing else ""
    print(f"{path}: {counted(num_rows, 'post')}, {counted(num_tags, 'tag')}{without}")


if __name__ == "__main__":
    sys.exit(main())
