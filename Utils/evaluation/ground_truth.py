"""Ground truth of posts from a CSV ``image_id,tags`` (tag names separated by spaces), and scores against it.

A drawn booru comes with it (truth.csv), and a checked part of a real one can be written so. An audit of
labels is scored against it, and so are models; posts that the truth does not name are left out.
"""

import collections
import dataclasses
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.command.text import composed
from Utils.evaluation import same_pictures
from Utils.evaluation.alignment import AlignedDumps, MatrixView
from Utils.evaluation.chunked_matrix import BLOCK_ROWS, Matrix
from Utils.evaluation.predictions import Dump
from Utils.files import csv_tables

Truth = Mapping[int, Collection[str]]  # post id -> names of its tags


def read(path: Any) -> dict[int, set[str]]:
    """Return ``post id -> set of tag names``.

    Raises UserError if a column is missing, an id is no number or comes twice, or commas separate the tags.
    """
    frame = csv_tables.read(
        path, "a truth (image_id,tags)", ("image_id", "tags"), dtype=str, keep_default_na=False
    )
    ids = frame["image_id"]
    wrong = ids.loc[~ids.str.fullmatch(r"\s*[0-9]{1,19}\s*")]
    if len(wrong):
        raise UserError(f"{path}: {wrong.iloc[0]!r} is no post id")
    numbers = ids.map(int)
    if numbers.duplicated().any():
        raise UserError(f"{path}: post {numbers[numbers.duplicated()].iloc[0]} stands there more than once")
    commas = frame["tags"].loc[frame["tags"].str.contains(r",(?:\s|$)")]
    if len(commas):
        raise UserError(f"{path}: tags are separated by spaces, without commas; got {commas.iloc[0]!r}")
    return {int(post): set(composed(names).split()) for post, names in zip(ids, frame["tags"], strict=True)}


def labels_of(truth: Truth, ids: Sequence[int], names: Sequence[str]) -> np.ndarray:
    """Return the true labels (N, K) bool of posts that the truth names, for tags by their names."""
    columns_of = collections.defaultdict(list)
    for column, name in enumerate(names):
        columns_of[name].append(column)
    labels = np.zeros((len(ids), len(names)), bool)
    for row, post in enumerate(ids):
        labels[row, [column for name in truth[post] for column in columns_of.get(name, ())]] = True
    return labels


def require_same_pictures(
    truth: Truth, labels: Matrix, ids: np.ndarray, names: Sequence[str], of: object
) -> None:
    """Raise UserError where the truth is of other pictures than labels (N, K) of posts (N,).

    `Utils.evaluation.same_pictures` has the rule; ``of`` names in the error what has the labels.
    """
    rows = np.flatnonzero([post in truth for post in ids.tolist()])[: same_pictures.MOST_POSTS]
    overlap = same_pictures.Overlap()
    for start in range(0, len(rows), BLOCK_ROWS):
        part = rows[start : start + BLOCK_ROWS]
        given = MatrixView(labels, part, np.arange(len(names)))[:]
        overlap.add(given, labels_of(truth, ids[part].tolist(), names))
    overlap.require("the truth", of)


def with_true_labels(aligned: AlignedDumps, truth: Truth) -> AlignedDumps:
    """Return predictions with the truth for labels, without the images that it does not name.

    Raises UserError if it names none of them, or is of other pictures.
    """
    ids = np.empty(0, np.int64) if aligned.image_ids is None else aligned.image_ids
    rows = np.flatnonzero([post in truth for post in ids.tolist()])
    if not len(rows):
        raise UserError(f"the truth names none of the {len(ids)} image ids that the dumps have in common")
    names = aligned.tags["name"].to_list()
    if aligned.truth is not None:
        require_same_pictures(truth, aligned.truth, ids, names, "the dumps")
    labels = labels_of(truth, ids[rows].tolist(), names)
    views: list[MatrixView | None] = [MatrixView(labels, np.arange(len(rows)), np.arange(len(names)))]
    return dataclasses.replace(
        aligned,
        image_ids=ids[rows],
        probabilities=[view.select_rows(rows) for view in aligned.probabilities],
        labels=views * len(aligned.probabilities),
    )


