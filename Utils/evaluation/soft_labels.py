"""Soft labels of a teacher: what a tagger predicts of the training posts, where their labels are absent.

A label of a booru that is absent may just not have been typed. Where a tagger finds the tag, the target
rises from 0 to ``weight * p``; a label that is there stays 1, whatever the tagger says. The predictions are
those of a model that was not trained on the post (another tagger, or folds left out in turn): a model's own
would only confirm what it has learned.
"""

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd

from Utils.command.cli import UserError
from Utils.command.text import counted
from Utils.data.dataset_folder import LabelBlock
from Utils.evaluation import chunked_matrix, predictions, same_pictures, threshold_table, thresholds
from Utils.evaluation.predictions import Dump
from Utils.evaluation.same_pictures import Overlap, Rows
from Utils.tags import tag_matching

HALF = 0.5  # the threshold of tags where neither a table nor labels tell one


class SoftLabels:
    """A teacher's soft labels of a dataset's training posts; made by `read`.

    Args:
        dump: the predictions, which stay on disk.
        columns: (num_labels,) of the dataset's tags in the dump; -1 for a tag that it lacks.
        cutoffs: (num_labels,) the threshold of each tag.
        weight: factor of the probabilities, above 0 and at most 1.

    Attributes:
        rows: gives the row of each post in the dump.
        text: what they are, in words.
    """

    def __init__(self, dump: Dump, columns: np.ndarray, cutoffs: np.ndarray, weight: float) -> None:
        self._ids = np.asarray(dump.image_ids, np.int64)
        self.rows = Rows(self._ids)
        self._probabilities, self._weight = dump.probabilities, np.float32(weight)
        self._labels = np.flatnonzero(columns >= 0)
        self._columns = columns[self._labels]
        self._cutoffs = chunked_matrix.as_stored(cutoffs[self._labels], dump.probabilities.dtype)
        self.text = ""

    def __call__(self, ids: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return labels (B, num_labels) float32 with what the teacher adds; those above it stay.

        ``max(y, weight p)`` where ``p > t``, compared as the dump stores p, else y.

        Args:
            ids: (B,) post ids.
            labels: (B, num_labels) float32, 0 or 1.
        """
        rows = self.rows(np.asarray(ids, np.int64))
        images = np.flatnonzero(rows >= 0)
        p = self._probabilities[rows[images]][:, self._columns]
        soft = np.where(p > self._cutoffs, self._weight * p.astype(np.float32), np.float32(0))
        added = np.zeros_like(labels)
        added[images[:, None], self._labels] = soft
        return np.maximum(labels, added)

    def compare(self, blocks: Iterable[LabelBlock], labels: np.ndarray | None) -> Overlap:
        """Return what the labels of posts have in common with others of theirs, for the tags of the dump.

        Args:
            blocks: labels of posts, of the dataset.
            labels: (N, L) of the dump; None: the tags that it has above their thresholds.
        """

        def labels_of(rows: np.ndarray) -> np.ndarray:
            if labels is not None:
                return labels[rows][:, self._columns]
            return self._probabilities[rows][:, self._columns] > self._cutoffs

        return same_pictures.compare_posts(blocks, self._labels, self.rows, labels_of)

    @property
    def digest(self) -> str:
        """SHA-256 of all that the soft labels depend on but the weight: whether a run may continue."""
        digest = hashlib.sha256(self._ids.tobytes())
        for values in (self._labels, self._columns, self._cutoffs):
            digest.update(np.ascontiguousarray(values).tobytes())
        for (block,) in chunked_matrix.row_blocks(self._probabilities):
            digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()


def read(
    tags: pd.DataFrame,
    teacher: str,
    teacher_thresholds: str,
    teacher_weight: float,
    post_ids: np.ndarray,
    labels: Iterable[LabelBlock] = (),
) -> SoftLabels:
    """Return the soft labels of a dump for training posts; tags and posts that it lacks are in its ``text``.

    Args:
        tags: the tag list of the dataset.
        teacher: the dump's folder.
        teacher_thresholds: a thresholds.csv; empty: the threshold at which the dump has as many tags as
            labels (P = R), or 0.5 where it has no labels. That is also for tags that the file lacks.
        teacher_weight: above 0 and at most 1.
        post_ids: (N,) of the training posts.
        labels: of the training posts, which tell whether the dump is of the same pictures.

    Raises:
        UserError: the folder is no dump, or it has no ids, an id twice, no tag or no training post, or is of
            other pictures (`Utils.evaluation.same_pictures` has the rule).
    """
    dump = predictions.load(teacher)
    if dump.image_ids is None:
        raise UserError(f"--teacher {teacher} has no {predictions.IDS}, so nobody knows whose rows it has")
    ids, counts = np.unique(dump.image_ids, return_counts=True)
    if (counts > 1).any():
        raise UserError(
            f"--teacher {teacher}: a post has one row; post {ids[counts > 1][0]} has {counts[counts > 1][0]}"
        )
    columns = tag_matching.matching_rows(tags, dump.tags, by_id=False)  # other taggers have ids of their own
    if not (columns >= 0).any():
        raise UserError(f"--teacher {teacher} has none of the {len(tags)} tags of the dataset by name")
    cutoffs, rule = _cutoffs(dump, columns, teacher_thresholds)
    soft_labels = SoftLabels(dump, columns, cutoffs, teacher_weight)
    has_row = soft_labels.rows(np.asarray(post_ids, np.int64)) >= 0
    if not has_row.any():
        raise UserError(
            f"--teacher {teacher} has none of the {len(has_row):,} training posts; it needs predictions of "
            "them, as predict.py --split train or ensemble.py --stack of folds writes"
        )
    overlap = soft_labels.compare(labels, dump.labels)
    if dump.labels is not None:
        overlap.require(f"the labels of --teacher {teacher}", "the dataset")
    soft_labels.text = _text(has_row, columns >= 0, rule) + _doubts(overlap, dump.labels is not None)
    return soft_labels


def _cutoffs(dump: Dump, columns: np.ndarray, path: str) -> tuple[np.ndarray, str]:
    """Return the threshold of every tag (num_labels,) float64, and in words where they are from.

    The table is of the dump's tags, whose ids may be others than the dataset's. Tags that the dump lacks have
    NaN.
    """
    has_column, cutoffs = columns >= 0, np.full(len(columns), np.nan)
    if path:
        of_dump = threshold_table.per_tag(threshold_table.read(path), dump.tags)
        cutoffs[has_column] = of_dump[columns[has_column]]
        if np.isnan(cutoffs).all():
            raise UserError(f"--teacher-thresholds {path} has a threshold for none of the teacher's tags")
    is_open = np.isnan(cutoffs) & has_column
    if not is_open.any():
        return cutoffs, f"of {path}"
    default, rule = _default(dump)
    cutoffs[is_open] = default
    return cutoffs, f"of {path}, for {counted(is_open.sum(), 'tag')} that it lacks {rule}" if path else rule


def _default(dump: Dump) -> tuple[float, str]:
    """Return one threshold for all tags, and in words what it is."""
    positives = 0
    if dump.labels is not None:
        positives = sum(int(np.count_nonzero(block)) for (block,) in chunked_matrix.row_blocks(dump.labels))
    if not positives:
        return HALF, f"{HALF}, since it has no labels to compare with"
    threshold = float(thresholds.p_equals_r(dump.probabilities, positives).threshold)
    return threshold, f"{threshold:.4f}, where it has as many tags as labels"


def _text(has_row: np.ndarray, has_column: np.ndarray, rule: str) -> str:
    text = f"a teacher's labels above the threshold {rule}, where a label is absent: "
    text += f"{has_row.sum():,} of {len(has_row):,} posts, {has_column.sum():,} of {len(has_column):,} tags"
    lacks_some = not (has_row.all() and has_column.all())
    return text + "; what it lacks keeps its labels" * lacks_some


def _doubts(overlap: Overlap, has_labels: bool) -> str:
    """Return in words how far the dump may be of other pictures; a bad tagger is no reason to refuse it."""
    if has_labels and overlap.differing:
        return f"; {overlap.differing:,} of {overlap.posts:,} posts had other labels when they were predicted"
    if not has_labels and overlap.is_of_others:
        return (
            f"; its tags have no more in common with the labels of {counted(overlap.posts, 'post')} than by "
            "chance: is it of other pictures, whose ids are the same?"
        )
    return ""
