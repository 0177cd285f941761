"""Utils/labels/questions.py: what an audit asks, in its order, once, with scores where they lie beside it."""

import json
import shutil

import numpy as np
import pytest
from helpers.reviewed import POSTS, TAGS

from Utils.command.cli import UserError
from Utils.evaluation import predictions
from Utils.labels import questions


def test_questions_are_the_audit_in_its_order_with_scores(asked, audit):
    posts_of = json.loads((audit / "audit.json").read_text())
    assert asked.tags["name"].tolist() == list(posts_of)
    for number, (name, posts) in enumerate(posts_of.items()):
        rows = asked.rows_of(number)
        assert asked.posts[rows].tolist() == posts
        assert (asked.tag_of(np.arange(rows.start, rows.stop)) == number).all()
        column = TAGS["name"].tolist().index(name)
        p = predictions.load(audit / "dump").probabilities[np.array(posts) - POSTS[0], column]
        np.testing.assert_allclose(asked.probabilities[rows], p, rtol=1e-6)
        assert [asked.find(post, number) for post in posts] == list(range(rows.start, rows.stop))
    assert asked.find(999, 0) is None
    assert not asked.carried.any()


def test_audits_of_missing_and_wrong_tags_are_asked_together_each_pair_once(tmp_path):
    (tmp_path / "audit.json").write_text('{"hat": [5, 4, 5], "solo": [7]}')
    (tmp_path / "audit_wrong.json").write_text('{"solo": [8, 7], "smile": []}')
    both = [tmp_path / "audit.json", tmp_path / "audit_wrong.json"]
    asked = questions.read(both, TAGS)
    assert asked.tags["name"].tolist() == ["hat", "solo"]
    assert asked.posts.tolist() == [5, 4, 7, 8]
    assert asked.carried.tolist() == [False, False, False, True]
    assert np.isnan(asked.probabilities).all()  # no scores beside it
    (tmp_path / "audit.csv").write_text("tag,tag_id,post_id,probability,label,score\nsolo,11,8,0.25,1,0.25\n")
    shutil.copy(both[1], tmp_path / "mine.json")
    shutil.copy(tmp_path / "audit.csv", tmp_path / "mine.csv")
    assert questions.read([tmp_path / "mine.json"], TAGS).carried.tolist() == [True, False]  # by the scores
    asked = questions.read(both[1:], TAGS)
    assert (asked.posts.tolist(), asked.probabilities.tolist()[0]) == ([8, 7], 0.25)
    assert asked.carried.tolist() == [True, True]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[]", "must map tags"),
        ("{", "no JSON"),
        ('{"solo": 5}', "a list of post ids"),
        ('{"solo": ["5"]}', "a list of post ids"),
        ('{"solo": [true]}', "a list of post ids"),
        ('{"solo": [-1]}', "a list of post ids"),
        ('{"sole": [5]}', "did you mean solo"),
        ("{}", "nothing to decide"),
    ],
)
def test_a_file_that_is_no_audit_is_refused(content, says, tmp_path):
    (tmp_path / "audit.json").write_text(content)
    with pytest.raises(UserError, match=says):
        questions.read([tmp_path / "audit.json"], TAGS)


@pytest.mark.parametrize(
    ("scores", "says"),
    [
        (b"", "no CSV"),
        (b"tag,tag_id,post_id\nsolo,11,5\n", "lacks the column probability and label"),
        (b"tag,post_id,probability,label\nsolo,5,high,0\n", "could not convert"),
        (b"tag,post_id,probability,label\nsolo,x5,0.5,0\n", "no CSV"),
        (b'tag,post_id,probability,label\n"solo,5,0.5,0\n', "unexpected end of data"),
        (b"tag,post_id,probability,label\n\xff,5,0.5,0\n", "no text in UTF-8"),
    ],
)
def test_a_broken_csv_of_scores_is_refused(scores, says, tmp_path):
    (tmp_path / "audit.json").write_text('{"solo": [5]}')
    (tmp_path / "audit.csv").write_bytes(scores)
    with pytest.raises(UserError, match=says):
        questions.read([tmp_path / "audit.json"], TAGS)
