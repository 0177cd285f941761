"""Utils/evaluation/same_pictures.py: labels of other pictures are told from corrected ones."""

import numpy as np
import pytest

from Utils.command.cli import UserError
from Utils.evaluation import same_pictures
from Utils.evaluation.same_pictures import Overlap, compare

RNG = np.random.default_rng(0)
SHARES = np.linspace(0.05, 0.6, 12)  # of the posts that have each tag
LABELS = RNG.random((400, 12)) < SHARES


def test_labels_of_the_same_posts_have_all_in_common_and_of_others_nothing():
    others = RNG.random((400, 12)) < SHARES
    same, other = compare(LABELS, LABELS), compare(LABELS, others)
    assert (same.share, same.differing) == (1.0, 0)
    assert abs(other.share) < 0.05 and other.differing > 390
    same.require("a", "b")
    with pytest.raises(
        UserError, match=r"^a and b have the same post ids .* 400 posts compared, .*\(-?0\.0\d; 1 is all\)"
    ):
        other.require("a", "b")


def test_the_share_is_kappa_where_both_sides_have_as_many_labels():
    first, second = np.array([[1], [1], [0], [0]] * 30), np.array([[1], [0], [1], [0], [1], [0]] * 20)
    counts = [(first == second).mean(), 0.5]  # observed and by chance
    assert compare(first, second).share == pytest.approx((counts[0] - counts[1]) / (1 - counts[1]))


def test_labels_that_one_side_lacks_or_has_more_of_leave_the_share_high():
    lost = LABELS & (RNG.random(LABELS.shape) < 0.3)  # seven of ten are missing
    assert compare(LABELS, lost).share == 1.0
    wrong = LABELS ^ (RNG.random(LABELS.shape) < 0.1)
    assert compare(LABELS, wrong).share > 0.7
    without_tags = np.where(np.arange(12) < 9, 0, LABELS)  # nobody labels nine of the tags
    assert compare(LABELS, without_tags).share == 1.0
    two_folders = np.concatenate([LABELS[:200], RNG.random((200, 12)) < SHARES])
    assert 0.4 < compare(LABELS, two_folders).share < 0.6


def test_few_labels_or_tags_of_all_posts_tell_nothing():
    trigger = np.ones((400, 1))
    for first, second in ((trigger, trigger), (LABELS[:3], ~LABELS[:3]), (LABELS, np.zeros((400, 12)))):
        assert np.isnan(compare(first, second).share)
        compare(first, second).require("a", "b")
    assert np.isnan(Overlap().share)


def test_posts_of_a_dataset_are_found_by_their_ids():
    ids, columns = RNG.permutation(400) * 3, np.array([7, 2, 11])
    order = RNG.permutation(400)
    lists = [np.flatnonzero(LABELS[row]) for row in order]
    block = ids[order], np.array([len(row) for row in lists]), np.concatenate(lists)
    unknown = np.array([1, 2]), np.array([0, 1]), np.array([7])  # posts that the dump lacks
    rows_of = same_pictures.Rows(ids[:350])
    overlap = same_pictures.compare_posts(
        [unknown, block], columns, rows_of, lambda rows: LABELS[rows][:, columns]
    )
    assert (overlap.posts, overlap.differing, overlap.share) == (350, 0, 1.0)
    shifted = same_pictures.Rows(np.roll(ids, 1))
    overlap = same_pictures.compare_posts([block], columns, shifted, lambda rows: LABELS[rows][:, columns])
    assert overlap.is_of_others
    assert same_pictures.Rows(np.empty(0, np.int64))(np.array([3])).tolist() == [-1]


def test_a_large_dataset_is_not_read_to_its_end(monkeypatch):
    monkeypatch.setattr(same_pictures, "MOST_POSTS", 200)

    def blocks():
        yield np.arange(400), np.ones(400, np.int64), np.zeros(400, np.int64)
        raise AssertionError("read on")

    rows_of = same_pictures.Rows(np.arange(400))
    overlap = same_pictures.compare_posts(blocks(), np.array([0]), rows_of, lambda rows: LABELS[rows, :1])
    assert 200 <= overlap.posts < 400
    assert 200 <= compare(LABELS, LABELS).posts < 400
