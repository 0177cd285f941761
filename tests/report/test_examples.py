"""Pictures to open: drawn by lot and from mistakes, with every tag that is said of them."""

import helpers
import numpy as np
import pytest
from helpers.small_dumps import write_dump

from Utils.evaluation import predictions
from Utils.report import examples
from Utils.report.examples import MISSED, RIGHT, WRONG


@pytest.fixture
def dump(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.random((300, 8)) < np.array([0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01, 0.003])
    p = np.float32(np.clip(0.5 * y + rng.random(y.shape) * 0.55, 0, 1))
    names = [f"tag {number}" for number in range(8)]
    return predictions.load(write_dump(tmp_path / "dump", p, y, 1000 + np.arange(300), names))


def every_picture(ids):
    return {post: helpers.jpeg(post, 24) for post in ids}


def test_a_picture_says_all_that_is_predicted_or_true(dump):
    chosen = examples.choose(dump, 0.52, [7, 3], every_picture)
    p, y = np.asarray(dump.probabilities), np.asarray(dump.labels) != 0
    assert chosen.num_gallery == examples.NUM_GALLERY
    assert {1007, 1003} <= {picture.post_id for picture in chosen.pictures}
    for picture in chosen.pictures:
        row, said = picture.post_id - 1000, {tag.column: tag for tag in picture.tags}
        assert set(said) == set(np.flatnonzero((p[row] > np.float32(0.52)) | y[row]).tolist())
        for column, tag in said.items():
            above = p[row, column] > np.float32(0.52)
            assert tag.verdict == (RIGHT if above and y[row, column] else WRONG if above else MISSED)
            assert tag.probability == pytest.approx(float(p[row, column]))
        assert [tag.probability for tag in picture.tags] == sorted(
            (t.probability for t in picture.tags), reverse=True
        )


def test_every_tag_has_a_picture_of_each_verdict_where_there_is_one(dump):
    chosen = examples.choose(dump, 0.52, [], every_picture)
    shown = {(tag.column, tag.verdict) for picture in chosen.pictures for tag in picture.tags}
    p, y = np.asarray(dump.probabilities) > np.float32(0.52), np.asarray(dump.labels) != 0
    for verdict, mask in ((RIGHT, p & y), (WRONG, p & ~y), (MISSED, ~p & y)):
        assert {column for column, kind in shown if kind == verdict} == set(np.flatnonzero(mask.any(axis=0)))


def test_the_choice_is_bounded_and_the_same_each_time(dump, monkeypatch):
    monkeypatch.setattr(examples, "MOST", 30)
    first, second = (examples.choose(dump, 0.52, range(50, 60), every_picture) for _ in range(2))
    assert first == second
    assert len(first.pictures) == 30


def test_posts_without_a_picture_are_left_out(dump):
    chosen = examples.choose(dump, 0.52, [], lambda ids: every_picture([post for post in ids if post % 2]))
    assert chosen.pictures
    assert all(picture.post_id % 2 for picture in chosen.pictures)
    assert chosen.num_gallery < examples.NUM_GALLERY
    assert examples.choose(dump, 0.52, [], lambda ids: {}).pictures == []
    assert examples.choose(dump, 0.52, [], lambda ids: dict.fromkeys(ids, b"no image")).pictures == []