def missing_labels(dump: Dump, columns: np.ndarray, truth: Truth) -> tuple[set[int], set[tuple[int, str]]]:
    """Return ``(posts that the truth names, {(post id, tag name), ...})``: true tags that are not labeled.

    Raises UserError if truth and dump share no post, it is of other pictures, or no label is missing.

    Args:
        dump: with labels and image ids.
        columns: of the tags that are looked at.
        truth: from `read`.
    """
    names = dump.tags["name"].to_numpy()
    require_same_pictures(truth, dump.labels, dump.image_ids, names, dump.folder)
    column_of = {names[column]: column for column in columns}
    posts, missing = set(), set()
    for row, post in enumerate(dump.image_ids.tolist()):
        if post in truth:
            posts.add(post)
            labels = np.asarray(dump.labels[row])
            missing |= {
                (post, name) for name in truth[post] if name in column_of and not labels[column_of[name]]
            }
    if not posts:
        raise UserError(f"the truth names none of the {len(dump.image_ids)} posts of {dump.folder}")
    if not missing:
        raise UserError(f"no label of {dump.folder} is missing by this truth: there is nothing to judge")
    return posts, missing


def ceiling(dump: Dump, columns: np.ndarray, truth: Truth) -> float:
    """Return the F1 where precision equals recall of a perfect tagger against incomplete labels.

    It can predict as many tags as are labeled; whatever true ones it takes, the labels have their usual share
    of them: ``F1 = labels that are true / max(true tags, labels)``. NaN where there are neither, or where the
    truth names none of the posts.

    Args:
        dump: with labels and image ids.
        columns: of the tags that are looked at.
        truth: from `read`; posts that it does not name are left out.
    """
    names = dump.tags["name"].to_numpy()[columns]
    true = labeled = both = 0
    for row, post in enumerate(dump.image_ids.tolist()):
        if post in truth:
            is_labeled = np.asarray(dump.labels[row])[columns] != 0
            is_true = np.array([name in truth[post] for name in names], bool)
            true, labeled = true + int(is_true.sum()), labeled + int(is_labeled.sum())
            both += int((is_true & is_labeled).sum())
    return both / max(true, labeled) if true or labeled else float("nan")


def score_audit(findings: pd.DataFrame, posts: set[int], missing: set[tuple[int, str]]) -> dict[str, Any]:
    """Score the missing labels that an audit found: recall, precision, and the curve of both.

    Returns a dict; ``curve`` is a list of (recall, precision), one point a finding, the most doubtful first.

    Args:
        findings: rows of an audit's CSV.
        posts: that the truth names, from `missing_labels`.
        missing: from `missing_labels`.
    """
    claims = findings.loc[(findings["label"] == 0) & findings["post_id"].isin(list(posts))]
    claims = claims.sort_values("score", kind="stable")
    correct = [pair in missing for pair in zip(claims["post_id"], claims["tag"], strict=True)]
    tp = np.cumsum(correct, dtype=np.int64)
    predicted = np.arange(1, len(claims) + 1)
    total = int(tp[-1]) if len(claims) else 0
    return {
        "missing": len(missing),
        "findings": len(claims),
        "found": total,
        "recall": total / len(missing),
        "precision": total / len(claims) if len(claims) else float("nan"),
        "curve": list(zip((tp / len(missing)).tolist(), (tp / predicted).tolist(), strict=True)),
    }


def compare_audits(audit: dict[str, Any], half: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return the scores of an audit without its curve, beside those of the audit at a threshold of 0.5.

    ``recall_at_its_precision`` is what the audit finds down to the last place where it is as precise as 0.5.
    """
    summary = {name: value for name, value in audit.items() if name != "curve"}
    if half is not None:
        recalls = [recall for recall, precision in audit["curve"] if precision >= half["precision"]]
        summary["at_half"] = compare_audits(half) | {"recall_at_its_precision": max(recalls, default=0.0)}
    return summary
