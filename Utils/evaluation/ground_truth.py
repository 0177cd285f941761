"""What posts truly show, where somebody knows it: ``image_id,tags``, tag names separated by spaces.

A drawn booru comes with it (truth.csv), and a checked part of a real one can be written so. An audit of
labels is judged against it, and so are models; posts that the truth does not name are left out.
"""

import dataclasses

import numpy as np

from Utils.command.cli import UserError
from Utils.evaluation.alignment import View
from Utils.files import csv_tables


def read(path):
    """Return ``post id -> set of tag names``; UserError where a column lacks or an id is no number."""
    frame = csv_tables.read(
        path, "a truth (image_id,tags)", ("image_id", "tags"), dtype=str, keep_default_na=False
    )
    ids = frame["image_id"]
    wrong = ids[~ids.str.fullmatch(r"\s*[0-9]{1,19}\s*")]
    if len(wrong):
        raise UserError(f"{path}: {wrong.iloc[0]!r} is no post id")
    return {int(post): set(names.split()) for post, names in zip(ids, frame["tags"], strict=True)}


def labeled(aligned, truth):
    """Return `Utils.evaluation.alignment.Aligned` dumps with true labels, without the images that the
    truth lacks.

    Raises UserError where it names none of them.
    """
    ids = np.empty(0, np.int64) if aligned.image_ids is None else aligned.image_ids
    rows = np.flatnonzero([post in truth for post in ids.tolist()])
    if not len(rows):
        raise UserError(f"the truth names none of the {len(ids)} image ids that the dumps have in common")
    names = aligned.tags["name"].to_list()
    labels = np.array([[name in truth[post] for name in names] for post in ids[rows].tolist()])
    views = [View(view.matrix, view.rows[rows], view.columns) for view in aligned.probabilities]
    true = View(labels, np.arange(len(rows)), np.arange(len(names)))
    return dataclasses.replace(aligned, image_ids=ids[rows], probabilities=views, labels=[true] * len(views))


def missing(dump, columns, truth):
    """Return ``(posts that the truth names, {(post id, tag name), ...})``: what the labels lack of the truth.

    Raises UserError where truth and dump share no post, or nothing lacks.
    """
    names = dump.tags["name"].to_numpy()
    places = {names[column]: column for column in columns}
    posts, lacking = set(), set()
    for row, post in enumerate(dump.image_ids.tolist()):
        if post in truth:
            posts.add(post)
            labels = np.asarray(dump.labels[row])
            lacking |= {(post, name) for name in truth[post] if name in places and not labels[places[name]]}
    if not posts:
        raise UserError(f"the truth names none of the {len(dump.image_ids)} posts of {dump.folder}")
    if not lacking:
        raise UserError(f"no label of {dump.folder} is missing by this truth: there is nothing to judge")
    return posts, lacking


def judge(frame, posts, lacking):
    """Judge the missing labels that an audit found: recall, precision, and the curve of both.

    frame: rows of an audit's CSV; posts, lacking: from `missing`. Returns a dict; ``curve`` is a list of
    (recall, precision), one point a finding, the most doubtful first.
    """
    found = frame[(frame["label"] == 0) & frame["post_id"].isin(posts)].sort_values("score", kind="stable")
    right = [pair in lacking for pair in zip(found["post_id"], found["tag"], strict=True)]
    hits = np.cumsum(right, dtype=np.int64)
    numbers = np.arange(1, len(found) + 1)
    last = int(hits[-1]) if len(found) else 0
    return {
        "missing": len(lacking),
        "findings": len(found),
        "found": last,
        "recall": last / len(lacking),
        "precision": last / len(found) if len(found) else float("nan"),
        "curve": list(zip((hits / len(lacking)).tolist(), (hits / numbers).tolist(), strict=True)),
    }


def compared(judged, half=None):
    """Return what `judge` says of an audit without its curve; with that of 0.5, how it fares beside it.

    ``recall_at_its_precision`` is what the audit finds down to the last place where it is as precise as 0.5.
    """
    said = {name: value for name, value in judged.items() if name != "curve"}
    if half is not None:
        reached = [recall for recall, precision in judged["curve"] if precision >= half["precision"]]
        said["at_half"] = compared(half) | {"recall_at_its_precision": max(reached, default=0.0)}
    return said
