"""Posts on which taggers disagree, for a page: pictures with the tags that some predict and others do not."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from Utils.comparison.comparison import Comparison
from Utils.evaluation import chunked_matrix, scores

MOST_DISPUTED = 12  # posts that are shown for the number of tags in dispute
OF_EACH = 4  # posts that are shown for one tagger's lead


@dataclasses.dataclass(frozen=True)
class Disagreement:
    """A post, and the tags that some taggers predict and others do not, the true ones first."""

    row: int
    post_id: int
    tags: list[tuple[int, bool, list[bool]]]  # (judged tag, whether true, whether each tagger predicts it)
    f1: list[float]  # of every tagger on this post, NaN without a tag


@dataclasses.dataclass(frozen=True)
class Disagreements:
    """The posts of a page."""

    disputed: list[Disagreement]  # those with most tags in dispute
    leads: dict[str, list[Disagreement]]  # by tagger: where it is furthest ahead of the mean of the others


def find(result: Comparison) -> Disagreements:
    """Return posts on which the taggers disagree, each tagger at its own P = R threshold."""
    disputes, f1 = _by_post(result)
    order = np.argsort(-disputes, kind="stable")[:MOST_DISPUTED]
    disputed = [_describe(result, row, f1) for row in order.tolist() if disputes[row]]
    leads = {}
    for number, contestant in enumerate(result.contestants):
        others = np.delete(f1, number, axis=1)
        lead = f1[:, number] - others.mean(axis=1) if others.shape[1] else np.zeros(len(f1))
        lead = np.where(np.isnan(lead), -np.inf, lead)
        best = np.argsort(-lead, kind="stable")[:OF_EACH]
        leads[contestant.name] = [_describe(result, row, f1) for row in best.tolist() if lead[row] > 0]
    return Disagreements(disputed, leads)


def _by_post(result: Comparison) -> tuple[np.ndarray, np.ndarray]:
    """Return the number of tags in dispute (N,), and F1 of every tagger (N, T), of every post."""
    disputes, f1 = [], []
    for predicted, labels in _blocks(result):
        disputes.append((predicted.any(axis=0) & ~predicted.all(axis=0)).sum(axis=1))
        tp, num_predicted = (predicted & labels).sum(axis=2), predicted.sum(axis=2)
        true = labels.sum(axis=1)
        f1.append(scores.f_beta(scores.Counts(tp, num_predicted - tp, true - tp, 0)).T)
    return np.concatenate(disputes), np.concatenate(f1)


def _blocks(result: Comparison) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield ``(predictions (T, B, K) bool, labels (B, K) bool)``."""
    for *blocks, labels in chunked_matrix.row_blocks(*result.probabilities, result.labels):
        yield _predicted(result, blocks), labels != 0


def _predicted(result: Comparison, blocks: list[np.ndarray]) -> np.ndarray:
    limits: list[Any] = [result.scored[each.name].at_equality.threshold for each in result.contestants]
    return np.stack(
        [chunked_matrix.is_above(block, limit) for block, limit in zip(blocks, limits, strict=True)]
    )


def _describe(result: Comparison, row: int, f1: np.ndarray) -> Disagreement:
    predicted = _predicted(result, [view[row : row + 1] for view in result.probabilities])[:, 0]
    labels = result.labels[row] != 0
    columns = np.flatnonzero(predicted.any(axis=0) & ~predicted.all(axis=0))
    columns = columns[np.lexsort((columns, -predicted[:, columns].sum(axis=0), ~labels[columns]))]
    tags = [(column, bool(labels[column]), predicted[:, column].tolist()) for column in columns.tolist()]
    return Disagreement(row, int(result.posts.ids[row]), tags, f1[row].tolist())
