"""Confused tags: pairs of a tag that is wrongly predicted and a tag that is missed on the same image."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from Utils.evaluation import chunked_matrix
from Utils.evaluation.chunked_matrix import Matrix
from Utils.evaluation.scores import Counts

CONSIDERED = 1000  # tags of most false positives and of most misses, so that the counts fit into memory
MIN_IMAGES = 2  # that a pair needs
MIN_DEVIATIONS = 2.0  # standard deviations of chance by which a pair must stand out


@dataclasses.dataclass(frozen=True)
class Pair:
    """On ``images`` images the tag ``predicted`` was wrongly predicted and the tag ``true`` was missed."""

    predicted: int  # column
    true: int  # column
    images: int
    expected: float  # images, if the two mistakes had nothing to do with one another


def pairs(
    probabilities: Matrix, labels: Matrix, threshold: Any, counts: Counts, most: int = 20
) -> list[Pair]:
    """Return the `Pair`s that stand out most, by (images - expected) / sqrt(expected + 1).

    Frequent tags are wrong together by chance; a confusion is the excess over that chance.

    Args:
        probabilities: (N, L).
        labels: (N, L).
        threshold: a tag is predicted above it.
        counts: of every tag at the threshold.
        most: so many pairs at most.
    """
    wrong, missed = _most_mistaken(counts.fp), _most_mistaken(counts.fn)
    if not len(wrong) or not len(missed):
        return []
    together = np.zeros((len(wrong), len(missed)), np.float32)  # exact up to 2**24 images
    for above, label in _masks(probabilities, labels, threshold):
        false_positives = above[:, wrong] & ~label[:, wrong]
        misses = label[:, missed] & ~above[:, missed]
        # Of a product of 0/1 matrices each cell counts the images in which both mistakes were made.
        together += false_positives.astype(np.float32).T @ misses.astype(np.float32)
    expected = np.outer(counts.fp[wrong], counts.fn[missed]) / len(labels)
    # A count that is rare by chance is about Poisson: its standard deviation is the root of its mean.
    deviations = np.where(together >= MIN_IMAGES, (together - expected) / np.sqrt(expected + 1), -np.inf)
    order = np.argsort(-deviations, axis=None, kind="stable")[:most]
    return [
        Pair(int(wrong[i]), int(missed[j]), int(together[i, j]), float(expected[i, j]))
        for i, j in zip(*np.unravel_index(order, deviations.shape), strict=True)
        if deviations[i, j] > MIN_DEVIATIONS
    ]


def _most_mistaken(mistakes: np.ndarray) -> np.ndarray:
    """Return the columns with most mistakes, without those that have none."""
    order = np.argsort(-mistakes, kind="stable")[:CONSIDERED]
    return np.sort(order[mistakes[order] > 0])


def _masks(probabilities: Matrix, labels: Matrix, threshold: Any) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    threshold = chunked_matrix.as_stored(threshold, probabilities.dtype)
    for block, label_block in chunked_matrix.row_blocks(probabilities, labels):
        yield chunked_matrix.is_above(block, threshold), label_block != 0


def read_columns(probabilities: Matrix, labels: Matrix, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a few columns of probabilities and labels as float32 and bool ``(N, len(columns))``."""
    parts = [
        (block[:, columns].astype(np.float32), label_block[:, columns] != 0)
        for block, label_block in chunked_matrix.row_blocks(probabilities, labels)
    ]
    values, true = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return values, true


def worst_rows(
    probability: np.ndarray, label: np.ndarray, threshold: float, most: int = 2
) -> tuple[list[int], list[int]]:
    """Return rows of one tag that show its mistakes: ``(missed, wrong)``, the gravest first.

    probability: (N,); label: (N,) bool.
    """
    stored = np.float32(threshold)
    missed = np.flatnonzero(label & ~(probability > stored))
    wrong = np.flatnonzero(~label & (probability > stored))
    missed = missed[np.argsort(probability[missed], kind="stable")]
    wrong = wrong[np.argsort(-probability[wrong], kind="stable")]
    return missed[:most].tolist(), wrong[:most].tolist()


def pair_rows(probability: np.ndarray, label: np.ndarray, threshold: float, most: int = 3) -> list[int]:
    """Return rows on which a pair was confused, the surest first.

    probability, label: (N, 2), the tag wrongly predicted and the one missed.
    """
    above = probability > np.float32(threshold)
    rows = np.flatnonzero(above[:, 0] & ~label[:, 0] & label[:, 1] & ~above[:, 1])
    return rows[np.argsort(-probability[rows, 0], kind="stable")][:most].tolist()
