"""Pictures with all their tags, for a page to open: mistakes, a gallery drawn by lot, examples of tags."""

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from Utils.data import post_images
from Utils.data.post_images import ReadImages
from Utils.evaluation import chunked_matrix, predictions

SIDE = 320  # of a large picture, in pixels
MOST = 150  # pictures of a page: 20 to 30 kB each
NUM_GALLERY = 24
RIGHT, WRONG, MISSED = range(3)  # predicted and true, predicted only, true only


class Shot(NamedTuple):
    """An image with a mistake: its ``data:`` URI, None where no image was found."""

    address: str | None
    caption: str
    post_id: int


class TagSaid(NamedTuple):
    """A tag that is predicted or true: its column, its probability, and RIGHT, WRONG or MISSED."""

    column: int
    probability: float
    verdict: int


@dataclasses.dataclass(frozen=True)
class Example:
    """One picture of a post, as a ``data:`` URI, with the tags said of it, the likeliest first."""

    post_id: int
    address: str
    tags: list[TagSaid]


@dataclasses.dataclass(frozen=True)
class Examples:
    """The pictures of a page, and how many of them, the first ones, are its gallery."""

    pictures: list[Example]
    num_gallery: int


def choose(
    dump: predictions.Dump, threshold: float, mistakes: Iterable[int], find_pictures: ReadImages
) -> Examples:
    """Return a gallery, the posts of ``mistakes``, and for as many tags as fit one picture of each verdict.

    Args:
        dump: with labels; without image ids there are no pictures.
        threshold: above which a tag is predicted.
        mistakes: rows that the page shows already, to be opened large.
        find_pictures: posts without a picture are left out.
    """
    if dump.image_ids is None or not len(dump.probabilities):
        return Examples([], 0)
    number = len(dump.probabilities)
    drawn = np.random.default_rng(0).permutation(number)[:NUM_GALLERY].tolist()
    rows = list(dict.fromkeys([*drawn, *mistakes, *_rows_of_tags(dump, threshold)]))[:MOST]
    ids = {row: int(dump.image_ids[row]) for row in rows}
    contents = find_pictures(sorted(set(ids.values())))
    addresses = {post: post_images.data_uri(data, SIDE) for post, data in contents.items()}
    pictures = {
        row: Example(ids[row], address, _said(dump, row, threshold))
        for row in rows
        if (address := addresses.get(ids[row])) is not None
    }
    return Examples(list(pictures.values()), sum(row in pictures for row in drawn))


def _said(dump: predictions.Dump, row: int, threshold: float) -> list[TagSaid]:
    p, true = np.asarray(dump.probabilities[row]), np.asarray(dump.labels[row]) != 0
    above = chunked_matrix.is_above(p[None], chunked_matrix.as_stored(threshold, p.dtype))[0]
    columns = np.flatnonzero(above | true)
    columns = columns[np.argsort(-p[columns].astype(np.float32), kind="stable")]
    verdicts = np.where(above & true, RIGHT, np.where(above, WRONG, MISSED))
    return [TagSaid(int(column), float(p[column]), int(verdicts[column])) for column in columns]


def _rows_of_tags(dump: predictions.Dump, threshold: float) -> list[int]:
    """Return rows that show each tag right, wrong and missed, the surest of each; frequent tags first."""
    num_labels = dump.probabilities.shape[1]
    best = np.full((3, num_labels), -1, np.int64)  # the rows
    values = np.full((3, num_labels), -np.inf, np.float32)
    positives, start = np.zeros(num_labels, np.int64), 0
    stored = chunked_matrix.as_stored(threshold, dump.probabilities.dtype)
    for block, label_block in chunked_matrix.row_blocks(dump.probabilities, dump.labels):
        p, true = block.astype(np.float32), label_block != 0
        above = chunked_matrix.is_above(block, stored)
        positives += true.sum(axis=0)
        for verdict, (mask, surest) in enumerate(
            ((above & true, p), (above & ~true, p), (~above & true, -p))
        ):
            scored = np.where(mask, surest, -np.inf)
            top = scored.argmax(axis=0)
            value = scored[top, np.arange(num_labels)]
            better = value > values[verdict]
            values[verdict][better], best[verdict][better] = value[better], top[better] + start
        start += len(block)
    order = np.argsort(-positives, kind="stable")
    return [int(row) for row in best[:, order].T.ravel() if row >= 0]


def shots(
    dump: predictions.Dump, captions: Iterable[list[tuple[int, str]]], find_pictures: ReadImages
) -> list[list[Shot]]:
    """Return captions ``(row of the dump, text)`` with thumbnails; none without image ids."""
    captions = list(captions)
    if dump.image_ids is None:
        return [[] for _ in captions]
    id_of = {row: int(dump.image_ids[row]) for part in captions for row, _ in part}
    pictures = find_pictures(sorted(set(id_of.values()))) if id_of else {}
    addresses = {post: post_images.data_uri(data) for post, data in pictures.items()}
    return [
        [Shot(addresses.get(id_of[row]), caption, id_of[row]) for row, caption in part] for part in captions
    ]
